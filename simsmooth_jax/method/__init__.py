"""Arrays in, arrays out. To be read in this order: similarity, rules, labels, losses."""
