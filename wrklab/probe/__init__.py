"""How many requests a variant handles at once, where the others wait, and what happens beyond."""
