"""Every use of Orbax: save and restore a training's state, read a checkpoint's parts."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint import v1 as ocp

from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.stores.buckets import here
from simsmooth_jax.formats.stores.near_checkpoints import next_step, no_checkpoint
from simsmooth_jax.formats.stores.orbax import refuse_hostile
from simsmooth_jax.formats.stores.orbax_steps import (
    CHECKPOINTS,
    MANIFEST,
    NUMBER,
    STEP,
    find_step,
    refuse_lost_later,
    renamed,
    verify,
)
from simsmooth_jax.machine.files import manifest
from simsmooth_jax.machine.files.disks import unwritten
from simsmooth_jax.machine.processes import from_writer, is_writer
from simsmooth_jax.training.saved import kept_steps

OTHER_FILES = 2**16  # bytes, about, of what Orbax writes beside the arrays
ALWAYS = {"step", "params", "batch_stats", "opt_state"}  # of every checkpoint, also if empty


def save(directory: Path, step: int, state: Any, metadata: dict[str, Any]) -> None:
    """Writes `directory/step` with its manifest; of the steps before it the last one stays.

    `state` is a dictionary, or a dataclass of which a part without arrays, as the state of a table,
    is left out. The step has its name once all of it is there.

    Raises:
      InputError: something in the directory that is not ours might be taken for a step.
      WriteError: the disk is full, read-only or gone; the steps before it are as they were.
    """
    path, unnamed = directory / str(step), directory / f"{step}{kept_steps.UNNAMED}"
    name = f"{directory.name}/{step}"  # the same where processes see another path
    place = None
    try:
        if is_writer():
            directory.mkdir(parents=True, exist_ok=True)
            place = directory.stat()
            kept_steps.refuse_others(directory)
            if path.exists():
                raise InputError(f"checkpoint {path}", "be new", "one that exists", "Move it away.")
            kept_steps.remove_begun(directory)
        from_writer(f"saving {name}", None)
        # Not by a manager of steps: that would look after all of the directory, and delete in it.
        noted = {MANIFEST: manifest.SUMS, NUMBER: step, **metadata}
        ocp.save(str(unnamed.absolute()), _parts(state), custom_metadata=noted)
        if is_writer():
            kept_steps.refuse_another(directory, place)
            manifest.write(unnamed)
            unnamed.rename(path)
            kept_steps.prune(directory)
    except InputError:
        raise
    except Exception as error:
        kept_steps.remove_another(directory, place)
        begun = next(directory.glob(f"{unnamed.name}*"), None)
        raise unwritten(path, _bytes(state), error, begun) from error
    from_writer(f"saved {name}", None)


def restore_state(directory: Path, like: Any) -> Any | None:
    """The last state in a training's directory, or None where there is no checkpoint.

    `like` gives the tree, shapes, dtypes and shardings, which are compared strictly.
    """
    path = latest_step(directory)
    if path is None:
        return None
    if is_writer():
        verify(path)
    from_writer(f"verified {directory.name}/{path.name}", None)
    parts = _parts(like)
    stored, expected = shapes(_arrays(path)), shapes(parts)
    for name in sorted(stored.keys() | expected.keys()):
        if stored.get(name) != expected.get(name):
            raise InputError(
                f"checkpoint {path}: {name}",
                f"be {expected.get(name, 'absent')}",
                stored.get(name, "nothing"),
                "It is of another model or optimizer.",
            )
    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), parts
    )
    found = _orbax(ocp.load, path, abstract)
    if int(found["step"]) != int(path.name):  # one from before it was noted
        raise renamed(path, int(found["step"]))
    return found if isinstance(like, dict) else dataclasses.replace(like, **found)


def read(checkpoint: Path, parts: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The named top-level parts of a checkpoint on one device, and its metadata.

    `checkpoint` is a training's directory, whose last step is taken, or one step of it.
    """
    path = resolve(checkpoint)
    try:
        return _read(path, parts)
    except (InputError, OSError):
        if path.exists():
            raise
    return read(checkpoint, parts)  # a training that goes on has removed the step meanwhile


