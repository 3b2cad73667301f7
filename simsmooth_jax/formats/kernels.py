"""How to make `[N, K]` of a stored kernel: which copy it is, and which axis is the classes."""

import dataclasses
from collections.abc import Mapping

from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.stores.arrays import ArrayInfo, Name, StoredArrays
from simsmooth_jax.literals import Layout
from simsmooth_jax.method.heads.candidates import Candidate, flax_candidate, parts_of
from simsmooth_jax.method.heads.optimizer_state import is_optimizer_state

FEATURES_CLASSES: Layout = "features-classes"  # Flax's [N, K]
CLASSES_FEATURES: Layout = "classes-features"  # PyTorch's [K, N]
LEAVES = ("kernel", "weight")


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
    because: str = ""  # why it is the head, where its name does not say it


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
    leaf, shape, shown = leaf_of(name), stored.arrays[name].shape, "/".join(name)
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
        raise InputError(f"{where}: the kernel {shown}", "have shape [N, K]", list(shape), hint)
    if 0 in shape:
        raise InputError(
            f"{where}: the kernel {shown}",
            "hold one number at least",
            list(shape),
            "Save the classifier after its first use.",
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
            f"{where}: the axis of the classes",
            "be known",
            f"{facts}, which does not say it",
            (
                f"Add `layout={CLASSES_FEATURES!r}`, as PyTorch's weights, or "
                f"`layout={FEATURES_CLASSES!r}`."
            ),
        )
    n, k = axes if chosen == FEATURES_CLASSES else axes[::-1]
    for claim, value in (("the bias", length), (f"`{num_classes=}`", num_classes)):
        if value not in (None, k):
            other = CLASSES_FEATURES if chosen == FEATURES_CLASSES else FEATURES_CLASSES
            hint = "Name another kernel with `head=PATH`."
            if value == n:
                hint = f"If it is stored the other way: `layout={other!r}`."
            raise InputError(
                f"{where}: {claim}", f"be of the {k} classes that {chosen} means", facts, hint
            )
    return StoredKernel(name, bias, copies, chosen, (n, k))


def may_be_copies(shape: tuple[int, ...], leaf: str) -> bool:
    """Whether the first axis may be pmap's; PyTorch's weights `[K, N, 1]` are 1-D convolutions."""
    is_convolution = leaf == "weight" and shape[2:] in ((1,), (1, 1, 1))
    return len(shape) in (3, 5) and not is_convolution


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
    if len(shape) > 3 and leaf != "kernel" and set(shape[2:]) == {1}:
        return shape[0], shape[1]
    return None


def bias_of(name: Name, arrays: Mapping[Name, ArrayInfo]) -> Name | None:
    """The vector beside the kernel: `bias`, or Haiku's `b`; replicated where the kernel is."""
    *module, leaf = parts_of(name)
    wanted = (*module, "b" if module and leaf == "w" else "bias")
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


def find(stored: StoredArrays, layout: Layout | None) -> dict[Name, Candidate]:
    """Every array that may be the head's kernel: named `kernel`, `w` or `weight`, or nothing.

    Args:
      stored: the listing of a checkpoint.
      layout: which axis is the classes, where it is known.

    Returns:
      Them by name. Arrays of other names count only where none is named so and none has a module,
      as in a file of bare arrays.
    """
    leaves = {name: leaf_of(name) for name in stored.arrays}
    found = {
        name: _candidate(stored, name, info.shape, leaves[name], layout)
        for name, info in stored.arrays.items()
        if len(info.shape) >= 2 and leaves[name] in LEAVES and not of_optimizer(stored, name)
    }
    if found or any(len(parts_of(name)) > 1 for name in stored.arrays):
        return found
    bare = {name: info.shape for name, info in stored.arrays.items() if len(info.shape) >= 2}
    return {name: _candidate(stored, name, shape, "", layout) for name, shape in bare.items()}


def of_optimizer(stored: StoredArrays, name: Name) -> bool:
    """Whether an array is an optimizer's state; in PyTorch's files of weights there is none.

    Args:
      stored: the listing of a checkpoint.
      name: one of its arrays.

    Returns:
      Whether it never counts as a head.
    """
    return not stored.pytorch and is_optimizer_state(parts_of(name))


def leaf_of(name: Name) -> str:
    """The last part of a name; Haiku's `w` of a module counts as Flax's `kernel`."""
    parts = parts_of(name)
    return "kernel" if parts[-1] == "w" and parts[:-1] else parts[-1]


def _candidate(
    stored: StoredArrays, name: Name, shape: tuple[int, ...], leaf: str, layout: Layout | None
) -> Candidate:
    has_bias = bias_of(name, stored.arrays) is not None
    if leaf == "kernel" and layout != CLASSES_FEATURES:
        return flax_candidate(name, shape, has_bias)
    module = tuple(part for part in parts_of(name)[:-1] if part not in ("params", "~"))
    one_copy = shape[1:] if may_be_copies(shape, leaf) else shape
    axes = matrix_axes(one_copy, leaf)
    if layout is None and stored.pytorch and leaf == "weight":
        layout = CLASSES_FEATURES
    outputs, inputs = None, None
    if layout == CLASSES_FEATURES and len(one_copy) >= 2:
        outputs, inputs = one_copy[:2]
    elif layout == FEATURES_CLASSES and axes is not None:
        inputs, outputs = axes
    classes = frozenset(axes or ())
    return Candidate(shape, module, classes, outputs, inputs, has_bias, leaf == "kernel")
