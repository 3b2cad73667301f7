"""What a user chooses: options with their ranges, and the commands that take them."""
