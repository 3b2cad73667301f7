"""Margin-based label smoothing: hard labels, and a penalty on logits that are too far apart."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from simsmooth_jax.method.arrays import operands
from simsmooth_jax.method.objectives.objective import Batch, Objective, hard_cross_entropy, no_state


class MarginData(NamedTuple):
    """The numbers of a penalty on what exceeds a margin."""

    strength: Float[Array, ""]
    margin: Float[Array, ""]


def margin_smoothing(
    strength: operands.Number = 0.1, *, margin: operands.Number = 10.0
) -> Objective:
    """MbLS: hard labels, and a penalty on logits that are further than a margin below the largest.

    `loss = CE(e_y) + strength mean_k max(max_j z_j - z_k - margin, 0)` with
    `CE(e_y) = -log softmax(z)_y`. Uniform smoothing pulls at all distances of logits down to 0;
    this leaves those within the margin alone. Where several logits are the largest, they share the
    gradient.

    Args:
      strength: weight of the penalty in [0, 1], the authors' 0.1 at first. May be traced.
      margin: distance that costs nothing, above 0, in logits. May be traced.

    Returns:
      An `Objective` without a state.

    Raises:
      ValueError: strength is outside [0, 1], or margin is not above 0.

    Source: Liu et al. 2022, arXiv:2111.15430.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> objective = ss.objectives.margin_smoothing(0.3, margin=2)
      >>> batch = ss.objectives.Batch(labels=jnp.array([0]), step=jnp.array(0))
      >>> logits = jnp.array([[2.0, 0.0, -2.0]])
      >>> print(objective.loss(objective.data, (), logits, batch).round(4))
      [0.3429]
    """
    return Objective(margin_data("margin_smoothing", strength, margin), no_state, _loss)


def margin_data(function: str, strength: operands.Number, margin: operands.Number) -> MarginData:
    """Both numbers as arrays; refuses a strength outside [0, 1] and a margin not above 0."""
    strength = operands.fraction(function, "strength", strength)
    margin = operands.positive(function, "margin", margin, "Smaller is smoother; try 10.")
    return MarginData(jnp.asarray(strength, jnp.float32), jnp.asarray(margin, jnp.float32))


def _loss(
    data: MarginData,
    state: tuple[()],
    logits: Float[Array | np.ndarray, "batch classes"],
    batch: Batch,
) -> Float[Array, " batch"]:
    logits = jnp.asarray(logits, jnp.float32)
    distance = logits.max(axis=-1, keepdims=True) - logits
    excess = jnp.maximum(distance - data.margin, 0).mean(axis=-1)
    return hard_cross_entropy(logits, batch.labels) + data.strength * excess
