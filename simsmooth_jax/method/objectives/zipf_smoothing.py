"""Zipf's label smoothing: the other classes weigh as their rank in the prediction says."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from simsmooth_jax.method.arrays import meshes, operands
from simsmooth_jax.method.objectives.objective import (
    Batch,
    Objective,
    hard_cross_entropy,
    known_labels,
    no_state,
)

NAME = "zipf_smoothing"


class _Data(NamedTuple):
    strength: Float[Array, ""]
    power: Float[Array, ""]


def zipf_smoothing(strength: operands.Number = 0.1, *, power: operands.Number = 1.0) -> Objective:
    """Zipf's label smoothing: hard labels, and other classes that follow Zipf's law by their rank.

    `loss = CE(e_y) + strength KL(r || p)` over the classes other than y: `p = softmax(z)` of these
    alone, and `r_k ∝ rank_k ** -power`, where `rank_k` is 1 plus the number of classes with a
    larger logit than k's, y counted, and has no gradient. Equal logits have equal ranks. Then y is
    left out and r is normalised, as the authors do: with y on top, r is that of 2, 3, 4, ….

    Ranks are those of the logits. The authors' dense variant counts votes of places in the feature
    map instead, for which an objective has no input.

    Args:
      strength: weight of the divergence in [0, 1], the authors' 0.1 at first. May be traced.
      power: how fast the weights fall with the rank, above 0. May be traced.

    Returns:
      An `Objective` without a state.

    Raises:
      ValueError: strength is outside [0, 1], or power is not above 0.

    Source: Liang et al. 2022, arXiv:2207.12980.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> objective = ss.objectives.zipf_smoothing(0.1)
      >>> batch = ss.objectives.Batch(labels=jnp.array([0]), step=jnp.array(0))
      >>> logits = jnp.array([[2.0, 0.0, -2.0]])
      >>> print(objective.loss(objective.data, (), logits, batch).round(4))
      [0.1683]
    """
    strength = operands.fraction(NAME, "strength", strength)
    power = operands.positive(NAME, "power", power, "Larger is sharper; try 1.")
    data = _Data(jnp.asarray(strength, jnp.float32), jnp.asarray(power, jnp.float32))
    return Objective(data, no_state, _loss)


def _loss(
    data: _Data,
    state: tuple[()],
    logits: Float[Array | np.ndarray, "batch classes"],
    batch: Batch,
) -> Float[Array, " batch"]:
    logits = jnp.asarray(logits, jnp.float32)
    known, _ = known_labels(NAME, batch, logits.shape[-1])  # of others, the first term is NaN
    hard = hard_cross_entropy(logits, batch.labels)
    return hard + data.strength * _divergence(data, known, logits)


@meshes.by_example
def _divergence(data: _Data, labels: Array, logits: Array) -> Float[Array, " batch"]:
    own = labels[:, None] == jnp.arange(logits.shape[-1], dtype=jnp.int32)[None]
    log_mass = -data.power * jnp.log(_ranks(jax.lax.stop_gradient(logits)))
    log_target = jax.nn.log_softmax(jnp.where(own, -jnp.inf, log_mass))
    log_prediction = jax.nn.log_softmax(jnp.where(own, -jnp.inf, logits))
    difference = jnp.where(own, 0, log_target) - jnp.where(own, 0, log_prediction)
    return (jnp.exp(log_target) * difference).sum(axis=-1)


def _ranks(logits: Float[Array, "batch classes"]) -> Float[Array, "batch classes"]:
    """1 for the largest of each row; equal ones have the same, the least of theirs."""

    def of_row(row: Array) -> Array:
        return jnp.searchsorted(jnp.sort(-row), -row, side="left", method="sort")

    return 1 + jax.vmap(of_row)(logits).astype(jnp.float32)
