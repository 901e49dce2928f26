"""Notes in memory. It knows nothing of wrklab."""
