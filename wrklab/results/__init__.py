"""What is stored of runs and probes, and the only code that writes results/."""
