"""What can be run: the cards of stacks, variants, scenarios and suites, checked, and what deploying them puts on a host."""
