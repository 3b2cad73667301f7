"""What is compared: arms, the relations they are made from, and the whole method."""
