"""What in a run directory is the run's own; nothing else is ever replaced or removed."""

import re
from pathlib import Path
from typing import NamedTuple

from simsmooth_jax.machine.files import ledger
from simsmooth_jax.machine.files.ledger import HERE, LEDGER
from simsmooth_jax.machine.files.writing import TEMPORARY
from simsmooth_jax.program.recorded_config import CONFIG, has_our_config
from simsmooth_jax.training.saved import kept_steps

LOCK, OWNER = ".lock", ".lock-owner"
_LOCKS = re.compile(r"\.lock(-owner)?(-\d+-of-\d+)?")
_ROWS = re.compile(r"rows-\d+-of-\d+\.jsonl")  # of a study's shards; they may be brought
# What runs made before they had a ledger.
_OLDER = re.compile(
    rf"config\.json|metrics\.jsonl|report\.(json|html)|study\.json|{_ROWS.pattern}|"
    r"labels\.(npz|safetensors)|similarity\.npz|(first|uniform|second|tuning)/|"
    r"pictures/((similarity|reliability|curves)\.png)?|"
    r"tables/((results|reliability|risk-coverage|nearest|strengths|differences)\.csv)?|"
    r"tuning/(metrics\.jsonl|(uniform|relation)-[\d.]+/)|"
    r"first-models/((\.lock-)?\d+-\d\.\d{3}e[+-]\d\d(\.npz)?)?|"
    r"\.(config\.json|metrics\.jsonl|report\.(json|html)|labels\.\w+)\.[0-9a-f]{8}\.tmp"
)


class Contents(NamedTuple):
    """All that is in a run directory; `others` are the names of what is not its own."""

    files: list[Path]
    steps: list[Path]
    directories: list[Path]  # each after those that are in it
    others: list[str]


def foreign(path: Path) -> str:
    """A name in the directory that no run has made and none would read, or an empty text."""
    if path.exists() and not path.is_dir():
        return "a file's content"
    known = _known(path)
    for child in sorted(path.iterdir()) if path.is_dir() else []:
        name = f"{child.name}/" if child.is_dir() else child.name
        ours = name in known or _is_usual(child) or _ROWS.fullmatch(name)
        if child.is_symlink() or not (ours or (HERE in known and _is_step(child))):
            return name
    return ""


def adopt(path: Path) -> None:
    """Gives the directory of an older run a ledger, with all that such a run makes."""
    if ledger.named(path) is None:
        ledger.note(path, sorted(_known(path)))


def contents(path: Path) -> Contents:
    """What a run has made, by its ledger and by the manifests of its steps."""
    known, found = _known(path), Contents([], [], [], [])
    _look(path, path, known, found)
    return found


def refuse_others(path: Path) -> None:
    """Refuses to empty a directory in which anything is not the run's own."""
    if path.is_dir() and (others := contents(path).others):
        raise ledger.not_ours(path, others[0])


def clear(path: Path) -> None:
    """Empties a directory of a run's own files, its configuration last."""
    refuse_others(path)
    found = contents(path)
    for step in found.steps:
        kept_steps.remove(step)
    last = (path / CONFIG, path / LEDGER)  # without them the rest is no run of ours
    for file in found.files:
        if file not in last and not _LOCKS.fullmatch(file.name):
            file.unlink()
    for directory in found.directories:
        directory.rmdir()
    for file in last:
        file.unlink(missing_ok=True)


def sweep(path: Path) -> None:
    """Removes what a kill has left of files that were being written."""
    for file in contents(path).files:
        if TEMPORARY.fullmatch(file.name):
            file.unlink(missing_ok=True)


def _look(root: Path, directory: Path, known: set[str], found: Contents) -> None:
    holds_steps = directory != root or HERE in known
    for child in sorted(directory.iterdir()):
        name = child.relative_to(root).as_posix()
        if child.is_symlink():
            found.others.append(name)
        elif child.is_file():
            ours = name in known or TEMPORARY.fullmatch(child.name)
            ours = ours or (directory == root and _is_usual(child))
            found.files.append(child) if ours else found.others.append(name)
        elif holds_steps and _is_step(child):
            found.steps.append(child)
            others = kept_steps.belongings(child)[1]
            found.others.extend(other.relative_to(root).as_posix() for other in others)
        elif f"{name}/" in known:
            _look(root, child, known, found)
            found.directories.append(child)
        else:
            found.others.append(f"{name}/")


def _known(path: Path) -> set[str]:
    """What the ledger names; of an older run, which has none, what such a run makes."""
    known = ledger.named(path)
    if known is not None or not has_our_config(path):
        return known or set()
    inside = [child for child in path.iterdir() if not child.is_symlink()]
    below = [p for child in inside if child.is_dir() for p in child.iterdir()]
    names = {
        p.relative_to(path).as_posix() + "/" * p.is_dir()
        for p in (*inside, *below)
        if not p.is_symlink()
    }
    older = {name for name in names if _OLDER.fullmatch(name)}
    # A training alone had its steps beside its other files.
    return older | {HERE} if any(kept_steps.is_ours(child) for child in inside) else older


def _is_usual(child: Path) -> bool:
    """Whether it has a name that only we give: of a lock, of the ledger, of a file half written."""
    name = child.name
    return name == LEDGER or bool(_LOCKS.fullmatch(name) or TEMPORARY.fullmatch(name))


def _is_step(path: Path) -> bool:
    return kept_steps.is_ours(path) or kept_steps.is_begun(path)
