"""What a bench is made of, as frozen values: cards, scenarios, suites, published rows, plans, records."""
