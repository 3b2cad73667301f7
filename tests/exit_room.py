"""Directories of whole and of stopped commands, one of which is damaged before the next command."""

import contextlib
import io
import os
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import damages
from exit_oracle import STEP, everything, wrong_content, wrong_ending

SMALL = ("--model", "mlp", "--width", "4", "--depth", "1", "--image-size", "4", "--epochs", "3")
SMALL += ("--batch-size", "496", "--learning-rate", "0.1", "--warmup-epochs", "1")
SMALL += ("--checkpoint-every", "1")
STUDY = ("study", "--model", "linear", "--epochs", "2", "--batch-size", "40", "--learning-rate")
STUDY += ("0.3", "--warmup-epochs", "0", "--points", "1", "--tuning-seeds", "1", "--seeds", "2")
STUDY += ("--arms", "onehot", "neighbours", "uniform")
COMMANDS = {
    "run": ("run", *SMALL),
    "train": ("train", "--labels", "onehot", *SMALL),
    "study": (*STUDY, "--images-per-class", "12"),
}
OTHERS = {
    "run": (*COMMANDS["run"], "--seed", "1"),
    "train": (*COMMANDS["train"], "--seed", "1"),
    "study": (*STUDY, "--images-per-class", "13"),
}
# What is stopped when so many steps are saved, or so many rows are written.
STOPPED = {"run 2": ("run", 2), "run 6": ("run", 6), "run 8": ("run", 8)}
STOPPED |= {"train 2": ("train", 2), "study 4": ("study", 4)}
READERS = {
    "evaluate": ("evaluate", "{out}/first"),
    "inspect": ("inspect", "{out}/first"),
    "labels": ("labels", "{out}/first", "--out", "new.npz"),
    "train --labels": ("train", "--labels", "{out}/labels.npz", *SMALL, "--out", "new"),
    "safetensors": ("train", "--labels", "{out}/labels.safetensors", *SMALL, "--out", "new"),
}
READ = {"evaluate": "first/6", "inspect": "first/6", "labels": "first/6"}
READ |= {"train --labels": "labels.npz", "safetensors": "labels.safetensors"}
PAIRS = ("first uniform", "uniform second", "first second", "first/6 first/4", "second/6 second/4")
PAIRS += ("first/6 second/6", "uniform/6 second/6", "labels.npz similarity.npz", "pictures tables")
PAIRS += ("pictures/curves.png pictures/similarity.png", "config.json report.json")
PAIRS += ("labels.npz labels.safetensors", "tables/results.csv tables/nearest.csv")
OF_STEPS = ("removed", "emptied", "cut in half", "a bit flipped", "another run's", "a directory")
OF_STEPS += ("a link to another run's", "unreadable")
LINES = (".csv", ".jsonl", "SHA256SUMS", ".simsmooth-files")


class CutError(Exception):
    """Here a run is stopped."""


class Situation(NamedTuple):
    """What a command finds, when it begins."""

    base: str  # which directory
    damaged: tuple[str, ...]
    damage: str
    command: str


def carried_out(words: tuple[str, ...]) -> tuple[int | str, str, str]:
    """The exit status or a traceback, and what was printed to both streams."""
    from simsmooth_jax.program import cli

    shown, said = io.StringIO(), io.StringIO()
    status: int | str
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(shown))
        stack.enter_context(contextlib.redirect_stderr(said))
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(mock.patch.object(cli, "enable_compilation_cache"))
        for name in ("excepthook", "unraisablehook"):  # as they were, when it has ended
            stack.enter_context(mock.patch.object(sys, name, getattr(sys, name)))
        try:
            status = cli.main(words)
        except BaseException as error:
            status = "".join(traceback.format_exception(error, limit=-4))
    return status, shown.getvalue(), said.getvalue()


