"""The same from values of each example, on the host in float64: what reports hold."""

import numpy as np
from jaxtyping import Bool, Float, Num

from simsmooth_jax.metrics.calibration import NUM_BINS


def calibration_bins(
    confidence: Float[np.ndarray, " n"], correct: Num[np.ndarray, " n"]
) -> dict[str, list[float]]:
    """Counts and sums in equal bins of confidence: bin b is (b/B, (b+1)/B], the first with 0."""
    index = np.clip(np.ceil(confidence.astype(np.float64) * NUM_BINS) - 1, 0, NUM_BINS - 1)
    index = np.nan_to_num(index).astype(np.int64)  # NaN goes into a sum, and so into the error
    sums = {
        "count": np.bincount(index, minlength=NUM_BINS),
        "confidence_sum": np.bincount(index, weights=confidence, minlength=NUM_BINS),
        "correct_sum": np.bincount(index, weights=correct, minlength=NUM_BINS),
    }
    return {name: values.tolist() for name, values in sums.items()}


def calibration_error(bins: dict[str, list[float]]) -> float:
    """`Σ_b |Σ confidence - Σ correct| / n`: the mean gap, weighted by the bins' counts."""
    gap = np.abs(np.asarray(bins["confidence_sum"]) - np.asarray(bins["correct_sum"]))
    return float(gap.sum() / np.sum(bins["count"]))


def adaptive_error(confidence: Float[np.ndarray, " n"], correct: Num[np.ndarray, " n"]) -> float:
    """As `adaptive_calibration_error`, in 15 bins of equally many examples."""
    values, group = np.unique(confidence.astype(np.float64), return_inverse=True)
    sizes = np.bincount(group)
    gaps = np.repeat(values - np.bincount(group, weights=correct) / sizes, sizes)
    return float(sum(abs(part.sum()) for part in np.array_split(gaps, NUM_BINS)) / len(gaps))


def risk_curve(
    confidence: Float[np.ndarray, " n"], correct: Num[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Error among the most confident 1, 2, …, n examples; ties in confidence share theirs."""
    if np.isnan(confidence).any():
        return np.full(len(confidence), np.nan)
    wrong = 1 - correct.astype(np.float64)
    _, group = np.unique(-confidence.astype(np.float64), return_inverse=True)
    sizes = np.bincount(group)
    tied_mean = np.bincount(group, weights=wrong) / sizes
    errors = np.cumsum(np.repeat(tied_mean, sizes))
    return errors / np.arange(1, len(errors) + 1)


def least_area(correct: Bool[np.ndarray, " n"]) -> float:
    """The area under the risk curve of the best order, where wrong answers come last."""
    answered = np.arange(1, len(correct) + 1)
    return float((np.maximum(answered - correct.sum(), 0) / answered).mean())
