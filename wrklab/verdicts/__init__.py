"""What set a row's rate, and what makes it doubtful: rules on figures. Pure."""
