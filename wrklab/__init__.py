"""wrklab: how ways of serving a Python web application compare, measured from another host, each number with a verdict."""
