"""Parts of the application."""