def _read(path: Path, parts: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    verify(path)
    stored = _arrays(path)
    missing = [part for part in parts if part not in stored]
    if missing:
        raise InputError(
            f"checkpoint {path}: it",
            f"hold {', '.join(parts)}",
            ", ".join(sorted(map(str, stored))),
            "Save a training state with params.",
        )
    device = SingleDeviceSharding(jax.devices()[0])

    def abstract(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device)

    wanted = {
        name: jax.tree.map(abstract if name in parts else lambda _: ocp.PLACEHOLDER, subtree)
        for name, subtree in stored.items()
    }
    loaded = _orbax(ocp.load, path, wanted)
    return {part: loaded[part] for part in parts}, read_metadata(path)


def read_metadata(path: Path) -> dict[str, Any]:
    """What `save` was given besides the state; empty for another program's checkpoint."""
    metadata = _orbax(ocp.metadata, path).custom_metadata
    found = metadata if isinstance(metadata, dict) else {}
    return {name: value for name, value in found.items() if name not in (MANIFEST, NUMBER)}


def steps_directory(directory: Path) -> Path:
    """Where a training alone has its steps: beside its other files, if it was begun so before."""
    older = directory.is_dir() and any(map(kept_steps.is_ours, directory.iterdir()))
    return directory if older else directory / CHECKPOINTS


def last_noted(directory: Path) -> dict[str, Any]:
    """What the last step of a training's directory notes; empty where there is none."""
    path = latest_step(directory)
    return {} if path is None else read_metadata(path)


def latest_step(directory: Path) -> Path | None:
    """The finished checkpoint of the highest step, without creating anything."""
    path = directory.absolute()
    step = find_step(path) if path.is_dir() else None
    return None if step == path else step


def resolve(checkpoint: Path) -> Path:
    """The directory of one step that a user's path means."""
    checkpoint = here(checkpoint)
    if not checkpoint.exists():
        raise InputError(
            "`checkpoint`",
            "be an existing directory",
            checkpoint,
            next_step(checkpoint),
        )
    if not checkpoint.is_dir():
        raise InputError(
            "`checkpoint`",
            "be a directory that simsmooth trained in",
            f"the file {checkpoint}",
            "Its kernel can still be used: simsmooth labels CHECKPOINT.",
        )
    path = find_step(checkpoint.absolute())
    if path is None or not (path / STEP).is_file():
        raise no_checkpoint(checkpoint)
    refuse_lost_later(checkpoint, path)
    return path


def _parts(state: Any) -> dict[str, Any]:
    """The fields of a state by name, but for those that came later where they hold no array."""
    if isinstance(state, dict):
        return state
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return {
        name: value for name, value in fields.items() if name in ALWAYS or jax.tree.leaves(value)
    }


def _bytes(state: Any) -> int:
    """What a state takes on a disk, about: its arrays, and a block for each file beside them."""
    return OTHER_FILES + sum(leaf.nbytes for leaf in jax.tree.leaves(_parts(state)))


def _arrays(path: Path) -> Any:
    """The tree of shapes and dtypes of a checkpoint, read without its arrays."""
    refuse_hostile(path)
    tree = _orbax(ocp.metadata, path).metadata
    if tree is None:  # Orbax logs what it could not read, and goes on
        raise _damaged(path, "its arrays cannot be listed")
    return tree


def _orbax(function: Callable[..., Any], path: Path, *arguments: Any) -> Any:
    """Calls Orbax, whose many kinds of error on a damaged checkpoint become one."""
    try:
        return function(str(path), *arguments)
    except Exception as error:
        raise _damaged(path, "it cannot be read") from error


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        f"checkpoint {path}: it",
        "be whole",
        f"a damaged one ({reason})",
        "Restore it from a copy, or train again in another `out`.",
    )


def not_finite(path: Path, array: str) -> InputError:
    """The error of a state with NaN or infinity, which none that is saved today has."""
    return InputError(
        f"checkpoint {path}: {array}",
        "be finite",
        "NaN or infinity",
        "Take an earlier one, or train again at a lower learning rate.",
    )


def shapes(tree: Any) -> dict[str, str]:
    """Dtype and shape of every array by its path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(keys, simple=True, separator="/"): f"{leaf.dtype}{list(leaf.shape)}"
        for keys, leaf in leaves
    }
