"""How a run looks: the terminal, Markdown, CSV, JSON, export. Layout only."""
