"""Images from any source, cut into training, validation and test."""
