"""Which step of a directory is meant, by what Orbax writes into each; of other writers as well."""

import re
from pathlib import Path
from typing import Any, TypeVar

from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.stores.arrays import Place, damaged
from simsmooth_jax.formats.stores.buckets import BucketPath
from simsmooth_jax.machine.files import manifest
from simsmooth_jax.machine.files.reading import parsed_json, read_input

PlaceT = TypeVar("PlaceT", Path, BucketPath)
TREE = "_METADATA"  # in every directory of arrays: their names
STEP = "_CHECKPOINT_METADATA"  # in a step's directory: what was noted when it was saved
# Bare trees beside each other are steps under these names alone; others are trainings or parts.
PREFIXES = ("", "step_", "checkpoint_", "ckpt_", "epoch_")
UNFINISHED = ".orbax-checkpoint-tmp"
CHECKPOINTS = "checkpoints"  # the steps of a training's directory, which holds other files too
# What a step of ours notes about itself: the name of its manifest, its own.
MANIFEST, NUMBER = "manifest", "number"


def find_step(path: PlaceT) -> PlaceT | None:
    """The last finished step in a directory of steps, or the path where it is one itself.

    Args:
      path: a directory of steps, a step, or a directory of arrays.

    Returns:
      The directory of the step, or None where this is no Orbax checkpoint.

    Raises:
      ValueError: the last step holds no arrays any more; two steps have the same number.
    """
    if (path / TREE).is_file() or (path / STEP).is_file():
        return path
    steps = [(found, c) for c in _directories(path) if (found := _name_and_number(c))]
    names = {name for (name, _), child in steps if _is_step(child)}
    # A step that was noted as begun, or is empty, is what a kill leaves of one.
    finished = [
        (number, name, child)
        for (name, number), child in steps
        if name in names and is_committed(child) and _children(child)
    ]
    if not finished:
        inside = path / CHECKPOINTS
        found = find_step(inside) if not items_of(path) and inside.is_dir() else None
        return path if items_of(path) else found
    last, name, step = max(finished)
    for number, other_name, other in finished:
        is_training = (other / TREE).is_file() and other_name not in PREFIXES
        if other != step and (number == last or other_name != name or is_training):
            raise _several(path, other, step)
    if not _children(step):  # a training that goes on has removed it meanwhile
        return find_step(path)
    if not items_of(step):  # an older one in its place would be a silent error
        raise damaged(step, f"the last step of {path.name} has no {TREE} of its arrays")
    return step


def refuse_later(path: Path, step: Path, other: Path | None) -> None:
    """Refuses a file of a later step than Orbax's last, which another writer has left beside it.

    Args:
      path: a directory of steps.
      step: Orbax's last one.
      other: the last file of the other writer, if there is one.

    Raises:
      ValueError: the other is of a later step.
    """
    numbers = step_number(step), other and step_number(other)
    if numbers[0] is not None and numbers[1] is not None and numbers[0] < numbers[1]:
        raise _several(path, Path(str(other)), step)


def verify(step: Place) -> None:
    """Compares every file of a step with its manifest, where it has one, as those of ours do.

    Args:
      step: the directory of a step, or of an item in it.

    Raises:
      ValueError: a file is missing, or holds something else; the first one is named. Or it has the
        number of another step.
    """
    if isinstance(step, BucketPath):
        return
    step = step.parent if (step.parent / STEP).is_file() else step
    if not manifest.is_there(step) and MANIFEST not in noted_by_user(step):
        return
    if flaw := manifest.first_flaw(step):
        whole = (p for p in _earlier(step) if manifest.is_there(p) and not manifest.first_flaw(p))
        before = next(whole, None)
        raise InputError(
            f"checkpoint {step}: it",
            "be whole",
            f"a damaged one ({flaw})",
            "Restore it from a copy."
            if before is None
            else f"Restore it from a copy, or delete it: {before} is whole.",
        )
    number = noted_by_user(step).get(NUMBER)
    if step.name.isdigit() and number is not None and number != int(step.name):
        raise renamed(step, number)


def renamed(step: Path, number: int) -> InputError:
    """The error of a step that is found under the number of another."""
    then = "It was renamed or exchanged: give it its name back."
    return InputError(f"checkpoint {step}: it", "hold that step", f"step {number!r:.20}", then)


def refuse_lost_later(path: Place, step: Place) -> None:
    """Refuses an earlier step in place of the last one of a finished run, which is gone.

    Args:
      path: the directory of steps that the user has named.
      step: the last one that is there.

    Raises:
      ValueError: the manifest of the whole run tells of a later one.
    """
    if isinstance(step, BucketPath) or Path(str(path)).resolve() == step.resolve():
        return
    root, last = step.parent.parent, step_number(step)
    if last is None or not manifest.is_there(root):
        return
    listed = [name.split("/") for name in manifest.read(root)]
    numbers = [int(p[1]) for p in listed if p[0] == step.parent.name and p[1:] and p[1].isdigit()]
    if numbers and max(numbers) > last:
        raise damaged(path, f"step {max(numbers)}, which {root / manifest.SUMS} lists, is missing")


def noted_by_user(step: Place) -> dict[str, Any]:
    """What was given to Orbax to note beside the state."""
    values = noted(step).get("custom_metadata")
    return values if isinstance(values, dict) else {}


def _earlier(step: Path) -> list[Path]:
    """The steps before one in the same directory, the last one first."""
    number = step_number(step)
    found = [(step_number(other), other) for other in _directories(step.parent)]
    known = [(n, other) for n, other in found if n is not None and number is not None]
    return [other for n, other in sorted(known, reverse=True) if n < (number or 0)]


def _several(path: Place, other: Place, step: Place) -> InputError:
    return InputError(
        "`checkpoint`",
        "be a directory of one training's steps",
        f"{path}, which holds {other.name} and {step.name}",
        "Name one of them.",
    )


def items_of(step: Place) -> dict[str, Place]:
    """The directories of arrays in a step by their names, as `default`; or it, if it is one."""
    if (step / TREE).is_file():
        return {step.name: step}
    return {child.name: child for child in _directories(step) if (child / TREE).is_file()}


def step_number(path: Place) -> int | None:
    """7 of `7`, `000007`, `checkpoint_7`."""
    found = _name_and_number(path)
    return found[1] if found else None


def is_committed(step: Place) -> bool:
    """Whether a step does not say that its saving has only begun."""
    return noted(step).get("commit_timestamp_nsecs", 0) is not None


def noted(directory: Place) -> dict[str, Any]:
    """What Orbax has noted when it saved a step; older programs do not note anything."""
    who = f"checkpoint {directory}: {STEP}"
    try:
        content = content_of(who, directory / STEP)
    except OSError:
        return {}
    try:
        values = parsed_json(who, content)
    except InputError:
        return {}
    return values if isinstance(values, dict) else {}


def content_of(who: str, file: Place) -> bytes:
    """The content of a file of metadata, of a bounded size."""
    return file.read_bytes() if isinstance(file, BucketPath) else read_input(who, file)


def _is_step(path: Place) -> bool:
    return (path / STEP).is_file() or bool(items_of(path))


def _directories(path: Place) -> list[Any]:
    return sorted(c for c in _children(path) if c.is_dir() and UNFINISHED not in c.name)


def _children(path: Place) -> list[Any]:
    """What is in a directory; nothing where it has just been removed."""
    try:
        return [*path.iterdir()]
    except FileNotFoundError:
        return []


def _name_and_number(path: Place) -> tuple[str, int] | None:
    found = re.fullmatch(r"(.*_)?(\d+)", path.name)
    return (found[1] or "", int(found[2])) if found else None
