"""Features as data: a vector for each example, as a network gives it that is not trained here."""

import numpy as np
from jaxtyping import Float

from simsmooth_jax.errors import InputError

Features = Float[np.ndarray, "n features"]


def are_features(shape: tuple[int, ...]) -> bool:
    """Whether examples of this shape are vectors `(D,)`, and not images."""
    return len(shape) == 1


def read_features(where: str, values: np.ndarray) -> Features:
    """float16 and float32 as they are, wider ones as float32, in the byte order of this machine.

    Args:
      where: what they are, for errors.
      values: `[n, D]`, a vector for each example.

    Raises:
      InputError: they are no matrix of floating-point numbers, one is empty, or one of its numbers
        is NaN or infinite, as float32 or before.
    """
    if values.dtype.kind != "f" or values.ndim != 2:
        raise InputError(
            where,
            "be floating-point vectors [n, D]",
            f"{values.dtype}{list(values.shape)}",
            "Save float16 or float32, one vector for each example.",
        )
    if not values.size:
        raise InputError(
            where,
            "hold one vector of one number at least",
            list(values.shape),
            "Leave out a split that is empty.",
        )
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        features = values.astype(np.float16 if values.dtype.itemsize == 2 else np.float32)
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        wrong = values[row][~np.isfinite(features[row])][0]
        raise InputError(
            where,
            f"be finite in {features.dtype}",
            f"{wrong} in row {row}",
            "Look at the network that gave it, or take the example out.",
        )
    return features


def feature_statistics(features: Features) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean vector `[D]`, and one deviation: the root mean square of all entries around it.

    One for all, as angles and proportions of embeddings carry meaning: each divided by its own, the
    smallest would count as much as the largest.
    """
    values = features.astype(np.float64)
    mean = values.mean(axis=0)
    deviation = np.sqrt(np.square(values - mean).mean())
    if deviation < np.finfo(np.float32).tiny:  # constant features stay finite
        deviation = 1.0
    # As the step uses them: the last bits of float64 may differ from machine to machine.
    return tuple(mean.astype(np.float32).tolist()), (float(np.float32(deviation)),)
