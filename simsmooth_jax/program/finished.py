"""Whether a run is finished: all that it promises is there, and is what it was at the end.

The last file that a run writes is a manifest of all others, for `sha256sum -c` as well.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.files import manifest
from simsmooth_jax.machine.files.ledger import LEDGER
from simsmooth_jax.machine.files.manifest import SUMS
from simsmooth_jax.machine.processes import from_writer, is_writer
from simsmooth_jax.program import belongings
from simsmooth_jax.training.observers.recording import METRICS, MetricsLog
from simsmooth_jax.training.saved import checkpoints, kept_steps

SHOWN = ("pictures/", "tables/", "report.html")  # drawn from the others, without any image


def flaws(directory: Path, promised: Sequence[str]) -> list[str] | None:
    """What of a finished run is not as it was, the same in every process; None of an unfinished.

    Each is said in a line. An older run has no manifest: what it promises must be there.

    Raises:
      InputError: a step that nothing else needs is damaged.
    """
    found = list(_flaws(directory)) if is_writer() else []
    whole = (directory / SUMS).exists() or _is_older(directory, promised)
    names = from_writer("flaws", [name for name, _ in found] if whole else None)
    if names is not None and is_writer():
        _refuse_spare(directory)
        for name, what in found:
            print(f"{directory}: {name} is not as when finished, {what}; what can be is made again")
    return names


def seal(directory: Path, promised: Sequence[str]) -> None:
    """Writes the manifest of all that a run has made, when the last of it is there.

    Raises:
      InputError: rows are not those that the checkpoints have noted.
      OSError: something that is promised is not there.
    """
    log, files = MetricsLog(directory / METRICS), own_files(directory)
    for steps in _step_directories(directory):
        noted = checkpoints.last_noted(steps)
        if METRICS in noted and steps.parent == directory:
            last = checkpoints.latest_step(steps)
            log.verify(noted["arm"], int(last.name) if last else 0, noted[METRICS])
    for name in promised:
        if not any(file == name or file.startswith(name) for file in files):
            raise OSError(f"{directory / name} was not written")
    manifest.write(directory, files)


def own_files(directory: Path) -> list[str]:
    """The run's own files, and those of the last step of each training."""
    own = belongings.contents(directory).files
    for steps in _step_directories(directory):
        if last := checkpoints.latest_step(steps):
            own += kept_steps.belongings(steps / last.name)[0]
    names = [path.relative_to(directory).as_posix() for path in own]
    return [name for name in names if not name.startswith((".", "first-models/."))]


def only_shown(names: Sequence[str]) -> bool:
    """Whether what is not as it was is only drawn from the rest."""
    return all(name.startswith(SHOWN) for name in names)


def _flaws(directory: Path) -> Iterator[tuple[str, str]]:
    """Names and what is wrong; of a step that is gone, or of a directory, one for all its files."""
    if not (directory / SUMS).exists():
        return
    found, said = list(manifest.flaws(directory)), set()
    expected = [] if any(name == SUMS for name, _ in found) else [*manifest.read(directory)]
    for name, what in found:
        parts = name.split("/")
        above = ["/".join(parts[:n]) for n in range(1, len(parts))]
        gone = next((path for path in above if not (directory / path).exists()), None)
        if (gone or name) not in said:
            said.add(gone or name)
            yield (f"{gone}/", "it is missing") if gone else (name, what)
    unknown = {*expected} - {*own_files(directory)}
    for name in sorted(name for name in unknown if (directory / name).exists()):
        yield LEDGER, f"it does not name {name}"


def _refuse_spare(directory: Path) -> None:
    """Refuses a damaged step before the last one, which is not needed and not made again."""
    for steps in _step_directories(directory):
        last = checkpoints.latest_step(steps)
        spare = [
            s for s in steps.iterdir() if kept_steps.is_ours(s) and last and s.name != last.name
        ]
        for step in filter(manifest.is_there, spare):
            if flaw := manifest.first_flaw(step):
                raise InputError(
                    f"checkpoint {step}: it",
                    "be whole",
                    f"a damaged one ({flaw})",
                    f"Delete it, it is not needed: {last} is there.",
                )


def _step_directories(directory: Path) -> list[Path]:
    return sorted({step.parent for step in belongings.contents(directory).steps})


def _is_older(directory: Path, promised: Sequence[str]) -> bool:
    """Whether all is there that a run had made before there were manifests."""
    for path in (directory / name for name in promised):
        if not (any(path.rglob("*")) if path.is_dir() else path.exists()):
            return False
    steps = [step for step in belongings.contents(directory).steps if kept_steps.is_ours(step)]
    return bool(steps) and not any(map(manifest.is_there, steps))
