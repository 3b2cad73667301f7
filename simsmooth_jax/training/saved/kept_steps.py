"""The steps in a training's directory: which of them are ours, which stay, how one is removed."""

import contextlib
import errno
import os
import re
import warnings
from pathlib import Path

from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.stores.orbax_steps import UNFINISHED, noted_by_user, step_number
from simsmooth_jax.machine.files import manifest
from simsmooth_jax.machine.files.writing import TEMPORARY

KEPT = 2  # the last ones
UNNAMED = ".simsmooth-unfinished"  # of a step's directory until all of it is written

_TMP = r"(\.orbax-checkpoint-tmp(-\d+)?)?"
_BEGUN = re.compile(rf"\d+({re.escape(UNNAMED)})?{_TMP}")
_ORBAX = re.compile(  # what Orbax and TensorStore write of a state, in a step or on the way to it
    rf"({manifest.SUMS}|{TEMPORARY.pattern}|_CHECKPOINT_METADATA|commit_success\.txt|"
    rf"orbax\.checkpoint|state{_TMP}/(_METADATA|_sharding|commit_success\.txt|"
    rf"array_metadatas{_TMP}/process_\d+|(ocdbt\.process_\d+{_TMP}/)?(manifest\.ocdbt|"
    r"d/[0-9a-f]{32})))(\.__lock)?"
)


def refuse_others(directory: Path) -> None:
    """Refuses a directory of steps with what Orbax would take for a step, or for a step begun.

    Raises:
      InputError: something of that kind was not written here; it is left as it is.
    """
    for child in sorted(directory.iterdir()) if directory.is_dir() else []:
        odd = step_number(child) is not None or UNFINISHED in child.name or UNNAMED in child.name
        if odd and not is_ours(child) and not is_begun(child):
            raise InputError(
                f"{directory}: it",
                "hold no steps but those that were saved here",
                child.name,
                "Move it away, or choose another `out`.",
            )


def is_ours(step: Path) -> bool:
    """Whether a directory is a step that was saved here, by this version or one before it."""
    named = step.name == str(step_number(step)) and step.is_dir() and not step.is_symlink()
    return named and (manifest.is_there(step) or "arm" in noted_by_user(step))


def is_begun(path: Path) -> bool:
    """Whether it is what a kill leaves of a step: nothing in it is of another kind."""
    if not _BEGUN.fullmatch(path.name) or path.name.isdigit():
        return False
    return path.is_dir() and not path.is_symlink() and not belongings(path)[1]


def prune(directory: Path) -> None:
    """Removes all but the last steps, if the last one is whole; what holds other files stays.

    One that cannot be removed is warned of: nothing is lost, and a training goes on.
    """
    found = directory.iterdir() if directory.is_dir() else ()
    ours = sorted(filter(is_ours, found), key=lambda step: int(step.name))
    if len(ours) <= KEPT or manifest.first_flaw(ours[-1]):
        return
    for step in ours[:-KEPT]:
        _remove_or_warn(step)


def remove_begun(directory: Path) -> None:
    """Removes what a kill has left of a step that was being saved."""
    for child in directory.iterdir():
        if is_begun(child):
            _remove_or_warn(child)


def _remove_or_warn(step: Path) -> None:
    try:
        if is_begun(step):
            _remove_files(step)
        elif not belongings(step)[1]:
            remove(step)
    except OSError as error:
        what = f"{error.strerror}: {error.filename}"
        text = f"{step} is not needed any more, and could not be removed: {what}"
        warnings.warn(text, stacklevel=2)


def refuse_another(directory: Path, place: os.stat_result | None) -> None:
    """Refuses a directory that is made again after it has vanished, as Orbax makes it.

    Raises:
      FileNotFoundError: it is not the one that it was.
    """
    if place is None or not os.path.samestat(place, directory.stat()):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(directory))


def remove_another(directory: Path, place: os.stat_result | None) -> None:
    """Removes what was written into such a directory, and it itself."""
    if place is None or not directory.is_dir() or os.path.samestat(place, directory.stat()):
        return
    with contextlib.suppress(OSError):  # Orbax may not have ended yet
        remove_begun(directory)
        directory.rmdir()
        directory.parent.rmdir()


def belongings(step: Path) -> tuple[list[Path], list[Path]]:
    """The files of a step that were written here, by its manifest or by their names; the others."""
    found = [path for path in step.rglob("*") if path.is_symlink() or not path.is_dir()]
    try:
        listed = {*manifest.read(step), manifest.SUMS}
    except InputError:  # of before there were any, not yet written, or damaged
        listed = {name for path in found if _ORBAX.fullmatch(name := _name(path, step))}
    ours = [path for path in found if _name(path, step) in listed and not path.is_symlink()]
    return ours, sorted({*found} - {*ours})


def remove(step: Path) -> None:
    """Removes what was written here of a step, and the directories that are empty then."""
    aside = step.with_name(f"{step.name}{UNNAMED}")  # a kill leaves nothing that looks like a step
    _remove_files(step.rename(aside))


def _remove_files(step: Path) -> None:
    files = belongings(step)[0]
    for path in sorted(files, key=lambda path: path.name == manifest.SUMS):
        path.unlink()
    directories = [path for path in step.rglob("*") if path.is_dir() and not path.is_symlink()]
    for path in sorted([*directories, step], key=lambda path: len(path.parts), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()


def _name(path: Path, step: Path) -> str:
    return path.relative_to(step).as_posix()
