"""Max suppression: hard labels, and a penalty on the largest logit."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from simsmooth_jax.method.arrays import operands
from simsmooth_jax.method.objectives.objective import Batch, Objective, hard_cross_entropy, no_state


def max_suppression(strength: operands.Number = 0.1) -> Objective:
    """MaxSup: hard labels, and a penalty on how far the largest logit is above their mean.

    `loss = -log softmax(z)_y + strength (max_k z_k - mean_k z_k)`. Uniform smoothing is the same
    with `z_y` in the place of the maximum: its penalty grows with every right answer and pushes
    wrong ones further, this one does not. Where several logits are the largest, they share the
    gradient.

    Args:
      strength: weight of the penalty in [0, 1], the authors' 0.1 at first. May be traced.

    Returns:
      An `Objective` without a state.

    Raises:
      ValueError: strength is outside [0, 1].

    Source: Zhou et al. 2025, arXiv:2502.15798; it compares with CN 112434722 A, [0065].

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> import simsmooth_jax as ss
      >>> images, labels = jnp.eye(4), jnp.array([0, 1, 2, 2])
      >>> objective, kernel = ss.objectives.max_suppression(0.1), jnp.zeros((4, 3))
      >>> @jax.jit
      ... def step(kernel, number):
      ...     batch = ss.objectives.Batch(labels, number)
      ...     def mean_loss(kernel):
      ...         return objective.loss(objective.data, (), images @ kernel, batch).mean()
      ...     loss, gradient = jax.value_and_grad(mean_loss)(kernel)
      ...     return kernel - gradient, loss
      >>> for number in range(100):
      ...     kernel, loss = step(kernel, number)
      >>> print(loss < 0.6)
      True
    """
    strength = operands.fraction("max_suppression", "strength", strength)
    return Objective(jnp.asarray(strength, jnp.float32), no_state, _loss)


def _loss(
    strength: Float[Array, ""],
    state: tuple[()],
    logits: Float[Array | np.ndarray, "batch classes"],
    batch: Batch,
) -> Float[Array, " batch"]:
    logits = jnp.asarray(logits, jnp.float32)
    excess = logits.max(axis=-1) - logits.mean(axis=-1)
    return hard_cross_entropy(logits, batch.labels) + strength * excess
