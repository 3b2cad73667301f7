"""Find the kernel of the final Dense layer among named arrays (claims 1, 6; module 202)."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.heads.candidates import flax_candidate
from simsmooth_jax.method.heads.head_search import find_kernel
from simsmooth_jax.method.heads.optimizer_state import is_optimizer_state


def head_kernel(
    params: Any, head: str | None = None, num_classes: int | None = None
) -> Float[Array | np.ndarray, "features classes"]:
    """The classifier's kernel `[N, K]` out of a tree of parameters.

    Kernels are the leaves named `kernel` (Haiku's `w`) with two dimensions (or those of a 1x1
    convolution, whose two leading axes are dropped); optimizer state never counts. One of them is
    taken: the one whose path holds `head`; else the one of the module named `head`; else of one
    named `fc`, `classifier` or `logits` that no other layer speaks against; else the one in no
    module; else the only matrix with `num_classes` columns.

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
    if not kernels:
        raise InputError(
            "head_kernel: params",
            "hold a leaf named 'kernel' (or Haiku's 'w') with two dimensions",
            "none",
            "Pass the tree of parameters, for example state.params.",
        )
    candidates = {
        path: flax_candidate(path, tuple(np.shape(leaf))) for path, leaf in kernels.items()
    }
    path, _ = find_kernel("head_kernel", candidates, head, num_classes)
    kernel = kernels[path]
    if kernel.ndim == 4 and kernel.shape[:2] == (1, 1):
        return kernel[0, 0]
    if kernel.ndim != 2:
        raise InputError(
            f"head_kernel: the kernel at {'/'.join(path)}",
            "have shape [N, K]",
            kernel.shape,
            shape_hint(kernel.shape),
        )
    return kernel


def _kernels(params: Any) -> dict[tuple[str, ...], Any]:
    """Every leaf named `kernel` or `w` that is no optimizer's, by its path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    kernels = {}
    for keys, leaf in leaves:
        path = tuple(jax.tree_util.keystr((key,), simple=True) for key in keys)
        if path[1:] and path[-1] == "value":  # boxes of nn.Partitioned and nnx.State
            path = path[:-1]
        named = path[-1:] == ("kernel",) or (len(path) > 1 and path[-1] == "w")
        if named and np.ndim(leaf) >= 2 and not is_optimizer_state(path):
            kernels[path] = leaf
    return kernels


def shape_hint(shape: tuple[int, ...]) -> str:
    """What to do with a kernel that is no matrix."""
    if len(shape) == 3:
        return f"A leading axis of {shape[0]} looks like one copy per device: take [0] of the tree."
    return "A convolution is a classifier only where it is 1x1."
