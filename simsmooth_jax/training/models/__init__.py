"""The classifiers: built in or your own, what they start from, where their head is."""
