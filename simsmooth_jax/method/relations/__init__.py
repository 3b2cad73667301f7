"""Which classes are alike: class vectors, their similarity, the rules, their diagnosis."""
