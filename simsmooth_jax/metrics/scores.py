"""Scores that are means over the examples: accuracy, likelihood, squared error."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.arrays import checks
from simsmooth_jax.metrics.arguments import distributions, mean, measured


def accuracy(
    probabilities: Shaped[Array | np.ndarray, "examples classes"],
    labels: Int[Array | np.ndarray, " examples"],
    *,
    where: Bool[Array | np.ndarray, " examples"] | None = None,
) -> Float[Array, ""]:
    """Share of the examples whose most probable class is their label.

    `mean_i [argmax_k p_ik = y_i]`; of equal probabilities the first class counts.

    Args:
      probabilities: `[n, K]` real, one distribution an example, as softmax of the logits; computed
        in float32.
      labels: `[n]` integer class indices from 0 to K - 1.
      where: `[n]` bool; examples with False are left out, whatever they hold, as padding.

    Returns:
      float32 in [0, 1]. Values are looked at where they are known; under `jit` and other
      transformations the metric is NaN where an example that counts has NaN or a label that is no
      class, or where none counts.

    Raises:
      ValueError: a row that counts is no distribution, a label is no class, no example counts,
        or shapes do not match.

    Source: the usual definition, as scikit-learn's `accuracy_score`.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> probabilities = jnp.array([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
      >>> print(f"{ss.metrics.accuracy(probabilities, jnp.array([0, 1, 1])):.3f}")
      0.667
    """
    return measured("accuracy", _accuracy, probabilities, labels, where)


def top_k_accuracy(
    probabilities: Shaped[Array | np.ndarray, "examples classes"],
    labels: Int[Array | np.ndarray, " examples"],
    k: int = 5,
    *,
    where: Bool[Array | np.ndarray, " examples"] | None = None,
) -> Float[Array, ""]:
    """Share of the examples whose label is among their k most probable classes.

    `mean_i [#{j: p_ij > p_iy} + #{j < y: p_ij = p_iy} < k]`: of equal probabilities the first
    classes count, so that `k=1` is `accuracy`.

    Args:
      probabilities: `[n, K]` real, as for `accuracy`.
      labels: `[n]` integer class indices from 0 to K - 1.
      k: how many classes may be named, from 1 to K.
      where: `[n]` bool; examples with False are left out.

    Returns:
      float32 in [0, 1]; NaN under transformations where `accuracy` is.

    Raises:
      ValueError: k is no integer from 1 to K, and whatever `accuracy` refuses.

    Source: Russakovsky et al. 2015 (arXiv:1409.0575), top-5 error; scikit-learn's
      `top_k_accuracy_score`, where ties count for the last classes.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> probabilities = jnp.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
      >>> print(ss.metrics.top_k_accuracy(probabilities, jnp.array([1, 2]), k=2))
      0.5
    """
    function, advice = "top_k_accuracy", "All classes hold every label."
    checks.whole(function, "k", k, 1, "1 is accuracy.")
    probabilities = distributions(function, probabilities)
    if k > probabilities.shape[1]:
        must = f"be at most the {probabilities.shape[1]} classes"
        raise InputError(f"{function}: k", must, k, advice)
    return measured(function, _top_k_accuracy, probabilities, labels, where, np.int32(k))


def negative_log_likelihood(
    probabilities: Shaped[Array | np.ndarray, "examples classes"],
    labels: Int[Array | np.ndarray, " examples"],
    *,
    where: Bool[Array | np.ndarray, " examples"] | None = None,
) -> Float[Array, ""]:
    """Mean negative log-likelihood of the labels, also called log loss or cross-entropy.

    `mean_i -log p_iy`: infinite where a label has probability 0, as all below 1e-38 is in float32.
    `batch_values` takes logits, and has no such end.

    Args:
      probabilities: `[n, K]` real, as for `accuracy`.
      labels: `[n]` integer class indices from 0 to K - 1.
      where: `[n]` bool; examples with False are left out.

    Returns:
      float32, in nats; NaN under transformations where `accuracy` is.

    Raises:
      ValueError: whatever `accuracy` refuses.

    Source: scikit-learn's `log_loss`, which clips probabilities.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> probabilities = jnp.array([[0.7, 0.3], [0.6, 0.4]])
      >>> print(f"{ss.metrics.negative_log_likelihood(probabilities, jnp.array([0, 1])):.4f}")
      0.6365
    """
    return measured("negative_log_likelihood", _log_likelihood, probabilities, labels, where)


def brier_score(
    probabilities: Shaped[Array | np.ndarray, "examples classes"],
    labels: Int[Array | np.ndarray, " examples"],
    *,
    where: Bool[Array | np.ndarray, " examples"] | None = None,
) -> Float[Array, ""]:
    """Mean squared distance of a prediction to the one-hot label, summed over the classes.

    `mean_i Σ_k (p_ik - [k = y_i])²`, from 0 to 2. Some halve it, or divide it by K.

    Args:
      probabilities: `[n, K]` real, as for `accuracy`.
      labels: `[n]` integer class indices from 0 to K - 1.
      where: `[n]` bool; examples with False are left out.

    Returns:
      float32 in [0, 2]; NaN under transformations where `accuracy` is.

    Raises:
      ValueError: whatever `accuracy` refuses.

    Source: Brier 1950, in its original form for several classes.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> probabilities = jnp.array([[0.7, 0.3], [0.6, 0.4]])
      >>> print(f"{ss.metrics.brier_score(probabilities, jnp.array([0, 1])):.2f}")
      0.45
    """
    return measured("brier_score", _brier_score, probabilities, labels, where)


def top_class(values: Float[Array, "examples classes"]) -> Int[Array, " examples"]:
    """The first class with the largest value."""
    return values.argmax(axis=1).astype(jnp.int32)


def own_class(labels: Int[Array, " examples"], num_classes: int) -> Bool[Array, "examples classes"]:
    """One-hot labels, which XLA compares where they are used."""
    return labels[:, None] == jnp.arange(num_classes, dtype=jnp.int32)[None]


def _accuracy(probabilities: Array, labels: Array, where: Array) -> Array:
    return mean(top_class(probabilities) == labels, where)


def _top_k_accuracy(probabilities: Array, labels: Array, where: Array, k: Any) -> Array:
    classes = jnp.arange(probabilities.shape[1], dtype=jnp.int32)[None]
    own = jnp.take_along_axis(probabilities, labels[:, None], axis=1)
    before = (probabilities > own) | ((probabilities == own) & (classes < labels[:, None]))
    return mean(before.sum(axis=1, dtype=jnp.int32) < k, where)


def _log_likelihood(probabilities: Array, labels: Array, where: Array) -> Array:
    own = jnp.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    return mean(-jnp.log(jnp.where(where, own, 1)), where)


def _brier_score(probabilities: Array, labels: Array, where: Array) -> Array:
    gaps = probabilities - own_class(labels, probabilities.shape[1]).astype(jnp.float32)
    return mean(jnp.square(gaps).sum(axis=1), where)
