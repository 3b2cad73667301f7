"""scikit-learn's digits: 1,797 real images of 8x8 pixels that come with the package."""

from typing import Any

import numpy as np

from simsmooth_jax.data.conversion import Conversion
from simsmooth_jax.data.dataset import Source, Split

PARTS = {"train": 1000, "validation": 297, "test": 500}
NOTE = (
    "Digits are too easy to show a benefit: a few of the 500 test images separate the arms, and "
    "another seed moves as many. This run shows that the method works, not that it helps."
)


def load_digits(conversion: Conversion) -> Source:
    """The digits with a fixed split, which no seed of a training changes."""
    from sklearn import datasets  # a second to import: not before it is needed

    bunch: Any = datasets.load_digits()
    images = np.rint(bunch["images"][..., None] * (255 / 16)).astype(np.uint8)
    labels = bunch["target"].astype(np.int32)
    # RandomState's stream is frozen by NumPy's policy, Generator's is not.
    order = np.random.RandomState(0).permutation(len(labels))
    ends = np.cumsum(list(PARTS.values()))[:-1]
    images = conversion.convert_array("digits", images)
    splits = {
        part: Split(images[indices], labels[indices])
        for part, indices in zip(PARTS, np.split(order, ends), strict=True)
    }
    return Source("digits", tuple("0123456789"), splits, NOTE)
