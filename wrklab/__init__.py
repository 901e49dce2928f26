"""wrklab: how ways of serving a Python web application compare, and why (see docs/architecture.md)."""
