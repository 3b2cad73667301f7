"""Sources of images: one file each, found here by name."""

from simsmooth_jax.config import DataName
from simsmooth_jax.data.dataset import Dataset, Split
from simsmooth_jax.data.digits import load_digits

__all__ = ["Dataset", "Split", "load_dataset"]


def load_dataset(name: DataName) -> Dataset:
    """The data set of that name, in memory."""
    return {"digits": load_digits}[name]()
