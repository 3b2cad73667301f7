"""Arrays in, arrays out. To be read in this order: relations, labels, losses, objectives."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["objectives"])
