"""The verbs: one module a verb, which parses, calls and prints."""