class Room:
    """Directories of whole and of stopped commands, and one in which one of them is damaged."""

    def __init__(self, root: Path) -> None:
        self.root, self.out = root, root / "now" / "out"
        self.bases: dict[str, str] = {}
        self.shown: dict[str, tuple[str, Path]] = {}

    def make(self) -> None:
        """All that is not damaged; each command only once."""
        os.environ["COLUMNS"] = "100"
        for name, words in COMMANDS.items():
            assert carried_out((*words, "--out", str(self.root / name)))[0] == 0
            other = (*OTHERS[name], "--out", str(self.root / f"other {name}"))
            assert carried_out(other)[0] == 0
            self.bases[name] = name
        for name, (command, count) in STOPPED.items():
            with stopped_after(count):
                out = ("--out", str(self.root / name))
                assert "CutError" in str(carried_out((*COMMANDS[command], *out))[0])
            self.bases[name] = command
        for name in READERS:
            self._place("run")
            status, shown, said = carried_out(self._words(name))
            assert status == 0, said
            for made in ("new", "new.npz"):
                if (self.out.parent / made).exists():
                    (self.out.parent / made).rename(self.root / f"{made} {name}")
            self.shown[name] = shown, self.root / f"new {name}"

    def situations(self) -> Iterator[Situation]:
        """All of them, in a fixed order."""
        for base, command in self.bases.items():
            for name in self._files(base):
                lines = damages.OF_LINES if name.endswith(LINES) else {}
                usual = [*damages.OF_FILES, *lines]
                for damage in OF_STEPS if STEP.match(name) else usual:
                    yield Situation(base, (name,), damage, command)
                    for reader, read in READ.items():
                        own = name == read and "another" in damage  # which is what was named
                        if base == "run" and name.startswith(read) and not own:
                            yield Situation(base, (name,), damage, reader)
            for name in sorted(self._directories(base) - {"."}):
                for damage in damages.OF_DIRECTORIES:
                    yield Situation(base, (name,), damage, command)
                    for reader, read in READ.items():
                        if base == "run" and read.startswith(name) and "another" not in damage:
                            yield Situation(base, (name,), damage, reader)
            for pair in PAIRS:
                both = tuple(pair.split())
                if all((self.root / base / name).exists() for name in both):
                    yield Situation(base, both, "swapped", command)
                    yield Situation(base, both, "copied over", command)

    def wrong(self, found: Situation) -> tuple[str, int | str, str]:
        """What is not honest, if anything; the exit status and what was said."""
        self._place(found.base)
        other = self.root / f"other {self.bases[found.base]}"
        paths = [self.out / name for name in found.damaged]
        everyone = everything(other)
        if found.damage in ("swapped", "copied over"):
            (damages.swap if found.damage == "swapped" else damages.copy_over)(*paths)
        else:
            all_of = {**damages.OF_FILES, **damages.OF_LINES, **damages.OF_DIRECTORIES}
            all_of[found.damage](paths[0], counterpart(other, found.damaged[0]))
        with somebody_else(found.damage == "unreadable", self.out.parent):
            status, shown, said = carried_out(self._words(found.command))
        if found.damage == "unreadable":
            for path in paths:
                if os.path.lexists(path):
                    path.chmod(0o755)
        if everything(other) != everyone:
            return "another run was changed", status, said
        if status == 0:
            return "; ".join(self._wrong_success(found, shown)), status, said
        return wrong_ending(status, said, [*found.damaged]), status, said

    def _wrong_success(self, found: Situation, shown: str) -> Iterator[str]:
        if found.command in READERS:
            expected, made = self.shown[found.command]
            if shown != expected:
                yield f"shows {shown}"
            if made.is_dir():
                yield from wrong_content(self.out.parent / "new", made)
        else:
            yield from wrong_content(self.out, self.root / found.command)

    def _words(self, command: str) -> tuple[str, ...]:
        if command in COMMANDS:
            return (*COMMANDS[command], "--out", str(self.out))
        words = [word.replace("{out}", str(self.out)) for word in READERS[command]]
        return tuple(str(self.out.parent / w) if w.startswith("new") else w for w in words)

    def _place(self, base: str) -> None:
        shutil.rmtree(self.out.parent, ignore_errors=True)
        shutil.copytree(self.root / base, self.out)

    def _files(self, base: str) -> list[str]:
        """Of the steps of one training, which stand for those of all."""
        found = {p.relative_to(self.root / base).as_posix(): p for p in walk(self.root / base)}
        kept = ("first/6/", "second/", "checkpoints/6/")
        kept += ("first/4", "checkpoints/4") if base.endswith(" 2") else ()
        step = ("first/", "second/", "uniform/", "checkpoints/")
        return sorted(n for n in found if n.startswith(kept) or not n.startswith(step))

    def _directories(self, base: str) -> set[str]:
        return {Path(name).parent.as_posix() for name in self._files(base)} | {
            name.split("/")[0] for name in self._files(base) if "/" in name
        }


def walk(directory: Path) -> Iterator[Path]:
    """All files, but for locks."""
    found = sorted(path for path in directory.rglob("*") if path.is_file())
    yield from (path for path in found if not path.name.startswith(".lock"))


def counterpart(other: Path, name: str) -> Path:
    """The file of that name in another run; Orbax names some of its own by chance."""
    if (other / name).exists():
        return other / name
    folder = next(p for p in (other / name).parents if p.exists())
    return next(iter(walk(folder)), other / "config.json")


@contextlib.contextmanager
def stopped_after(count: int) -> Iterator[None]:
    """The command ends when so many steps are saved, or rows of a study are written."""
    from simsmooth_jax.study.comparison.rows import Rows
    from simsmooth_jax.training.saved import checkpoints

    left = [count]

    def counted(function: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            function(*arguments)
            left[0] -= 1
            if not left[0]:
                raise CutError

        return call

    with (
        mock.patch.object(checkpoints, "save", counted(checkpoints.save)),
        mock.patch.object(Rows, "add", counted(Rows.add)),
    ):
        yield


@contextlib.contextmanager
def somebody_else(needed: bool, directory: Path) -> Iterator[None]:
    """Root may read all: in its place somebody else, to whom the directory belongs."""
    if not needed or os.geteuid():
        yield
        return
    for path in (directory, *directory.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
