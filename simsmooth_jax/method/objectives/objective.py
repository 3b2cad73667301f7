"""The form of every objective, and the one of a constant table of labels."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.arrays import checks, operands
from simsmooth_jax.method.losses.softmax_loss import softmax_cross_entropy_with_label_table
from simsmooth_jax.method.tables import targets
from simsmooth_jax.method.tables.forms import LabelTable, TopKLabels, sound_table


class Batch(NamedTuple):
    """What an objective is told of a batch, besides its logits.

    `labels` are class indices, `step` counts the steps before this one, and `examples` says which
    examples of the training set these are, where that is known.
    """

    labels: Int[Array, " batch"]
    step: Int[Array, ""]
    examples: Int[Array, " batch"] | None = None


def unchanged(data: Any, state: Any, *_: Any) -> Any:
    """The state as it is: the `update` or `refresh` of an objective that has none."""
    return state


class Objective(NamedTuple):
    """What a training minimises: constants, and functions of them and of a state.

    | field | meaning |
    | --- | --- |
    | `data` | constant pytree, hyperparameters included: an argument of the step, never donated |
    | `init` | `() -> state`: fresh arrays, or `()` for none; the state is saved with the weights |
    | `loss` | `(data, state, logits [B, K], batch) -> [B]`, differentiable in the logits |
    | `update` | `(data, state, logits, batch) -> state`, in every step, without a gradient |
    | `refresh` | `(data, state, params, step) -> state`, between steps: what is dear or rare |
    | `refresh_steps` | steps between refreshes; None is the end of each epoch |
    | `unmixed` | whether the predictions must be of single images: mixup and CutMix are refused |

    Functions stand in modules, not in closures, and numbers in `data`: a step that takes `loss` and
    `update` as static arguments is then compiled once for all objectives of a kind.
    """

    data: Any
    init: Callable[[], Any]
    loss: Callable[[Any, Any, Float[Array, "batch classes"], Batch], Float[Array, " batch"]]
    update: Callable[[Any, Any, Float[Array, "batch classes"], Batch], Any] = unchanged
    refresh: Callable[[Any, Any, Any, Int[Array, ""] | int], Any] = unchanged
    refresh_steps: int | None = None
    unmixed: bool = False


def label_table(table: LabelTable) -> Objective:
    """Cross-entropy against a constant table of labels: one-hot, uniform, relation, any other.

    `loss = -Σ_k t_k log softmax(z)_k` with `t = table[label]`; the state is `()`. All tables of one
    form and size share one compiled step.

    Args:
      table: row y is the target of class y: `[K, K]` real, or what `top_k_labels` or
        `factored_labels` give.

    Returns:
      An `Objective` whose `data` is the table.

    Raises:
      ValueError: the table is one that `softmax_cross_entropy_with_label_table` refuses; `loss` is
        given logits or labels that it refuses.

    Source: CN 112434722 A, [0058].

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> objective = ss.objectives.label_table(ss.uniform_labels(3, 0.1))
      >>> batch = ss.objectives.Batch(labels=jnp.array([0]), step=jnp.array(0))
      >>> logits = jnp.array([[2.0, 0.0, -2.0]])
      >>> print(objective.loss(objective.data, objective.init(), logits, batch).round(4))
      [0.3429]
    """
    return Objective(
        sound_table("label_table", table), no_state, table_loss
    )  # one kind of tree, one program


def no_state() -> tuple[()]:
    """The state of an objective that has none."""
    return ()


def table_loss(
    table: LabelTable, state: Any, logits: Float[Array | np.ndarray, "batch classes"], batch: Batch
) -> Float[Array, " batch"]:
    """Cross-entropy against the rows of the batch's labels."""
    return softmax_cross_entropy_with_label_table(logits, batch.labels, table)


def hard_cross_entropy(
    logits: Float[Array | np.ndarray, "batch classes"], labels: Int[Array, " batch"]
) -> Float[Array, " batch"]:
    """`-log softmax(z)_y`, as against the identity, whatever the number of classes."""
    num_classes = logits.shape[-1]
    hard = TopKLabels(jnp.arange(num_classes, dtype=jnp.int32)[:, None], jnp.ones((num_classes, 1)))
    return softmax_cross_entropy_with_label_table(logits, labels, hard)


def refuse_steps(function: str, warmup_steps: int, refresh_steps: int | None) -> None:
    """Refuses a warm-up that is no number of steps, or a period of none."""
    checks.whole(function, "warmup_steps", warmup_steps, 0, "0 is no warm-up.")
    if refresh_steps is not None:
        advice = "Leave it out for the end of each epoch."
        checks.whole(function, "refresh_steps", refresh_steps, 1, advice)


def known_labels(
    function: str, batch: Batch, num_classes: int
) -> tuple[Int[Array, " batch"], Bool[Array, " batch"]]:
    """The batch's labels in `[0, K)`, and which of them were there before."""
    advice = "Labels are indices, not one-hot vectors."
    return targets.in_range(
        operands.integers(function, "labels", batch.labels, advice), num_classes
    )


def known_examples(
    function: str, batch: Batch, num_examples: int
) -> tuple[Int[Array, " batch"], Bool[Array, " batch"]]:
    """The batch's examples in `[0, n)`, and which of them were there before; refuses none."""
    advice = "Give Batch(labels, step, examples), with the place of each in the training set."
    if batch.examples is None:
        must = "say which examples of the training set these are"
        raise InputError(f"{function}: batch.examples", must, "None", advice)
    return targets.in_range(
        operands.integers(function, "batch.examples", batch.examples, advice), num_examples
    )
