"""The tenth of the training images that is cut out for validation: fixed, and of every class."""

import numpy as np
from jaxtyping import Int

from simsmooth_jax.config.data import ValidationCut
from simsmooth_jax.data.dataset import Examples
from simsmooth_jax.errors import InputError

VALIDATION_SHARE = 10  # one image in ten of the training split, where there is no validation split


def cut_validation(name: str, train: Examples, rule: ValidationCut | None) -> dict[str, Examples]:
    """Train and validation of a training split, the same for every seed.

    Args:
      name: of the data, for errors.
      train: ten images or more.
      rule: `stratified` takes a tenth of each class, anything else a tenth of all together, as
        published figures have it.

    Raises:
      ValueError: there are too few images for it.
    """
    if len(train) < VALIDATION_SHARE:
        raise InputError(
            f"data {name}: the training split",
            f"hold {VALIDATION_SHARE} images at least, as a tenth is cut out for validation",
            len(train),
            "Give more, or name a `validation_split`.",
        )
    order = np.random.RandomState(0).permutation(len(train))
    chosen = order[: len(train) // VALIDATION_SHARE]
    if rule == "stratified":
        chosen = order[_is_in_tenth(train.all_labels()[order])]
    if not len(chosen):
        raise InputError(
            f"data {name}: the training split",
            "hold two images of one class at least, as a class keeps one to train on",
            f"one of each in {len(train)} images",
            "Give more, name a `validation_split`, or use `validation_cut=random`.",
        )
    return {
        "train": train.select(np.setdiff1d(order, chosen)),
        "validation": train.select(np.sort(chosen)),
    }


def _is_in_tenth(labels: Int[np.ndarray, " n"]) -> np.ndarray:
    """Which images are the first of their class, a tenth of it, up or down, and a tenth of all.

    The largest remainders are rounded up, of equal ones those of the first classes. A class keeps
    an image to train on. scikit-learn's split refuses a class of one image, and may change.
    """
    _, labels, counts = np.unique(labels, return_inverse=True, return_counts=True)
    shares, remainders = np.divmod(counts, VALIDATION_SHARE)
    largest = np.argsort(-remainders, kind="stable")
    rest = len(labels) // VALIDATION_SHARE - shares.sum()
    shares[largest[counts[largest] > 1][:rest]] += 1
    by_class = np.argsort(labels, kind="stable")
    rank = np.empty(len(labels), np.int64)
    rank[by_class] = np.arange(len(labels)) - (np.cumsum(counts) - counts)[labels[by_class]]
    return rank < shares[labels]
