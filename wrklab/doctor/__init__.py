"""What `invoke doctor` finds, on this machine and on the hosts of a lab. Nothing here changes anything."""
