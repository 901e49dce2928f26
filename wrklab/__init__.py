"""How ways of serving a Python web application compare, measured from another host, each with a verdict."""
