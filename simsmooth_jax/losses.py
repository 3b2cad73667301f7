"""Cross-entropy of integer labels against a table of soft labels."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from simsmooth_jax import checks
from simsmooth_jax.errors import InputError


def softmax_cross_entropy_with_label_table(
    logits: Shaped[Array | np.ndarray, "*batch classes"],
    labels: Int[Array | np.ndarray, "*batch"],
    table: Shaped[Array | np.ndarray, "classes classes"],
    *,
    where: Bool[Array | np.ndarray, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    """Cross-entropy of `softmax(logits)` against row `labels` of a table of soft labels.

    `loss = -Σ_k t_k log softmax(z)_k` with `t = table[label]`. With the identity as the table it is
    `optax.softmax_cross_entropy_with_integer_labels`; every other method of label smoothing is
    another table, so one compiled training step serves them all.

    No one-hot vector is built. Differentiable in logits and table, in reverse and forward mode; the
    gradient in the logits is `(Σ_k t_k) softmax(z) - t`. A class with logit -inf and no weight in
    the label contributes nothing. Works on batches sharded over Auto and Explicit mesh axes.

    Args:
      logits: `[..., K]` float of any precision; computed in float32.
      labels: `[...]` integer, the class of each example, in [0, K). A label outside gives NaN
        instead of another class's row, because a compiled program cannot raise.
      table: `[K, K]` real; row y is the target of class y and should sum to 1.
      where: `[...]` bool; examples with False have loss 0 and gradient 0, whatever they hold.

    Returns:
      `[...]` float32, in nats.

    Raises:
      ValueError: shapes do not match, labels are not integers, or `where` is not boolean.

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
    _refuse_arguments(logits, labels, table, where)
    logits, table = jnp.asarray(logits, jnp.float32), jnp.asarray(table, jnp.float32)
    if isinstance(labels, np.ndarray):  # 64 bits would be cut to 32, into the range perhaps
        labels = np.clip(labels.astype(np.int64), -1, table.shape[0])
    labels = jnp.asarray(labels, jnp.int32)
    if where is not None:  # before the formula, so that NaN in padding reaches no gradient
        logits = jnp.where(where[..., None], logits, 0)
    targets = table.at[labels].get(
        mode="fill",
        fill_value=jnp.nan,
        wrap_negative_indices=False,
        out_sharding=jax.typeof(logits).sharding,
    )
    shifted = logits - jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
    log_probabilities = shifted - jnp.log(jnp.exp(shifted).sum(axis=-1, keepdims=True))
    impossible = (targets == 0) & jnp.isneginf(log_probabilities)  # 0 log 0 is 0, as in the limit
    losses = -(targets * jnp.where(impossible, 0, log_probabilities)).sum(axis=-1)
    return losses if where is None else jnp.where(where, losses, 0)


def _refuse_arguments(logits: Any, labels: Any, table: Any, where: Any) -> None:
    function = "softmax_cross_entropy_with_label_table"
    for argument, value in {"logits": logits, "labels": labels, "where": where}.items():
        if value is not None:
            checks.array(function, argument, value)
    logits_shape, labels_shape, table_shape = np.shape(logits), np.shape(labels), np.shape(table)
    if not jnp.issubdtype(jnp.result_type(logits), jnp.floating) or not logits_shape:
        raise InputError(
            f"{function}: logits must be floating point [..., K], got "
            f"{jnp.result_type(logits)}{list(logits_shape)}. "
            "Pass what the model gives before softmax."
        )
    if not jnp.issubdtype(jnp.result_type(labels), jnp.integer):
        raise InputError(
            f"{function}: labels must be integer class indices, got dtype "
            f"{jnp.result_type(labels)}. For dense soft labels use optax.softmax_cross_entropy."
        )
    if labels_shape != logits_shape[:-1]:
        raise InputError(
            f"{function}: labels must have the shape of logits without the class axis, "
            f"{logits_shape[:-1]}, got {labels_shape}. Labels are indices, not one-hot vectors."
        )
    checks.square_matrix(function, "table", table)
    if table_shape[0] != logits_shape[-1]:
        raise InputError(
            f"{function}: table must have one row and column for each of the {logits_shape[-1]} "
            f"logits, got {table_shape}. Table and model are of different sets of classes."
        )
    if where is not None and (where.dtype != bool or where.shape != labels_shape):
        raise InputError(
            f"{function}: where must be boolean of shape {labels_shape}, got "
            f"{where.dtype}{list(where.shape)}. It masks whole examples."
        )
