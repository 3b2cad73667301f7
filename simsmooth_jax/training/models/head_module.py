"""The module of the head in a tree of parameters, which a part of the work is about alone."""

from typing import Any

import jax
import numpy as np

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.heads.head_kernel import head_kernel

Path = tuple[str, ...]
WHOLE: Path = ()


def head_module(params: Any) -> Path:
    """Where the kernel that `head_kernel` finds is: `("head",)`, or deeper, as in a wrapper.

    Raises:
      InputError: none or several fit, or it is no Dense layer's `[N, K]`.
    """
    # Of a tree of views that take no memory, in which each leaf is an object of its own.
    views = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), params)
    kernel = head_kernel(views)
    for keys, leaf in jax.tree_util.tree_leaves_with_path(views):
        path = tuple(jax.tree_util.keystr((key,), simple=True) for key in keys)
        if leaf is kernel:
            return path[: max(place for place, part in enumerate(path) if part == "kernel")]
    raise InputError(
        "the head", "be a Dense layer", "a 1x1 convolution", "Flatten the images before it."
    )


def at(params: Any, path: Path) -> Any:
    """The subtree there."""
    for name in path:
        params = params[name]
    return params


def replaced(params: Any, path: Path, part: Any) -> Any:
    """The tree with another part there."""
    if not path:
        return part
    return {**params, path[0]: replaced(params[path[0]], path[1:], part)}
