"""Rows held against each other: ranks within a run, and two runs side by side. Pure."""
