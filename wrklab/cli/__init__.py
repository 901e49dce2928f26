"""What stands behind the verbs of tasks.py: asking, showing progress, printing."""
