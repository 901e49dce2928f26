"""The hosts of a lab: how they come to be, how they are reached, whose they are now, and whether they are fit to be measured."""
