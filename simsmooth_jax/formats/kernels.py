"""How to make `[N, K]` of a stored kernel: which copy it is, and which axis is the classes."""

import dataclasses
import math
from collections.abc import Mapping

from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.arrays import ArrayInfo, Name, StoredArrays
from simsmooth_jax.literals import Layout
from simsmooth_jax.method.heads import Candidate, flax_candidate, is_optimizer_state, parts_of

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
                f"Add `layout={CLASSES_FEATURES}`, as PyTorch's weights, or "
                f"`layout={FEATURES_CLASSES}`."
            ),
        )
    n, k = axes if chosen == FEATURES_CLASSES else axes[::-1]
    for claim, value in (("the bias", length), (f"`{num_classes=}`", num_classes)):
        if value not in (None, k):
            other = CLASSES_FEATURES if chosen == FEATURES_CLASSES else FEATURES_CLASSES
            hint = "Name another kernel with `head=PATH`."
            if value == n:
                hint = f"If it is stored the other way: `layout={other}`."
            raise InputError(
                f"{where}: {claim}", f"be of the {k} classes that {chosen} means", facts, hint
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


HEADS = ("head", "fc", "classifier")  # in Flax and timm, torchvision, and Hugging Face


def find(stored: StoredArrays) -> dict[Name, Candidate]:
    """Every array that may be the head's kernel: named `kernel` or `weight`, or named nothing.

    Args:
      stored: the listing of a checkpoint.

    Returns:
      Them by name. Arrays of other names count only where none is named `kernel` or `weight` and
      none has a module, as in a file of bare arrays.
    """
    leaves = {name: parts_of(name)[-1] for name in stored.arrays}
    found = {
        name: _candidate(name, info.shape, leaves[name])
        for name, info in stored.arrays.items()
        if len(info.shape) >= 2
        and leaves[name] in ("kernel", "weight")
        and not of_optimizer(stored, name)
    }
    if found or any(len(parts_of(name)) > 1 for name in stored.arrays):
        return _without_inner_names(stored, found)
    bare = {name: info.shape for name, info in stored.arrays.items() if len(info.shape) >= 2}
    return {name: _candidate(name, shape, "") for name, shape in bare.items()}


def of_optimizer(stored: StoredArrays, name: Name) -> bool:
    """Whether an array is an optimizer's state; in PyTorch's files of weights there is none.

    Args:
      stored: the listing of a checkpoint.
      name: one of its arrays.

    Returns:
      Whether it never counts as a head.
    """
    return not stored.pytorch and is_optimizer_state(parts_of(name))


def _without_inner_names(
    stored: StoredArrays, found: dict[Name, Candidate]
) -> dict[Name, Candidate]:
    """Takes the name of a head from layers inside of blocks, as `layer1.0.se.fc`.

    PyTorch's `fc` is an inner layer where another layer with a bias stands farther out.
    """
    outer = [
        _depth(candidate)
        for name, candidate in found.items()
        if candidate.num_classes and not candidate.named and bias_of(name, stored.arrays)
    ]
    return {
        name: dataclasses.replace(candidate, named=False)
        if parts_of(name)[-1] == "weight" and _depth(candidate) > min(outer, default=math.inf)
        else candidate
        for name, candidate in found.items()
    }


def _depth(candidate: Candidate) -> int:
    return sum(not part.isdigit() for part in candidate.module)


def _candidate(name: Name, shape: tuple[int, ...], leaf: str) -> Candidate:
    if leaf == "kernel":
        return flax_candidate(name, shape)
    module = parts_of(name)[:-1]
    layers = [part for part in module if not part.isdigit()]  # not the places in a Sequential
    one_copy = shape[1:] if may_be_copies(shape, leaf) else shape
    classes = frozenset(matrix_axes(one_copy, leaf) or ())
    return Candidate(shape, module, classes, bool(layers) and layers[-1] in HEADS)
