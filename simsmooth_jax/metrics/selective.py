"""Selective classification: the error of the predictions that a model is most confident of."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from simsmooth_jax.method.arrays import operands
from simsmooth_jax.metrics.arguments import mean, measured
from simsmooth_jax.metrics.ranking import Ranking, ranking


def aurc(
    probabilities: Shaped[Array | np.ndarray, "examples classes"],
    labels: Int[Array | np.ndarray, " examples"],
    *,
    where: Bool[Array | np.ndarray, " examples"] | None = None,
) -> Float[Array, ""]:
    """Area under the risk-coverage curve: does confidence rank right answers before wrong ones?

    `mean_k risk_k`, where `risk_k` is the error among the k most confident of n examples, for k
    from 1 to n, and confidence is `max_k p_k`. Lower is better. Examples of the same confidence, as
    float32 makes them at 1, are one group with its expected risk: their order is without effect.

    Args:
      probabilities: `[n, K]` real, as for `accuracy`.
      labels: `[n]` integer class indices from 0 to K - 1.
      where: `[n]` bool; examples with False are left out.

    Returns:
      float32 in [0, 1]; NaN under transformations where `accuracy` is.

    Raises:
      ValueError: whatever `accuracy` refuses.

    Source: Geifman and El-Yaniv 2017 (arXiv:1705.08500); Geifman et al. 2019 (arXiv:1805.08206).

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> probabilities = jnp.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]])
      >>> print(f"{ss.metrics.aurc(probabilities, jnp.array([0, 1, 0])):.4f}")  # 0, 1/2, 1/3
      0.2778
    """
    return measured("aurc", _aurc, probabilities, labels, where)


def excess_aurc(
    probabilities: Shaped[Array | np.ndarray, "examples classes"],
    labels: Int[Array | np.ndarray, " examples"],
    *,
    where: Bool[Array | np.ndarray, " examples"] | None = None,
) -> Float[Array, ""]:
    """AURC above that of the best order of the same answers: ranking apart from accuracy.

    `aurc - mean_k max(0, k - n + w) / k` with w wrong answers of n, which the best order puts last.

    Args:
      probabilities: `[n, K]` real, as for `accuracy`.
      labels: `[n]` integer class indices from 0 to K - 1.
      where: `[n]` bool; examples with False are left out.

    Returns:
      float32 in [0, 1]; NaN under transformations where `accuracy` is.

    Raises:
      ValueError: whatever `accuracy` refuses.

    Source: Geifman et al. 2019 (arXiv:1805.08206), with the exact optimum in the place of
      `r + (1 - r) log(1 - r)`, its limit for many examples.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> probabilities = jnp.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]])
      >>> print(f"{ss.metrics.excess_aurc(probabilities, jnp.array([0, 1, 0])):.4f}")  # less 1/9
      0.1667
    """
    return measured("excess_aurc", _excess_aurc, probabilities, labels, where)


def coverage_at_risk(
    probabilities: Shaped[Array | np.ndarray, "examples classes"],
    labels: Int[Array | np.ndarray, " examples"],
    risk: operands.Number,
    *,
    where: Bool[Array | np.ndarray, " examples"] | None = None,
) -> Float[Array, ""]:
    """Largest share of the examples that can be answered with at most so much error.

    `max {k / n: risk_k <= risk}` on the curve as it is, with the `risk_k` of `aurc`; NaN where no
    `risk_k` is that low.

    Args:
      probabilities: `[n, K]` real, as for `accuracy`.
      labels: `[n]` integer class indices from 0 to K - 1.
      risk: the error that is borne, in [0, 1]; may be traced.
      where: `[n]` bool; examples with False are left out.

    Returns:
      float32 in (0, 1], or NaN; also under transformations where `accuracy` is.

    Raises:
      ValueError: risk is no number in [0, 1], and whatever `accuracy` refuses.

    Source: Geifman and El-Yaniv 2017 (arXiv:1705.08500), without their bound for new data.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> probabilities = jnp.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]])
      >>> print(f"{ss.metrics.coverage_at_risk(probabilities, jnp.array([0, 1, 0]), 0.1):.3f}")
      0.333
    """
    function = "coverage_at_risk"
    risk = operands.fraction(function, "risk", risk, "0.05 bears one error in 20 answers.")
    return measured(function, _coverage_at_risk, probabilities, labels, where, risk)


def _aurc(probabilities: Array, labels: Array, where: Array) -> Array:
    ranked = ranking(probabilities, labels, where)
    return mean(_risk(ranked.errors), ranked.counts)


def _excess_aurc(probabilities: Array, labels: Array, where: Array) -> Array:
    ranked = ranking(probabilities, labels, where)
    wrong = jnp.round(jnp.where(ranked.counts, ranked.errors, 0).max())
    right = ranked.number.astype(jnp.float32) - wrong
    optimum = jnp.maximum(_answered(ranked.errors) - right, 0)
    excess = jnp.maximum(ranked.errors - optimum, 0)  # of rounding alone it may be below
    return mean(_risk(excess), ranked.counts)


def _coverage_at_risk(probabilities: Array, labels: Array, where: Array, risk: Any) -> Array:
    ranked: Ranking = ranking(probabilities, labels, where)
    is_borne = ranked.counts & (_risk(ranked.errors) <= jnp.asarray(risk, jnp.float32))
    most = jnp.where(is_borne, _answered(ranked.errors), 0).max()
    number = jnp.maximum(ranked.number, 1).astype(jnp.float32)
    return jnp.where(most > 0, most / number, jnp.nan)


def _answered(errors: Array) -> Array:
    return jnp.arange(1, len(errors) + 1, dtype=jnp.int32).astype(jnp.float32)


def _risk(errors: Array) -> Array:
    return errors / _answered(errors)
