"""What a training leaves: its checkpoints, which of them stay, what they were made from."""
