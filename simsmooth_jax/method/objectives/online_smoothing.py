"""Online label smoothing: labels that are the mean predictions of the epoch before."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from simsmooth_jax.machine.memory import refuse_dense_table
from simsmooth_jax.method.arrays import checks, operands
from simsmooth_jax.method.losses.softmax_loss import softmax_cross_entropy_with_label_table
from simsmooth_jax.method.objectives.objective import (
    Batch,
    Objective,
    hard_cross_entropy,
    known_labels,
    refuse_steps,
)


class _Data(NamedTuple):
    strength: Float[Array, ""]
    warmup_steps: Int[Array, ""]


class _State(NamedTuple):
    table: Float[Array, "classes classes"]  # of the period before: the soft labels
    sums: Float[Array, "classes classes"]  # of this period: row y of class y's predictions
    counts: Float[Array, " classes"]


def online_label_smoothing(
    num_classes: int,
    strength: operands.Number = 0.5,
    *,
    warmup_steps: int = 0,
    refresh_steps: int | None = None,
) -> Objective:
    """OLS: hard labels, and the mean predictions of the epoch before, half and half.

    `loss = (1 - strength) CE(e_y) + strength CE(S_y)`, where row `S_y` is the mean of `softmax(z)`
    over the images of class y that the epoch before has classified rightly. Until the first
    refresh, and through the warm-up, `S_y` is the hard label (the authors' code has zeros there,
    which halves the loss). A class without a right answer gets a uniform row.

    The predictions are those of the training's own steps, in float32 and with the weights of their
    time. They must be of single images: mixup and CutMix are refused.

    Args:
      num_classes: K, at least 2.
      strength: weight of the soft label in [0, 1]. May be traced.
      warmup_steps: refreshes before this step leave the labels hard.
      refresh_steps: steps between refreshes; None is the end of each epoch.

    Returns:
      An `Objective` whose state takes two tables `[K, K]` float32.

    Raises:
      ValueError: an argument is out of range, or the state would not fit into memory.

    Source: Zhang et al. 2021, arXiv:2011.12562, equations 5 to 8; it compares with CN 112434722 A.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> images, labels = jnp.eye(4), jnp.array([0, 1, 2, 2])
      >>> objective, kernel = ss.objectives.online_label_smoothing(3), jnp.zeros((4, 3))
      >>> @jax.jit
      ... def step(kernel, state, number):
      ...     batch = ss.objectives.Batch(labels, number)
      ...     def loss(kernel):
      ...         return objective.loss(objective.data, state, images @ kernel, batch).mean()
      ...     new_state = objective.update(objective.data, state, images @ kernel, batch)
      ...     return kernel - jax.grad(loss)(kernel), new_state
      >>> state = objective.init()
      >>> for number in range(20):
      ...     kernel, state = step(kernel, state, number)
      >>> state = objective.refresh(objective.data, state, kernel, 20)  # at the end of an epoch
      >>> print(state.table.argmax(axis=1))
      [0 1 2]
    """
    name = "online_label_smoothing"
    checks.class_count(name, num_classes)
    strength = operands.fraction(name, "strength", strength)
    refuse_steps(name, warmup_steps, refresh_steps)
    advice = "Train against a constant table: top_k_labels takes [K, k]."
    refuse_dense_table(name, num_classes, advice=advice, count=2)
    data = _Data(jnp.asarray(strength, jnp.float32), jnp.asarray(warmup_steps, jnp.int32))
    init = partial(_init, num_classes)
    return Objective(data, init, _loss, _update, _refresh, refresh_steps, unmixed=True)


def _init(num_classes: int) -> _State:
    shape = (num_classes, num_classes)
    return _State(jnp.eye(num_classes), jnp.zeros(shape), jnp.zeros(num_classes))


def _loss(
    data: _Data, state: _State, logits: Float[Array | np.ndarray, "batch classes"], batch: Batch
) -> Float[Array, " batch"]:
    hard = hard_cross_entropy(logits, batch.labels)
    soft = softmax_cross_entropy_with_label_table(logits, batch.labels, state.table)
    return (1 - data.strength) * hard + data.strength * soft


def _update(
    data: _Data, state: _State, logits: Float[Array | np.ndarray, "batch classes"], batch: Batch
) -> _State:
    logits = jnp.asarray(logits, jnp.float32)
    known, is_known = known_labels("online_label_smoothing", batch, logits.shape[-1])
    is_right = (logits.argmax(axis=-1) == known) & is_known
    predictions = jnp.where(is_right[:, None], jax.nn.softmax(logits), 0)
    return _State(
        state.table,
        state.sums.at[known].add(predictions),
        state.counts.at[known].add(is_right.astype(jnp.float32)),
    )


def _refresh(data: _Data, state: _State, params: Any, step: Int[Array, ""] | int) -> _State:
    num_classes = len(state.counts)
    counts = state.counts[:, None]
    means = jnp.where(counts > 0, state.sums / jnp.maximum(counts, 1), 1 / num_classes)
    table = jnp.where(step < data.warmup_steps, jnp.eye(num_classes), means)
    return _State(table, jnp.zeros_like(state.sums), jnp.zeros_like(state.counts))
