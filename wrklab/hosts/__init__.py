"""The hosts of a lab: how they come to be, how they are reached, who holds them, if they are fit to be measured."""
