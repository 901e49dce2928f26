"""The concurrency probe: how many requests a variant handles at once, how many wait and where, and who serves."""
