"""Which array in a tree of parameters is the final kernel."""
