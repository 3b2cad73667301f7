"""How much of a device's memory a training takes at least: refused before it is compiled."""

import math
from typing import Any

import jax

from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.memory import GIB, device_memory
from simsmooth_jax.method.objectives.objective import Objective

MODEL, IMAGES, LABELS = "classifier, gradient and optimizer", "training images", "labels"
# What to choose instead, by what takes most.
INSTEAD = {
    MODEL: "Choose a smaller `width` or `depth`, or another `model`.",
    IMAGES: "Use `input=stream`.",
    LABELS: "Train on labels of fewer classes each: simsmooth labels --top-k 32.",
}


def nbytes(tree: Any) -> int:
    """Bytes of a pytree of arrays or of their shapes."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "dtype")]
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)


def refuse_training(
    state: Any, images: int, objective: Objective | None = None, memory: int | None = None
) -> None:
    """Refuses a training whose arrays alone do not fit into a device, before it is compiled.

    Args:
      state: the shapes of the state before the first step, of which every device has a copy.
      images: bytes of the training images that every device holds; 0 where they are streamed.
      objective: what is minimised, if it is known: its constants and its own state count as well.
      memory: bytes of a device; those that there are if not given.
    """
    parts = {MODEL: nbytes(state) + nbytes(state.params), IMAGES: images}
    if objective is not None:
        parts[LABELS] = nbytes(objective.data) + nbytes(jax.eval_shape(objective.init))
    memory = device_memory() if memory is None else memory
    if sum(parts.values()) <= memory:
        return
    listed = ", ".join(f"{size / GIB:.2f} of {what}" for what, size in parts.items() if size)
    raise InputError(
        "the training",
        f"fit into the memory of a device, {memory / GIB:.2f} GiB",
        f"{sum(parts.values()) / GIB:.2f} GiB: {listed}",
        INSTEAD[max(parts, key=lambda what: parts[what])],
    )
