"""Means over seeds and paired differences, with their 95% intervals."""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy import stats


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds and half the width of its 95% interval (Student's t)."""

    mean: float
    half_width: float

    def __str__(self) -> str:
        """As `98.52 ± 0.13`."""
        return f"{self.mean:.2f} ± {self.half_width:.2f}"


def estimate(values: Float[np.ndarray, " seeds"]) -> Estimate:
    """Mean and 95% interval of independent values, at least two.

    For a paired comparison pass the differences: what the seeds have in common then cancels.
    """
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return Estimate(float(np.mean(values)), float(stats.t.ppf(0.975, len(values) - 1) * error))
