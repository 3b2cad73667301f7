"""How much of a device's memory a training takes: what cannot fit is refused before it runs."""

import math
from typing import Any

import jax
from rich.filesize import decimal

from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.memory import GIB, device_limit, device_memory
from simsmooth_jax.method.objectives.objective import Objective

MODEL, IMAGES, LABELS = "classifier and optimizer", "training images", "labels"
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


def objective_bytes(objective: Objective) -> int:
    """Bytes of an objective's constants and of its own state, of which nothing is made."""
    return nbytes(objective.data) + nbytes(jax.eval_shape(objective.init))


def refuse_training(state: Any, images: int, labels: int = 0, memory: float | None = None) -> None:
    """Refuses a training whose arrays alone do not fit into a device, before it is compiled.

    Only what every step is given counts: of gradients XLA may keep a layer's at a time, or none.

    Args:
      state: the shapes of the state before the first step, of which every device has a copy.
      images: bytes of the training images that every device holds; 0 where they are streamed.
      labels: bytes of what is minimised, as far as it is known.
      memory: bytes of a device; those that there are if not given.
    """
    parts = {MODEL: nbytes(state), IMAGES: images, LABELS: labels}
    _refuse("the training", parts, INSTEAD[max(parts, key=lambda what: parts[what])], memory)


def of_step(program: jax.stages.Compiled, memory: float | None = None) -> str:
    """What a compiled step takes of each device, in words; refused where that is more than it has.

    Args:
      program: the step, compiled and not yet run.
      memory: bytes of a device; those that there are if not given.
    """
    found = program.memory_analysis()
    if found is None:  # JAX knows it of CPU, GPU and TPU
        return "step: its device memory is not known before it runs"
    given = found.argument_size_in_bytes
    new = found.output_size_in_bytes - found.alias_size_in_bytes  # the rest is written in place
    parts = {"arguments": given, "temporaries": found.temp_size_in_bytes, "results": new}
    parts["program"] = found.generated_code_size_in_bytes
    _refuse("the compiled step", parts, "Choose a smaller `batch_size`.", memory)
    limit = device_limit()
    whole = decimal(sum(parts.values())) + (f" of a device's {decimal(limit)}" if limit else "")
    listed = ", ".join(f"{what} {decimal(size)}" for what, size in parts.items() if size)
    return f"step: {whole} of device memory ({listed})"


def _refuse(who: str, parts: dict[str, int], then: str, memory: float | None) -> None:
    memory = device_memory() if memory is None else memory
    if (whole := sum(parts.values())) > memory:
        must = f"fit into the memory of a device, {memory / GIB:.2f} GiB"
        listed = ", ".join(f"{size / GIB:.2f} of {what}" for what, size in parts.items() if size)
        raise InputError(who, must, f"{whole / GIB:.2f} GiB: {listed}", then)
