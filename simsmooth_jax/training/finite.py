"""Whether all numbers of a state are finite, and which operation gave the first that is not."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from simsmooth_jax.errors import first_line


def first_non_finite(tree: Any) -> str | None:
    """The path of the first array that holds NaN or infinity, if any does."""
    if not jax.tree.leaves(tree):
        return None
    finite = np.asarray(_are_finite(tree))
    if finite.all():
        return None
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
    return jax.tree_util.keystr(paths[int(finite.argmin())], simple=True, separator="/")


@jax.jit
def _are_finite(tree: Any) -> Bool[Array, " leaves"]:
    leaves = jax.tree.leaves(tree)
    floating = [jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in leaves]
    return jnp.stack(
        [
            jnp.isfinite(leaf).all() if inexact else jnp.bool_(True)
            for leaf, inexact in zip(leaves, floating, strict=True)
        ]
    )


def debugged(program: Callable[..., Any]) -> Callable[..., Any]:
    """The program of a step that is run again, operation by operation, where it gives NaN.

    Raises:
      FloatingPointError: it names the first operation that gave NaN, and where that stands.
    """

    def run(state: Any, *arguments: Any) -> Any:
        try:
            with jax.debug_nans(True):
                return program(state, *arguments)
        except FloatingPointError as error:
            jax_itself = Path(jax.__file__).parent
            frames = traceback.extract_tb(error.__traceback__)
            ours = [f for f in frames if not Path(f.filename).is_relative_to(jax_itself)]
            operation = first_line(error).rpartition(" in ")[2]
            where = f"{ours[-1].filename}:{ours[-1].lineno}" if ours else "JAX"
            got = f"NaN from {operation} in step {int(state.step) + 1}, at {where}"
            raise FloatingPointError(got) from error

    return run
