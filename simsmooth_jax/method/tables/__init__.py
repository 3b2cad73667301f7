"""Forms of a label table, and what a loss asks of each."""
