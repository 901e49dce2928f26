"""From the cells of a run to one row a variant and scenario, with its figures and their statistics. Pure."""
