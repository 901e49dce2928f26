"""What this machine and a lab's hosts lack, with the command that fixes it."""
