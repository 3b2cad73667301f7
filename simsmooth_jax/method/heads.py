"""Find the kernel of the final Dense layer among named arrays (claims 1, 6; module 202)."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from simsmooth_jax.errors import InputError

HEAD = "head"
LISTED = 12  # candidates that an error names


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An array that may be the head's kernel.

    `module` is its path without the leaf, `num_classes` the sizes that its class axis may have,
    `named` whether its module has a head's name.
    """

    shape: tuple[int, ...]
    module: tuple[str, ...]
    num_classes: frozenset[int]
    named: bool


def head_kernel(
    params: Any, head: str | None = None, num_classes: int | None = None
) -> Float[Array | np.ndarray, "features classes"]:
    """The classifier's kernel `[N, K]` out of a tree of parameters.

    Kernels are the leaves named `kernel` with two dimensions (or those of a 1x1 convolution, whose
    two leading axes are dropped); optimizer state never counts. One of them is taken: the one whose
    path holds `head`; else the one of the module named `head`; else the one in no module; else the
    one with `num_classes` columns.

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
            "hold a leaf named 'kernel' with two dimensions",
            "none",
            "Pass the tree of parameters, for example state.params.",
        )
    candidates = {
        path: flax_candidate(path, tuple(np.shape(leaf))) for path, leaf in kernels.items()
    }
    path = find_kernel("head_kernel", candidates, head, num_classes)
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
    """Every leaf named `kernel` that is no optimizer's, by its path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    kernels = {}
    for keys, leaf in leaves:
        path = tuple(jax.tree_util.keystr((key,), simple=True) for key in keys)
        if path[1:] and path[-1] == "value":  # boxes of nn.Partitioned and nnx.State
            path = path[:-1]
        if not path or path[-1] != "kernel" or np.ndim(leaf) < 2 or is_optimizer_state(path):
            continue
        kernels[path] = leaf
    return kernels


def find_kernel(
    where: str,
    candidates: Mapping[tuple[str, ...], Candidate],
    head: str | None,
    num_classes: int | None,
    by_name: str = f"a module named {HEAD!r}",
    option: str = "head=PATH",
) -> tuple[str, ...]:
    """The one candidate that is the head's kernel.

    Args:
      where: what an error's line starts with.
      candidates: at least one, by path.
      head: whole, contiguous parts of the path, separated by `/` or `.`; a whole path as it is
        listed goes before parts.
      num_classes: K, a size that the class axis must be able to have.
      by_name: what fits without `head` and `num_classes`, for the error's line.
      option: how the caller's user says `head`, for the same.

    Returns:
      The path of the one that holds `head`; else of the one whose module has a head's name; else of
      the one in no module; else of the one with `num_classes`.

    Raises:
      ValueError: none, or more than one, fits. The message lists them with their shapes.
    """
    if head is not None:
        found = [path for path in candidates if "/".join(path) == head]
        wanted = tuple(part for part in re.split(r"[./]", head) if part)
        found = found or [p for p in candidates if _contains(("params", *parts_of(p)), wanted)]
        asked = f"head={head!r}"
    else:
        found = [path for path in candidates if candidates[path].named]
        found = found or [path for path in candidates if not candidates[path].module]
        asked = by_name
    if num_classes is not None and (found or head is None):
        asked = f"num_classes={num_classes}" if head is None else f"{asked}, {num_classes=}"
        found = [p for p in found or candidates if num_classes in candidates[p].num_classes]
    if len(found) == 1:
        return found[0]
    # What can be no head, as a convolution, comes last.
    paths = found or sorted(candidates, key=lambda path: not candidates[path].num_classes)
    listed = [f"{'/'.join(path)} {list(candidates[path].shape)}" for path in paths]
    more = f", and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    raise InputError(
        f"{where}: exactly one kernel",
        f"fit {asked}",
        f"{len(found) or 'none of'}: {', '.join(listed[:LISTED])}{more}",
        f"Name one with {option}.",
    )


def parts_of(path: tuple[str, ...]) -> tuple[str, ...]:
    """The parts of a path, whose names may be paths as `fc.weight`, without a box's `value`."""
    parts = tuple(re.split(r"[./]", "/".join(path)))
    return parts[:-1] if len(parts) > 1 and parts[-1] == "value" else parts


def flax_candidate(path: tuple[str, ...], shape: tuple[int, ...]) -> Candidate:
    """A leaf named `kernel`: classes are its last axis, in Dense layers and in convolutions.

    Args:
      path: the leaf's path.
      shape: two dimensions or more.

    Returns:
      What is asked of it when the head is searched.
    """
    module = tuple(part for part in parts_of(path)[:-1] if part != "params")
    is_spatial = len(shape) > 3 and any(size > 1 for size in shape[-4:-2])
    classes = frozenset() if is_spatial else frozenset(shape[-1:])
    return Candidate(shape, module, classes, module[-1:] == (HEAD,))


def shape_hint(shape: tuple[int, ...]) -> str:
    """What to do with a kernel that is no matrix."""
    if len(shape) == 3:
        return f"A leading axis of {shape[0]} looks like one copy per device: take [0] of the tree."
    return "A convolution is a classifier only where it is 1x1."


def _contains(path: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    starts = range(len(path) - len(wanted) + 1)
    return bool(wanted) and any(path[i : i + len(wanted)] == wanted for i in starts)


# Where optax's state is kept beside the parameters, and what its states hold their copies in under
# names that no layer has.
CONTAINERS = {"opt_state", "optimizer", "optimizer_state", "optim", "opt", "inner_opt_state"}
CONTAINERS |= {"inner_state", "inner_states", "acc_grads", "v_row", "v_col", "sum_of_squares"}
CONTAINERS |= {"nu_max", "exp_avg", "exp_avg_sq", "grad_sum", "diff_params_memory"}
CONTAINERS |= {"diff_updates_memory", "prev_updates", "step_sizes", "init_particles"}
# Where an older Flax, and NNX, keep the parameters themselves.
MODELS = {("optimizer", "target"), ("optimizer", "model")}
# Fields that a layer may be called as well: they count behind their place in a chain of states.
FIELDS = {"mu", "nu", "trace", "v", "m", "n", "g", "z", "m1", "m2", "e_g", "e_x", "ema", "updates"}
FIELDS |= {"params0", "init_params", "cache"}


def is_optimizer_state(path: tuple[str, ...]) -> bool:
    """Whether a leaf belongs to an optimizer, by the names on the way to it.

    Args:
      path: the leaf's path, its last part the leaf.

    Returns:
      False also for layers with such a name, which stand below `params` or hold the leaf itself.
    """
    pairs = list(zip(("", *path), path, strict=False))
    for place, (before, part) in enumerate(pairs[:-2]):
        if part in CONTAINERS and (part, path[place + 1]) not in MODELS:
            return True
        if part in FIELDS and before.isdigit():
            return True
        if part == "params":
            return False
    return False
