"""The messages between the controller and the hosts. Standard library only: both sides import it."""
