"""How good predictions are, from their confidence: calibration and selective classification."""

import numpy as np
from jaxtyping import Float, Num

NUM_BINS = 15


def calibration_bins(
    confidence: Float[np.ndarray, " n"], correct: Num[np.ndarray, " n"]
) -> dict[str, list[float]]:
    """Counts and sums in equal bins of confidence: bin b is (b/B, (b+1)/B], the first with 0."""
    index = np.clip(np.ceil(confidence.astype(np.float64) * NUM_BINS) - 1, 0, NUM_BINS - 1)
    index = index.astype(np.int64)
    sums = {
        "count": np.bincount(index, minlength=NUM_BINS),
        "confidence_sum": np.bincount(index, weights=confidence, minlength=NUM_BINS),
        "correct_sum": np.bincount(index, weights=correct, minlength=NUM_BINS),
    }
    return {name: values.tolist() for name, values in sums.items()}


def expected_calibration_error(bins: dict[str, list[float]]) -> float:
    """`Σ_b |Σ confidence - Σ correct| / n`: the mean gap, weighted by the bins' counts."""
    gap = np.abs(np.asarray(bins["confidence_sum"]) - np.asarray(bins["correct_sum"]))
    return float(gap.sum() / np.sum(bins["count"]))


def area_under_risk_coverage(
    confidence: Float[np.ndarray, " n"], correct: Num[np.ndarray, " n"]
) -> float:
    """Mean error among the most confident 1, 2, …, n examples; ties in confidence share theirs.

    Lower is better: it says how well confidence ranks right answers before wrong ones.
    """
    wrong = 1 - correct.astype(np.float64)
    _, group = np.unique(-confidence.astype(np.float64), return_inverse=True)
    sizes = np.bincount(group)
    tied_mean = np.bincount(group, weights=wrong) / sizes
    errors = np.cumsum(np.repeat(tied_mean, sizes))
    return float((errors / np.arange(1, len(errors) + 1)).mean())
