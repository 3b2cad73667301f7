"""Self-distillation: hard labels, and what a first classifier says of each single image."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Shaped

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.arrays import checks, meshes, operands
from simsmooth_jax.method.objectives.objective import (
    Batch,
    Objective,
    hard_cross_entropy,
    known_examples,
    no_state,
)
from simsmooth_jax.method.tables import targets

NAME = "self_distillation"


class _Data(NamedTuple):
    teacher_logits: Shaped[Array | np.ndarray, "examples classes"]
    strength: Float[Array, ""]
    temperature: Float[Array, ""]


def self_distillation(
    teacher_logits: Shaped[Array | np.ndarray, "examples classes"],
    strength: operands.Number = 0.5,
    *,
    temperature: operands.Number = 1.0,
) -> Objective:
    """Hard labels, and the predictions of a first classifier for each image of the training set.

    `loss = (1 - strength) CE(e_y) + strength CE(softmax(t_i / temperature))` for image i with the
    teacher's logits `t_i`, where `CE(q) = -Σ_k q_k log softmax(z)_k`: what relation labels keep in
    one row for each class, here in one for each image. Only the teacher is softened (the authors of
    Tf-KD soften both and multiply by the temperature's square).

    The logits take `n K` numbers on every device, as float32, or in half of it as they are in
    bfloat16 or float16. The predictions are of single images: mixup and CutMix are refused. An
    example beyond the last row costs NaN.

    Args:
      teacher_logits: `[n, K]` floating point; row i is that of example i of the training set, of
        which `Batch.examples` tells.
      strength: weight of the teacher in [0, 1]. May be traced.
      temperature: of the teacher's softmax, above 0. May be traced.

    Returns:
      An `Objective` without a state; the logits are in its `data`.

    Raises:
      ValueError: an argument is out of range or a row is not finite; `loss` is given a batch
        without examples, or logits of another number of classes.

    Source: Furlanello et al. 2018, arXiv:1805.04770; Yuan et al. 2020, arXiv:1909.11723.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> teacher_logits = jnp.array([[2.0, 1, 0], [0, 3, 0]])  # of two images
      >>> objective = ss.objectives.self_distillation(teacher_logits, 0.5, temperature=2)
      >>> batch = ss.objectives.Batch(jnp.array([0]), step=jnp.array(0), examples=jnp.array([0]))
      >>> logits = jnp.array([[2.0, 0.0, -2.0]])
      >>> print(objective.loss(objective.data, objective.init(), logits, batch).round(4))
      [0.8229]
    """
    advice = "Pass the first classifier's logits of all training images, in their order."
    logits = operands.floats(NAME, "teacher_logits", teacher_logits, "[n, K]", advice)
    if logits.ndim != 2 or logits.shape[0] < 1 or logits.shape[1] < 2:
        must = "have shape [n, K] with K >= 2"
        raise InputError(f"{NAME}: teacher_logits", must, logits.shape, advice)
    strength = operands.fraction(NAME, "strength", strength)
    temperature = operands.positive(NAME, "temperature", temperature, "Larger is softer; try 3.")
    checks.run_checked(NAME, _flaws_program, logits)
    numbers = (jnp.asarray(number, jnp.float32) for number in (strength, temperature))
    return Objective(_Data(logits, *numbers), no_state, _loss, unmixed=True)


@jax.jit
def _flaws_program(logits: Array) -> tuple[tuple[()], list[checks.Flaw]]:
    def flaws(logits: Array) -> tuple[tuple[()], list[checks.Flaw]]:
        flaw = checks.Flaw.of(
            ~jnp.isfinite(logits).all(axis=1),
            who="every row of teacher_logits",
            must="be finite",
            got="NaN or infinity in row {i}",
            then="Has the first classifier diverged?",
        )
        return (), [flaw]

    return meshes.by_class(flaws, logits, class_axis=None)


def _loss(
    data: _Data,
    state: tuple[()],
    logits: Float[Array | np.ndarray, "batch classes"],
    batch: Batch,
) -> Float[Array, " batch"]:
    logits = jnp.asarray(logits, jnp.float32)
    num_examples, num_classes = data.teacher_logits.shape
    if logits.shape[-1] != num_classes:
        must, got = "have a column for each of the logits' classes", f"{num_classes} columns"
        advice = f"The logits have {logits.shape[-1]}."
        raise InputError(f"{NAME}: teacher_logits", must, got, advice)
    known, is_known = known_examples(NAME, batch, num_examples)
    soft = targets.nan_where_unknown(_soft_cross_entropy(data, known, logits), is_known)
    return (1 - data.strength) * hard_cross_entropy(logits, batch.labels) + data.strength * soft


@meshes.by_example
def _soft_cross_entropy(data: Any, examples: Array, logits: Array) -> Float[Array, " batch"]:
    teacher = jnp.asarray(jnp.asarray(data.teacher_logits)[examples], jnp.float32)
    return optax.softmax_cross_entropy(logits, jax.nn.softmax(teacher / data.temperature))
