"""What every array function asks of its arguments, and how it refuses."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from simsmooth_jax.errors import InputError

MOST = 2**31 - 1  # a number of anything that arrays of int32 count
SMALLEST = 1e-30  # float32 holds a little less, but not what is divided by it
ROUNDING = 1e-3  # of the sum of a distribution in float32


def sum_rounding(dtype: Any) -> float:
    """How far from 1 the sum of a distribution of this type may be.

    Casting to bfloat16 moves a sum by eps / 4, and a softmax within it by some more.
    """
    is_float = jnp.issubdtype(dtype, jnp.floating)
    return max(ROUNDING, float(jnp.finfo(dtype).eps) if is_float else 0)


def is_traced(*values: Any) -> bool:
    """Whether a value cannot be looked at, because a transformation is tracing it."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Flaw:
    """The first class or row that breaks a condition, and how a function refuses it.

    Its numbers are scalars, found where the condition is known: inside the compiled program. The
    words may have `{i}`, the class or row, and a place for each value, as `{:.4g}`.
    """

    index: Int[Array, ""] | Any  # -1 where none does
    values: tuple[Any, ...]
    words: tuple[str, str, str, str] = dataclasses.field(metadata={"static": True})

    @classmethod
    def of(
        cls, mask: Bool[Array, " rows"], *vectors: Array, who: str, must: str, got: str, then: str
    ) -> "Flaw":
        """The flaw of the first true entry of the mask; its values are the vectors' there."""
        index = jnp.where(mask.any(), jnp.argmax(mask), -1).astype(jnp.int32)
        is_first = (
            jnp.arange(len(mask), dtype=jnp.int32) == index
        )  # a sum works however a vector is sharded
        values = tuple(jnp.sum(jnp.where(is_first, vector, 0)) for vector in vectors)
        return cls(index, values, (who, must, got, then))

    def refuse(self, function: str) -> None:
        """Raises where a class or row has the flaw."""
        if (i := int(self.index)) >= 0:
            values = map(float, self.values)
            who, must, got, then = self.words
            got, then = got.format(*values, i=i), then.format(i=i)
            raise InputError(f"{function}: {who}", must, got, then)


def run_checked(
    function: str,
    program: Callable[..., tuple[Any, Sequence[Flaw]]],
    *operands: Any,
    **options: Any,
) -> Any:
    """Runs `program(*operands, **options) -> (result, flaws)` and refuses its flaws where it can.

    The flaws come out of the same compiled program, so that sharded global arrays work and nothing
    but scalars is fetched. Under a transformation they are dropped, and XLA with them.
    """
    result, flaws = program(*operands, **options)
    if is_traced(*operands):
        return result
    if is_traced(flaws):
        with jax.ensure_compile_time_eval():  # constants inside a user's jit are looked at as well
            result, flaws = program(*operands, **options)
    for flaw in jax.device_get(flaws):
        flaw.refuse(function)
    return result


def class_count(function: str, num_classes: Any) -> None:
    """Refuses a number of classes that is not an integer of at least 2."""
    whole = isinstance(num_classes, int | np.integer) and not isinstance(num_classes, bool)
    if not whole or num_classes < 2:
        raise InputError(
            f"{function}: num_classes",
            "be an integer >= 2",
            f"{num_classes!r}",
            "It is the number of columns of the classifier's kernel.",
        )
    _refuse_beyond(function, "num_classes", num_classes)


def whole(function: str, argument: str, value: Any, least: int, advice: str) -> None:
    """Refuses what is not an integer of at least `least`."""
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or value < least:
        raise InputError(
            f"{function}: {argument}", f"be an integer >= {least}", repr(value), advice
        )
    _refuse_beyond(function, argument, value)


def _refuse_beyond(function: str, argument: str, value: int | np.integer) -> None:
    """Refuses a number that nothing has so many of; one of thousands of digits has no text."""
    if value > MOST:
        got = f"a number of {int(value).bit_length()} bits"
        raise InputError(f"{function}: {argument}", f"be at most {MOST}", got, "Check it.")
