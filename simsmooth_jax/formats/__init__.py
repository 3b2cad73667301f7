"""Arrays in files, ours or anyone's, without any training."""
