"""Adaptive and conditional label smoothing: hard labels, and a penalty on large logits."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from simsmooth_jax.method.arrays import operands
from simsmooth_jax.method.objectives.margin_smoothing import MarginData, margin_data
from simsmooth_jax.method.objectives.objective import Batch, Objective, hard_cross_entropy, no_state

OTHERS = 0.1  # weight of the others' mean against the largest logit's part: the authors'


def conditional_smoothing(
    strength: operands.Number = 0.1, *, margin: operands.Number = 10.0
) -> Objective:
    """ACLS: hard labels, and squared penalties on a largest logit above a margin and on far ones.

    `loss = CE(e_y) + strength [max(z_m - margin, 0)^2
    + 0.1 mean_(k≠m) max(sg(z_m) - z_k - margin, 0)^2]` with `CE(e_y) = -log softmax(z)_y`, m the
    class of the largest logit, which need not be y, and sg without a gradient. Of equal largest
    logits each has the first part, and none the second, whose mean is over K - 1 all the same.

    `margin_smoothing` is linear in the distances, and pulls the largest logit down by those of all
    others. Here the force grows with the excess; a far logit is pulled up alone; and the largest
    comes down by its own size: a constant added to all logits changes the loss.

    Args:
      strength: weight of both penalties in [0, 1], the authors' 0.1 at first. May be traced.
      margin: size of the largest logit, and distance to it, that costs nothing, above 0, in
        logits. May be traced.

    Returns:
      An `Objective` without a state.

    Raises:
      ValueError: strength is outside [0, 1], or margin is not above 0.

    Source: Park et al. 2023, arXiv:2308.11911, as in the authors' code.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> objective = ss.objectives.conditional_smoothing(0.3, margin=1)
      >>> batch = ss.objectives.Batch(labels=jnp.array([0]), step=jnp.array(0))
      >>> logits = jnp.array([[2.0, 0.0, -2.0]])
      >>> print(objective.loss(objective.data, (), logits, batch).round(4))
      [0.5929]
    """
    return Objective(margin_data("conditional_smoothing", strength, margin), no_state, _loss)


def _loss(
    data: MarginData,
    state: tuple[()],
    logits: Float[Array | np.ndarray, "batch classes"],
    batch: Batch,
) -> Float[Array, " batch"]:
    logits = jnp.asarray(logits, jnp.float32)
    largest = jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
    is_largest = logits == largest
    excess = jnp.maximum(jnp.where(is_largest, logits, largest - logits) - data.margin, 0)
    weights = jnp.where(is_largest, 1, OTHERS / max(logits.shape[-1] - 1, 1))
    penalty = (weights * excess**2).sum(axis=-1)
    return hard_cross_entropy(logits, batch.labels) + data.strength * penalty
