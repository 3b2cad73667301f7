"""Find the kernel of the final Dense layer in a tree of parameters (claims 1, 6; module 202)."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from simsmooth_jax.errors import InputError

HEAD = "head"


def head_kernel(
    params: Any, head: str | None = None, num_classes: int | None = None
) -> Float[Array | np.ndarray, "features classes"]:
    """The classifier's kernel `[N, K]` out of a tree of parameters.

    Kernels are the leaves named `kernel` with two dimensions (or those of a 1x1 convolution, whose
    two leading axes are dropped); optimizer state never counts. One of them is taken: the one whose
    path holds `head`; else the one of the module named `head`; else the one with `num_classes`
    columns.

    Args:
      params: nested mappings or dataclasses of arrays: a Flax `params` tree, `variables`, a
        `TrainState`, an `nnx.State`; boxed leaves (`nn.Partitioned`) are opened.
      head: whole, contiguous parts of the kernel's path, as `"classifier"` or
        `"params/classifier/kernel"`; `"Dense_1"` does not match `Dense_10`.
      num_classes: K, the number of columns that the kernel must have.

    Returns:
      The kernel as it stands in the tree, `[N, K]`: features first, classes second.

    Raises:
      ValueError: no kernel, or more than one, fits. The message lists the candidates.

    Source: CN 112434722 A, claim 6.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> params = {"Dense_0": {"kernel": jnp.ones((9, 4))}, "head": {"kernel": jnp.ones((4, 3))}}
      >>> ss.head_kernel(params).shape
      (4, 3)
    """
    kernels = _kernels(params)
    if head is not None:
        wanted = tuple(part for part in head.split("/") if part)
        found = [path for path in kernels if _contains(path, wanted)]
        asked = f"head={head!r}"
    else:
        found = [path for path in kernels if path[-2:-1] == (HEAD,)]
        asked = f"a module named {HEAD!r}"
    if num_classes is not None and (found or head is None):
        candidates = found or [p for p in kernels if not _is_spatial(kernels[p].shape)]
        of_size = [path for path in candidates if kernels[path].shape[-1] == num_classes]
        asked = f"num_classes={num_classes}" if head is None else f"{asked}, {num_classes=}"
        found = of_size
    if len(found) != 1:
        _refuse(kernels, found, asked)
    kernel = kernels[found[0]]
    if kernel.ndim == 4 and kernel.shape[:2] == (1, 1):
        return kernel[0, 0]
    if kernel.ndim != 2:
        raise InputError(
            f"head_kernel: the kernel at {'/'.join(found[0])} must have shape [N, K], got "
            f"{kernel.shape}. {_shape_hint(kernel.shape)}"
        )
    return kernel


def _kernels(params: Any) -> dict[tuple[str, ...], Any]:
    """Every leaf named `kernel`, by its path, which always starts at `params`."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    kernels = {}
    for keys, leaf in leaves:
        path = tuple(jax.tree_util.keystr((key,), simple=True) for key in keys)
        if path and path[-1] == "value":  # boxes of nn.Partitioned and nnx.State
            path = path[:-1]
        if "opt_state" in path or not path or path[-1] != "kernel" or np.ndim(leaf) < 2:
            continue
        kernels[path if "params" in path else ("params", *path)] = leaf
    return kernels


def _contains(path: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    starts = range(len(path) - len(wanted) + 1)
    return bool(wanted) and any(path[i : i + len(wanted)] == wanted for i in starts)


def _is_spatial(shape: tuple[int, ...]) -> bool:
    return len(shape) > 3 and any(size > 1 for size in shape[:-2])


def _shape_hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 3:
        return f"A leading axis of {shape[0]} looks like one copy per device: take [0] of the tree."
    return "A convolution is a classifier only where it is 1x1."


def _refuse(kernels: dict[tuple[str, ...], Any], found: list[tuple[str, ...]], asked: str) -> None:
    listed = ", ".join(f"{'/'.join(path)} {list(kernels[path].shape)}" for path in found or kernels)
    count = f"{len(found)}" if found else "none of"
    if not kernels:
        raise InputError(
            f"head_kernel: params must hold a leaf named 'kernel' with two dimensions, got none. "
            f"Pass the tree of parameters, for example state.params ({asked})."
        )
    raise InputError(
        f"head_kernel: exactly one kernel must fit {asked}, got {count}: {listed}. "
        "Name one with head=PATH."
    )
