"""How to make `[N, K]` of a stored kernel: which copy it is, and which axis is the classes."""

import dataclasses
from collections.abc import Mapping

from simsmooth_jax.errors import InputError
from simsmooth_jax.heads import parts_of
from simsmooth_jax.stored.arrays import ArrayInfo, Name, StoredArrays
from simsmooth_jax.types import Layout

FEATURES_CLASSES: Layout = "features-classes"  # Flax's [N, K]
CLASSES_FEATURES: Layout = "classes-features"  # PyTorch's [K, N]


@dataclasses.dataclass(frozen=True)
class StoredKernel:
    """A kernel as it is stored: its name, its bias and how to make `[N, K]` of it.

    `copies` is the length of a leading axis that pmap has left, or None.
    """

    name: Name
    bias: Name | None
    copies: int | None
    layout: Layout
    shape: tuple[int, int]  # [N, K]


def describe(
    where: str, stored: StoredArrays, name: Name, num_classes: int | None, layout: Layout | None
) -> StoredKernel:
    """How to make `[N, K]` of the kernel: which copy, and which axis is the classes.

    Args:
      where: what an error's line starts with.
      stored: the listing of a checkpoint.
      name: the kernel that was chosen.
      num_classes: K, where it is known.
      layout: which axis is the classes, where it is known.

    Returns:
      What `restore_head` reads.

    Raises:
      ValueError: it is no matrix and no 1x1 convolution, or its axes cannot be told apart, or its
        bias or `num_classes` contradict the layout.
    """
    leaf, shape, shown = parts_of(name)[-1], stored.arrays[name].shape, "/".join(name)
    is_copied = may_be_copies(shape, leaf) and _all_replicated(name, stored)
    copies = shape[0] if is_copied else None
    axes = matrix_axes(shape if copies is None else shape[1:], leaf)
    if axes is None:
        hint = (
            f"A leading axis of {shape[0]} is one copy per device only where all the arrays beside "
            "it have it too: save one copy."
            if len(shape) == 3
            else "A convolution is a classifier only where it is 1x1."
        )
        raise InputError(
            f"{where}: the kernel {shown} must have shape [N, K], got {list(shape)}. {hint}"
        )
    if 0 in shape:
        raise InputError(
            f"{where}: the kernel {shown} must hold one number at least, got {list(shape)}. "
            "Save the classifier after its first use."
        )
    bias = bias_of(name, stored.arrays)
    length = None if bias is None else stored.arrays[bias].shape[-1]
    facts = f"kernel {shown} {list(axes)}" + ("" if bias is None else f", bias [{length}]")
    by_name: Layout | None = FEATURES_CLASSES if leaf == "kernel" else None
    if leaf == "weight" and stored.pytorch:
        by_name = CLASSES_FEATURES
    chosen = layout or by_name or _by_length(axes, length) or _by_length(axes, num_classes)
    if chosen is None:
        raise InputError(
            f"{where}: the axis of the classes must be known, got {facts}, which does not say it. "
            f"Add layout={CLASSES_FEATURES}, as PyTorch's weights, or layout={FEATURES_CLASSES} "
            "(--layout)."
        )
    n, k = axes if chosen == FEATURES_CLASSES else axes[::-1]
    for claim, value in (("the bias", length), (f"{num_classes=}", num_classes)):
        if value not in (None, k):
            other = CLASSES_FEATURES if chosen == FEATURES_CLASSES else FEATURES_CLASSES
            raise InputError(
                f"{where}: {claim} must be of the {k} classes that {chosen} means, got {facts}. "
                + (
                    f"If it is stored the other way: layout={other} (--layout {other})."
                    if value == n
                    else "Name another kernel with head=PATH (--head PATH)."
                )
            )
    return StoredKernel(name, bias, copies, chosen, (n, k))


def may_be_copies(shape: tuple[int, ...], leaf: str) -> bool:
    """Whether the first axis may be pmap's; PyTorch's weights `[K, N, 1]` are 1-D convolutions."""
    return len(shape) == 5 or (len(shape) == 3 and not (leaf == "weight" and shape[-1] == 1))


def _by_length(axes: tuple[int, int], length: int | None) -> Layout | None:
    """The layout in which exactly one axis, that of the classes, has the length."""
    if (axes[0] == length) == (axes[1] == length):
        return None
    return CLASSES_FEATURES if axes[0] == length else FEATURES_CLASSES


def matrix_axes(shape: tuple[int, ...], leaf: str) -> tuple[int, int] | None:
    """The two axes left of a Dense kernel or a 1x1 convolution, in the order they are stored."""
    if len(shape) == 2:
        return shape[0], shape[1]
    if len(shape) == 4 and leaf != "weight" and shape[:2] == (1, 1):
        return shape[2], shape[3]
    if len(shape) == 4 and leaf != "kernel" and shape[2:] == (1, 1):
        return shape[0], shape[1]
    return None


def bias_of(name: Name, arrays: Mapping[Name, ArrayInfo]) -> Name | None:
    """The vector beside the kernel that is named `bias`; replicated where the kernel is."""
    wanted = (*parts_of(name)[:-1], "bias")
    replicated = len(arrays[name].shape) in (3, 5)
    beside = [other for other in arrays if parts_of(other) == wanted]
    found = [other for other in beside if len(arrays[other].shape) == 1 + replicated]
    return found[0] if found else None


def _all_replicated(name: Name, stored: StoredArrays) -> bool:
    """Whether all arrays of the kernel's tree, more than itself, share its leading axis."""
    root = name[: name.index("params") + 1] if "params" in name else ()
    shapes = [info.shape for n, info in stored.arrays.items() if n[: len(root)] == root]
    length = stored.arrays[name].shape[0]
    return len(shapes) > 1 and all(shape[:1] == (length,) for shape in shapes)
