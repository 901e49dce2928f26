"""Measuring: from a plan's cells to records. Effects on hosts go through wrklab.doors."""
