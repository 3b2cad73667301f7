"""Label Smoothing++: what the hard label leaves to the other classes is learnt, class by class."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.memory import refuse_dense_table
from simsmooth_jax.method.arrays import checks, meshes, operands
from simsmooth_jax.method.losses.softmax_loss import softmax_cross_entropy_with_label_table
from simsmooth_jax.method.objectives.objective import Batch, Objective, known_labels

NAME = "label_smoothing_plus_plus"


class _Data(NamedTuple):
    strength: Float[Array, ""]
    learning_rate: Float[Array, ""]


def label_smoothing_plus_plus(
    num_classes: int, strength: operands.Number = 0.1, *, learning_rate: operands.Number = 1.0
) -> Objective:
    """LS++: labels whose weights on the other classes follow the predictions.

    `loss = ½ [CE(q, p) + CE(p, q)]` with `CE(t, p) = -Σ_k t_k log p_k`, `p = softmax(z)` and
    `q = (1 - strength) e_y + strength softmax(C_y)`, where the softmax is over the K - 1 other
    classes. The classifier has its gradient from the first half alone, and the matrix C from the
    second: in each step `C - learning_rate ∂/∂C mean ½ CE(p, q)`, from C = 0 on, which is uniform
    over the others. The ½ halves the rate of the classifier's own optimizer as well.

    The authors train C with the network's optimizer: SGD of rate 0.1 and momentum 0.9, whose steps
    add up to those of rate 1 without momentum, times the schedule, with weight decay. Here it is
    plain SGD of a constant rate. The predictions must be of single images: mixup and CutMix are
    refused.

    Args:
      num_classes: K, at least 2.
      strength: weight of the other classes, above 0 and below 1. May be traced.
      learning_rate: of C, above 0. May be traced.

    Returns:
      An `Objective` whose state is C, `[K, K]` float32; its diagonal stays 0 and is not read.

    Raises:
      ValueError: an argument is out of range, or the state would not fit into memory.

    Source: Chhabra et al. 2024, arXiv:2509.05307.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> objective = ss.objectives.label_smoothing_plus_plus(3)
      >>> batch = ss.objectives.Batch(jnp.array([0, 1, 2]), jnp.array(0))
      >>> logits = jnp.array([[4.0, 2, 0], [2, 4, 0], [0, 0, 4]])  # 0 and 1 are alike
      >>> state = objective.init()
      >>> for _ in range(200):
      ...     state = objective.update(objective.data, state, logits, batch)
      >>> print(jax.nn.softmax(state[0, 1:]).round(1))  # of the classes 1 and 2 for class 0
      [0.9 0.1]
    """
    checks.class_count(NAME, num_classes)
    strength = operands.fraction(NAME, "strength", strength)
    if not checks.is_traced(strength) and not 0 < float(strength) < 1:
        advice = "At 0 or 1 the second half of the loss is infinite; try 0.1."
        must, got = "be above 0 and below 1", f"{float(strength):g}"
        raise InputError(f"{NAME}: strength", must, got, advice)
    learning_rate = operands.positive(NAME, "learning_rate", learning_rate, "Try 1.")
    advice = "Train against a constant table: top_k_labels takes [K, k]."
    refuse_dense_table(NAME, num_classes, advice=advice)
    data = _Data(jnp.asarray(strength, jnp.float32), jnp.asarray(learning_rate, jnp.float32))
    init = partial(jnp.zeros, (num_classes, num_classes), jnp.float32)
    return Objective(data, init, _loss, _update, unmixed=True)


def _loss(
    data: _Data,
    matrix: Float[Array, "classes classes"],
    logits: Float[Array | np.ndarray, "batch classes"],
    batch: Batch,
) -> Float[Array, " batch"]:
    table = jnp.exp(_log_labels(data, matrix))
    of_classifier = softmax_cross_entropy_with_label_table(logits, batch.labels, table)
    known, _ = known_labels(NAME, batch, len(matrix))  # of others, the first half is NaN
    return (of_classifier + _of_matrix(data, matrix, known, logits)) / 2


def _update(
    data: _Data,
    matrix: Float[Array, "classes classes"],
    logits: Float[Array | np.ndarray, "batch classes"],
    batch: Batch,
) -> Float[Array, "classes classes"]:
    known, is_known = known_labels(NAME, batch, len(matrix))

    def mean_half(matrix: Array) -> Array:
        return jnp.where(is_known, _of_matrix(data, matrix, known, logits), 0).mean() / 2

    return matrix - data.learning_rate * jax.grad(mean_half)(matrix)


def _of_matrix(data: _Data, matrix: Array, labels: Array, logits: Any) -> Float[Array, " batch"]:
    """`CE(p, q)`, without a gradient in the logits."""
    logits = jax.lax.stop_gradient(jnp.asarray(logits, jnp.float32))
    return _reverse_cross_entropy(data, matrix, labels, logits)


@meshes.by_example
def _reverse_cross_entropy(data: _Data, matrix: Array, labels: Array, logits: Array) -> Array:
    return -(jax.nn.softmax(logits) * _log_labels(data, matrix)[labels]).sum(axis=-1)


def _log_labels(data: _Data, matrix: Array) -> Float[Array, "classes classes"]:
    """`log q` of every class."""
    own = jnp.eye(len(matrix), dtype=bool)
    others = jax.nn.log_softmax(jnp.where(own, -jnp.inf, matrix))
    return jnp.where(own, jnp.log1p(-data.strength), jnp.log(data.strength) + others)
