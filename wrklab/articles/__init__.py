"""What the articles published and claimed, and what a run says to it. The core does without this package."""
