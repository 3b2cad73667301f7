"""Arrays in, arrays out. To be read in this order: similarity, rules, labels, losses."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["objectives"])
