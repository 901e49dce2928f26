"""The scripts that run on hosts, on top of wrklab.protocol and the standard library alone."""
