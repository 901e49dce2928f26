"""What can be run: the cards of stacks, variants, scenarios and suites, and what deploying them puts on a host."""
