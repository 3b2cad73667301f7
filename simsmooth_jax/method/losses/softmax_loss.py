"""Cross-entropy of integer labels against a table of soft labels."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.arrays import meshes, operands
from simsmooth_jax.method.tables import targets
from simsmooth_jax.method.tables.forms import LabelTable, Table, table_for_logits

CHUNK = 2**18  # entries of target rows at a time: 1 MiB


def softmax_cross_entropy_with_label_table(
    logits: Shaped[Array | np.ndarray, "*batch classes"],
    labels: Int[Array | np.ndarray, "*batch"],
    table: LabelTable,
    *,
    where: Bool[Array | np.ndarray, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    """Cross-entropy of `softmax(logits)` against row `labels` of a table of soft labels.

    `loss = -Σ_k t_k log softmax(z)_k` with `t = table[label]`. With the identity as the table it is
    `optax.softmax_cross_entropy_with_integer_labels`; every other method of label smoothing is
    another table, so one compiled training step serves them all.

    No one-hot vector and no `[..., K]` array of targets is built; rows of a factored table are made
    some examples at a time. Differentiable in logits and
    table, in reverse and forward mode; the gradient in the logits is `(Σ_k t_k) softmax(z) - t`. A
    class with logit -inf and no weight in the label contributes nothing. Works on batches and
    classes that are sharded over Auto and Explicit mesh axes.

    Args:
      logits: `[..., K]` float of any precision; computed in float32.
      labels: `[...]` integer, the class of each example, in [0, K). A label outside gives NaN
        instead of another class's row, because a compiled program cannot raise.
      table: row y is the target of class y, and sums to 1: `[K, K]` real, or what `top_k_labels` or
        `factored_labels` give where that would not fit. An index of a top-k table that is no class
        gives NaN where it is traced.
      where: `[...]` bool; examples with False have loss 0 and gradient 0, whatever they hold.

    Returns:
      `[...]` float32, in nats.

    Raises:
      ValueError: shapes do not match, labels are not integers, `where` is not boolean, or a table
        whose values are known has a row that does not sum to 1, or an index that is no class.

    Source: CN 112434722 A, [0058]; [0060] with the identity table.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> logits = jnp.array([[2.0, 0.0, -2.0], [0.0, 1.0, 0.0]])
      >>> table = ss.uniform_labels(3, 0.1)
      >>> loss = ss.softmax_cross_entropy_with_label_table(logits, jnp.array([0, 1]), table)
      >>> print(np.asarray(loss).round(4))
      [0.3429 0.6181]
    """
    function = "softmax_cross_entropy_with_label_table"
    logits, labels, where = _opened(function, logits, labels, where)
    num_classes = logits.shape[-1]
    door = table_for_logits(function, table, num_classes)
    logits = jnp.asarray(logits, jnp.float32)
    labels = meshes.beside(labels, logits)
    known, is_known = targets.in_range(labels, num_classes)
    if where is not None:  # before the formula, so that NaN in padding reaches no gradient
        logits = jnp.where(where[..., None], logits, 0)
        is_known |= ~where
    losses = _in_chunks(door, known, logits)
    losses = targets.nan_where_unknown(losses, is_known)
    return losses if where is None else jnp.where(where, losses, 0)


def _cross_entropy(table: Table, labels: Array, logits: Array) -> Array:
    peak = jax.lax.stop_gradient(logits.max(axis=-1))
    if logits.shape[-1] >= targets.LONG_ROW:  # with the gradient, XLA gives it no second [B, K]
        log_sum = jax.nn.logsumexp(logits, axis=-1) - peak
    else:  # no digits are lost below a large peak
        log_sum = jnp.log(jnp.exp(logits - peak[..., None]).sum(axis=-1))
    return table.cross_entropy(labels, peak, log_sum, logits)


def _in_chunks(table: Table, labels: Array, logits: Array) -> Array:
    """Some examples at a time where rows are made, so that they take no second `[B, K]` array."""
    size = logits.size
    if not table.makes_rows or size <= CHUNK or meshes.on_several_devices(logits):
        return _cross_entropy(table, labels, logits)
    batch = labels.size
    most = max(1, CHUNK // logits.shape[-1])
    each = max(d for d in range(1, most + 1) if batch % d == 0)
    chunks = labels.reshape(-1, each), logits.reshape(-1, each, logits.shape[-1])
    one = jax.checkpoint(partial(_cross_entropy, table))
    return jax.lax.map(lambda chunk: one(*chunk), chunks).reshape(labels.shape)


def _opened(function: str, logits: Any, labels: Any, where: Any) -> tuple[Any, Any, Any]:
    advice = "Pass what the model gives before softmax."
    logits = operands.floats(function, "logits", logits, "[..., K]", advice)
    if not logits.shape:
        must, got = "be floating point [..., K]", f"{logits.dtype}[]"
        raise InputError(f"{function}: logits", must, got, advice)
    advice = "For dense soft labels use optax.softmax_cross_entropy."
    labels = operands.integers(function, "labels", labels, advice)
    if labels.shape != logits.shape[:-1]:
        raise InputError(
            f"{function}: labels",
            f"have the shape of logits without the class axis, {logits.shape[:-1]}",
            labels.shape,
            "Labels are indices, not one-hot vectors.",
        )
    where = None if where is None else operands.mask(function, where, labels.shape)
    return logits, labels, where
