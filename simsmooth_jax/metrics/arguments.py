"""What every metric asks of its arguments, and how it runs: one compiled program for each."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.arrays import checks, meshes, operands
from simsmooth_jax.method.tables import targets

Formula = Callable[..., Any]  # (probabilities [n, K], labels [n], where [n], *numbers) -> scalars


def measured(
    function: str,
    formula: Formula,
    probabilities: Any,
    labels: Any,
    where: Any,
    *numbers: Any,
) -> Any:
    """The formula of all selected examples: refused where they are unsound, or NaN when traced."""
    probabilities = distributions(function, probabilities)
    labels, where = for_rows(function, probabilities, "probabilities", labels, where)
    given = probabilities, labels, where, *numbers
    return checks.run_checked(function, _metric, *given, formula=formula)


def distributions(function: str, value: Any) -> operands.Operand:
    """Probabilities `[n, K]` by their form; of their values each program makes flaws."""
    advice = "Pass a row for each example, what softmax gives."
    return rows(function, "probabilities", operands.real(function, "probabilities", value), advice)


def rows(function: str, argument: str, array: operands.Operand, advice: str) -> operands.Operand:
    """An array `[n, K]` with an example and two classes at least."""
    if array.ndim != 2 or array.shape[0] < 1 or array.shape[1] < 2:
        must = "have shape [n, K] with n >= 1 examples and K >= 2 classes"
        raise InputError(f"{function}: {argument}", must, array.shape, advice)
    return array


def for_rows(
    function: str, array: operands.Operand, argument: str, labels: Any, where: Any
) -> tuple[operands.Operand, operands.Operand]:
    """A label for each row, as 32 bits, and which examples count: all where none is left out."""
    count, num_classes = array.shape
    advice = "Labels are indices, not one-hot vectors."
    labels = operands.integers(function, "labels", labels, advice)
    if labels.shape != (count,):
        must = f"have shape ({count},), one for each row of {argument}"
        raise InputError(f"{function}: labels", must, labels.shape, advice)
    where = np.ones(count, bool) if where is None else operands.mask(function, where, (count,))
    return operands.in_32_bits(labels, num_classes), where


@partial(jax.jit, static_argnames="formula")
def _metric(
    probabilities: Array, labels: Array, where: Array, *numbers: Any, formula: Formula
) -> tuple[Any, list[checks.Flaw]]:
    program = partial(_metric_and_flaws, formula)
    return meshes.by_class(program, probabilities, labels, where, *numbers, class_axis=None)


def _metric_and_flaws(
    formula: Formula, probabilities: Array, labels: Array, where: Array, *numbers: Any
) -> tuple[Any, list[checks.Flaw]]:
    safe, is_sound, row_flaws = sound_rows(probabilities, where)
    known, is_known = targets.in_range(labels, probabilities.shape[1])
    result = formula(safe, known, where, *numbers)
    sound = ((is_sound & is_known) | ~where).all() & where.any()
    flaws = [*row_flaws, label_flaw(is_known, where, probabilities.shape[1]), empty_flaw(where)]
    return jax.tree.map(lambda value: targets.nan_where_unknown(value, sound), result), flaws


def sound_rows(
    probabilities: Shaped[Array, "examples classes"], where: Bool[Array, " examples"]
) -> tuple[Float[Array, "examples classes"], Bool[Array, " examples"], list[checks.Flaw]]:
    """Rows in float32, uniform for what does not count; which are finite; what is refused."""
    rounding = checks.sum_rounding(probabilities.dtype)
    values = probabilities.astype(jnp.float32)
    finite = jnp.isfinite(values).all(axis=1)
    least, total = values.min(axis=1), values.sum(axis=1)
    unfinished = checks.Flaw.of(
        ~finite & where,
        who="every row of probabilities",
        must="be finite",
        got="NaN or infinity in row {i}",
        then="Leave that example out with where.",
    )
    odd = checks.Flaw.of(
        ((least < 0) | (jnp.abs(total - 1) > rounding)) & where,
        least,
        total,
        who="every row of probabilities",
        must="be at least 0 and sum to 1",
        got="a least value of {:.4g} and a sum of {:.4g} in row {i}",
        then="Take softmax of the logits.",
    )
    # Before the formula, so that NaN in padding reaches no gradient.
    safe = jnp.where((finite & where)[:, None], values, 1 / values.shape[1])
    return safe, finite, [unfinished, odd]


def label_flaw(is_known: Array, where: Array, num_classes: int) -> checks.Flaw:
    """The first example that counts and whose label is no class."""
    return checks.Flaw.of(
        ~is_known & where,
        who="labels",
        must=f"be from 0 to {num_classes - 1}",
        got="another in row {i}",
        then="Labels count from 0; leave padding out with where.",
    )


def empty_flaw(where: Array) -> checks.Flaw:
    """That no example counts."""
    return checks.Flaw.of(
        ~where.any()[None],
        who="where",
        must="select an example",
        got="none",
        then="Skip a batch of padding alone.",
    )


def mean(values: Shaped[Array, " examples"], where: Bool[Array, " examples"]) -> Float[Array, ""]:
    """The mean of the examples that count; 0 of none."""
    total = jnp.where(where, values.astype(jnp.float32), 0).sum()
    return total / jnp.maximum(where.sum(), 1).astype(jnp.float32)
