"""Cross-entropy against a label table, with the final layer in it or without."""
