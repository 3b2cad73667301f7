"""Calibration: whether answers of a confidence are right as often as it says."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from simsmooth_jax.machine import memory
from simsmooth_jax.method.arrays import checks
from simsmooth_jax.metrics.arguments import measured
from simsmooth_jax.metrics.ranking import ranking, top_prediction
from simsmooth_jax.metrics.scores import own_class

NUM_BINS = 15


def expected_calibration_error(
    probabilities: Shaped[Array | np.ndarray, "examples classes"],
    labels: Int[Array | np.ndarray, " examples"],
    num_bins: int = NUM_BINS,
    *,
    where: Bool[Array | np.ndarray, " examples"] | None = None,
) -> Float[Array, ""]:
    """Expected calibration error (ECE) of the most probable class, in bins of equal width.

    `Σ_b |Σ_{i in b} (c_i - [argmax_k p_ik = y_i])| / n`: the gap between mean confidence
    `c = max_k p_k` and accuracy, weighted by the bins' counts. Bin b of B is `(b/B, (b+1)/B]`, the
    first with 0 and the last with 1. Compare it at equal n alone: it grows as n falls.

    Args:
      probabilities: `[n, K]` real, as for `accuracy`.
      labels: `[n]` integer class indices from 0 to K - 1.
      num_bins: B, at least 1.
      where: `[n]` bool; examples with False are left out.

    Returns:
      float32 in [0, 1]; NaN under transformations where `accuracy` is.

    Raises:
      ValueError: num_bins is no integer of at least 1, and whatever `accuracy` refuses.

    Source: Naeini et al. 2015; Guo et al. 2017 (arXiv:1706.04599).

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> probabilities = jnp.array([[0.91, 0.09], [0.92, 0.08], [0.6, 0.4]])
      >>> error = ss.metrics.expected_calibration_error(probabilities, jnp.array([0, 1, 0]))
      >>> print(f"{error:.4f}")  # (|0.91 + 0.92 - 1| + |0.6 - 1|) / 3
      0.4100
    """
    function = "expected_calibration_error"
    lower, upper = _edges(function, num_bins, labels)
    return measured(function, _equal_width, probabilities, labels, where, lower, upper)


def adaptive_calibration_error(
    probabilities: Shaped[Array | np.ndarray, "examples classes"],
    labels: Int[Array | np.ndarray, " examples"],
    num_bins: int = NUM_BINS,
    *,
    where: Bool[Array | np.ndarray, " examples"] | None = None,
) -> Float[Array, ""]:
    """Calibration error of the most probable class, in bins of equally many examples.

    `Σ_b |Σ_{i in b} (c_i - a_i)| / n` over the parts of `np.array_split` of the confidences from
    the least to the greatest: sizes differ by one at most, and the first bins are the larger ones.
    `a_i` is the accuracy of all examples with the confidence `c_i`, so that the order of ties,
    which may lie on both sides of an edge, is without effect.

    Args:
      probabilities: `[n, K]` real, as for `accuracy`.
      labels: `[n]` integer class indices from 0 to K - 1.
      num_bins: B, at least 1; of fewer than B examples each has its own bin.
      where: `[n]` bool; examples with False are left out.

    Returns:
      float32 in [0, 1]; NaN under transformations where `accuracy` is.

    Raises:
      ValueError: num_bins is no integer of at least 1, and whatever `accuracy` refuses.

    Source: Nguyen and O'Connor 2015 (arXiv:1508.05154); AdaECE of Mukhoti et al. 2020
      (arXiv:2002.09437). The ACE of Nixon et al. 2019 is over all classes instead.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> probabilities = jnp.array([[0.91, 0.09], [0.92, 0.08], [0.6, 0.4], [0.7, 0.3]])
      >>> labels = jnp.array([0, 1, 0, 0])
      >>> print(f"{ss.metrics.adaptive_calibration_error(probabilities, labels, 2):.4f}")
      0.3825
    """
    function = "adaptive_calibration_error"
    _refuse_bins(function, num_bins, labels)
    bins = np.arange(num_bins, dtype=np.int32)
    return measured(function, _equal_mass, probabilities, labels, where, bins)


def classwise_calibration_error(
    probabilities: Shaped[Array | np.ndarray, "examples classes"],
    labels: Int[Array | np.ndarray, " examples"],
    num_bins: int = NUM_BINS,
    *,
    where: Bool[Array | np.ndarray, " examples"] | None = None,
) -> Float[Array, ""]:
    """Mean over the classes of the calibration error of each against the rest.

    `Σ_k Σ_b |Σ_{i: p_ik in b} (p_ik - [k = y_i])| / (n K)`, in the bins of
    `expected_calibration_error`. All probabilities count, not the largest alone; with many classes
    most of them are near 0, and so is the mean.

    Args:
      probabilities: `[n, K]` real, as for `accuracy`.
      labels: `[n]` integer class indices from 0 to K - 1.
      num_bins: B, at least 1.
      where: `[n]` bool; examples with False are left out.

    Returns:
      float32 in [0, 1]; NaN under transformations where `accuracy` is.

    Raises:
      ValueError: num_bins is no integer of at least 1, and whatever `accuracy` refuses.

    Source: Kull et al. 2019 (arXiv:1910.12656), class-wise ECE; the SCE of Nixon et al. 2019
      (arXiv:1904.01685).

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> probabilities = jnp.array([[0.9, 0.1], [0.8, 0.2]])
      >>> error = ss.metrics.classwise_calibration_error(probabilities, jnp.array([0, 1]))
      >>> print(f"{error:.2f}")  # of both classes (0.1 + 0.8) / 2
      0.45
    """
    function = "classwise_calibration_error"
    lower, upper = _edges(function, num_bins, labels)
    return measured(function, _class_by_class, probabilities, labels, where, lower, upper)


def class_gaps(
    probabilities: Float[Array, "examples classes"],
    labels: Int[Array, " examples"],
    where: Bool[Array, " examples"],
    lower: Any,
    upper: Any,
) -> Float[Array, "classes bins"]:
    """`Σ (p_ik - [k = y_i])` over the examples with `p_ik` in a bin: sums of batches add up."""
    gaps = probabilities - own_class(labels, probabilities.shape[1]).astype(jnp.float32)
    # A bin at a time, as all would be [n, K, bins]; sums go along rows, and in a fixed order.
    columns, gaps = probabilities.T, jnp.where(where[:, None], gaps, 0).T

    def of_bin(edges: tuple[Array, Array]) -> Array:
        outside = (columns <= edges[0]) | (columns > edges[1])  # NaN is in every bin
        return jnp.where(outside, 0, gaps).sum(axis=1)

    return jax.lax.map(of_bin, (jnp.asarray(lower), jnp.asarray(upper))).T


def edges(num_bins: int) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"]]:
    """Lower edges, excluded, and upper edges, included: a float32 is above one as above b / B."""
    exact = np.arange(1, num_bins) / num_bins
    inner = exact.astype(np.float32)
    inner = np.where(inner > exact, np.nextafter(inner, np.float32(0)), inner)
    ends = np.array([-np.inf], np.float32), np.array([np.inf], np.float32)
    return np.concatenate([ends[0], inner]), np.concatenate([inner, ends[1]])


def _edges(function: str, num_bins: int, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    _refuse_bins(function, num_bins, labels)
    return edges(num_bins)


def _refuse_bins(function: str, num_bins: int, labels: Any) -> None:
    checks.whole(function, "num_bins", num_bins, 1, "15 is usual.")
    memory.refuse_bins(function, np.size(labels), int(num_bins))


def _equal_width(
    probabilities: Array, labels: Array, where: Array, lower: Any, upper: Any
) -> Array:
    confidence, correct = top_prediction(probabilities, labels)
    gaps = confidence - correct.astype(jnp.float32)
    above = confidence[:, None] > jnp.asarray(lower)[None]
    inside = above & (confidence[:, None] <= jnp.asarray(upper)[None]) & where[:, None]
    return _per_example(jnp.where(inside, gaps[:, None], 0).sum(axis=0), where)


def _equal_mass(probabilities: Array, labels: Array, where: Array, bins: Any) -> Array:
    ranked = ranking(probabilities, labels, where)
    size, larger = jnp.divmod(ranked.number, np.int32(len(bins)))
    place = ranked.number - 1 - jnp.arange(len(labels), dtype=jnp.int32)  # from the least on
    beyond = place - larger * (size + 1)
    index = jnp.where(beyond < 0, place // (size + 1), larger + beyond // jnp.maximum(size, 1))
    inside = (index[:, None] == jnp.asarray(bins)[None]) & ranked.counts[:, None]
    gaps = ranked.confidence - (1 - ranked.error)
    return _per_example(jnp.where(inside, gaps[:, None], 0).sum(axis=0), where)


def _class_by_class(
    probabilities: Array, labels: Array, where: Array, lower: Any, upper: Any
) -> Array:
    gaps = class_gaps(probabilities, labels, where, lower, upper)
    return _per_example(gaps, where) / probabilities.shape[1]


def _per_example(gaps: Array, where: Array) -> Array:
    return jnp.abs(gaps).sum() / jnp.maximum(where.sum(), 1).astype(jnp.float32)
