"""PS-KD: hard labels, and more and more of what the classifier said of the image last time."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from simsmooth_jax.machine.memory import refuse_predictions
from simsmooth_jax.method.arrays import checks, meshes, operands
from simsmooth_jax.method.objectives.objective import (
    Batch,
    Objective,
    hard_cross_entropy,
    known_examples,
)
from simsmooth_jax.method.tables import targets

NAME = "progressive_self_distillation"


class _Data(NamedTuple):
    strength: Float[Array, ""]
    steps_per_epoch: Int[Array, ""]
    epochs: Int[Array, ""]


def progressive_self_distillation(
    num_examples: int,
    num_classes: int,
    strength: operands.Number = 0.8,
    *,
    steps_per_epoch: int,
    epochs: int,
) -> Objective:
    """PS-KD: hard labels, and the classifier's own prediction for the image of the epoch before.

    `loss = (1 - a_t) CE(e_y) + a_t CE(p_i)` in epoch t for image i, with `CE(q) = -Σ_k q_k log
    softmax(z)_k`, `a_t = strength (t + 1) / epochs` and the prediction `p_i` of the last time that
    i was in a batch, in that step's own pass. An image that has not been seen yet, as all in epoch
    0, has its hard label for it (the authors' code has zeros for one that a last, smaller batch
    left out).

    The predictions must be of single images: mixup and CutMix are refused. An example beyond the
    last row costs NaN.

    Args:
      num_examples: n, images of the training set, of which `Batch.examples` tells.
      num_classes: K, at least 2.
      strength: the weight of the own prediction in the last epoch, in [0, 1]. May be traced.
      steps_per_epoch: steps after which the next epoch begins.
      epochs: how many there are; later ones have the last one's weight.

    Returns:
      An `Objective` whose state is the predictions, `[n, K]` float32 on every device and in every
      checkpoint: 20 MB for CIFAR-100, 5 GB for ImageNet.

    Raises:
      ValueError: an argument is out of range, or the state would not fit into memory; `loss` or
        `update` is given a batch without examples.

    Source: Kim et al. 2021, arXiv:2006.12000.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> objective = ss.objectives.progressive_self_distillation(
      ...     5, 3, strength=0.8, steps_per_epoch=1, epochs=2
      ... )
      >>> state, logits = objective.init(), jnp.array([[2.0, 0.0, -2.0]])
      >>> for epoch in range(2):
      ...     batch = ss.objectives.Batch(jnp.array([0]), jnp.array(epoch), jnp.array([4]))
      ...     print(objective.loss(objective.data, state, logits, batch).round(4))
      ...     state = objective.update(objective.data, state, logits, batch)
      [0.1429]
      [0.3814]
    """
    checks.whole(NAME, "num_examples", num_examples, 1, "It is the size of the training set.")
    checks.class_count(NAME, num_classes)
    strength = operands.fraction(NAME, "strength", strength)
    checks.whole(NAME, "steps_per_epoch", steps_per_epoch, 1, "It is n over the batch size.")
    checks.whole(NAME, "epochs", epochs, 1, "It is how long the training will be.")
    advice = "Train against a table, which has one row for each class."
    refuse_predictions(NAME, num_examples, num_classes, advice)
    steps = (jnp.asarray(number, jnp.int32) for number in (steps_per_epoch, epochs))
    data = _Data(jnp.asarray(strength, jnp.float32), *steps)
    init = partial(jnp.zeros, (num_examples, num_classes), jnp.float32)  # no prediction yet
    return Objective(data, init, _loss, _update, unmixed=True)


def _loss(
    data: _Data,
    predictions: Float[Array, "examples classes"],
    logits: Float[Array | np.ndarray, "batch classes"],
    batch: Batch,
) -> Float[Array, " batch"]:
    logits = jnp.asarray(logits, jnp.float32)
    known, is_known = known_examples(NAME, batch, len(predictions))
    hard = hard_cross_entropy(logits, batch.labels)
    soft = _of_predictions(predictions, known, hard, logits)
    soft = targets.nan_where_unknown(soft, is_known)
    epoch = jnp.minimum(jnp.asarray(batch.step) // data.steps_per_epoch + 1, data.epochs)
    weight = data.strength * epoch.astype(jnp.float32) / data.epochs.astype(jnp.float32)
    return (1 - weight) * hard + weight * soft


@meshes.by_example
def _of_predictions(
    predictions: Array, examples: Array, hard: Array, logits: Array
) -> Float[Array, " batch"]:
    """`CE(p_i)`, or the hard one where there is no prediction yet."""
    rows = jnp.asarray(predictions)[examples]
    return jnp.where(rows.any(axis=-1), optax.softmax_cross_entropy(logits, rows), hard)


def _update(
    data: _Data,
    predictions: Float[Array, "examples classes"],
    logits: Float[Array | np.ndarray, "batch classes"],
    batch: Batch,
) -> Float[Array, "examples classes"]:
    known, is_known = known_examples(NAME, batch, len(predictions))
    places = jnp.where(is_known, known, len(predictions))  # beyond the last: dropped
    now = jax.nn.softmax(jnp.asarray(logits, jnp.float32))
    return jnp.asarray(predictions).at[places].set(now, mode="drop")
