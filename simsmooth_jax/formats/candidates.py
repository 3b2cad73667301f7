"""Which stored arrays may be the head's kernel."""

import dataclasses
import math

from simsmooth_jax.heads import Candidate, flax_candidate, parts_of
from simsmooth_jax.optimizer_state import is_optimizer_state
from simsmooth_jax.stored.arrays import Name, StoredArrays
from simsmooth_jax.stored.kernels import bias_of, matrix_axes, may_be_copies

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
