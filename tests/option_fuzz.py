"""Carries out random command lines: what is refused is one line with status 2, and no file.

`python tests/option_fuzz.py COUNT [FIRST]` makes so many and prints what went wrong.

Parsing, every check, and the reading of data, checkpoints and tables are the program's own. What
is cut off, as if it had succeeded: the first compiled program of a training (`Trainer.init`) and
all that follows, an evaluation's batches, pictures, other processes (`jax.distributed`), and the
choice of a compilation cache.
"""

import contextlib
import io
import os
import re
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from option_cases import case, inputs

from simsmooth_jax.program.wording import NAMES

LIMIT = 30  # seconds of the processor: others may be at work on it


class Done(SystemExit):
    """What would be work begins here: nothing was refused."""


class TooLong(BaseException):
    """A case took longer than it may."""


def _done(*_: Any, **__: Any) -> Any:
    raise Done(0)


def _too_long(*_: Any) -> None:
    raise TooLong


@contextlib.contextmanager
def cut_off() -> Iterator[None]:
    """In the place of the work there is nothing."""
    import jax

    from simsmooth_jax.program import cli, pictures
    from simsmooth_jax.training import evaluation, step

    ends = [(step.Trainer, "init"), (evaluation.Evaluator, "__call__"), (pictures, "draw_samples")]
    ends += [(evaluation.Evaluator, "logits"), (jax.distributed, "initialize")]
    with contextlib.ExitStack() as stack:
        for owner, name in ends:
            stack.enter_context(mock.patch.object(owner, name, _done))
        for name in ("enable_compilation_cache", "_silence_orbax"):
            stack.enter_context(mock.patch.object(cli, name))
        yield


@contextlib.contextmanager
def in_directory() -> Iterator[Path]:
    """A new current directory with what cases name, a trained checkpoint among it."""
    from simsmooth_jax.program import cli

    before = os.getcwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        inputs(Path(name))
        with mock.patch.object(cli, "_silence_orbax"):
            words = ["train", "--epochs", "2", "--model", "linear", "--checkpoint-every", "1"]
            assert carried_out([*words, "--out", "trained"])[0] == 0
        sys.path.insert(0, name)
        try:
            yield Path(name)
        finally:
            sys.path.remove(name)
            os.chdir(before)


def carried_out(words: Sequence[str]) -> tuple[int | str, str]:
    """The exit status, or the last lines of a traceback, and what was said of it."""
    from simsmooth_jax.program import cli

    said = io.StringIO()
    before = signal.signal(signal.SIGPROF, _too_long)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(said),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("default")  # as in the program: those of tests are errors
            status: int | str = cli.main(words)
    except SystemExit as stop:
        status = int(stop.code or 0)
    except BaseException as error:
        status = "".join(traceback.format_exception(error, limit=-3))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    return status, said.getvalue()


def complaint(words: Sequence[str], status: int | str, said: str) -> str:
    """What is wrong with an ending; nothing where it is right."""
    if status not in (0, 2):
        return f"status {status}"
    lines = [line for line in said.splitlines() if not line.startswith("simsmooth: warning: ")]
    if status == 0:
        return ""
    if len(lines) != 1 or not said.endswith("\n"):
        return f"{len(lines)} lines: {said}"
    line = lines[0]
    if not line.startswith("simsmooth: ") or ", got " not in line:
        return f"no refusal: {line}"
    given = [
        part for word in words for part in re.split("[=:]", word) if part[2:] or not part.isascii()
    ]
    named = re.search(r"CHECKPOINT|simsmooth|--\w", line.removeprefix("simsmooth: "))
    # What a terminal would act on is shown as Python writes it, and no text as the bytes it is.
    forms = [(part, ascii(part)[1:-1], repr(os.fsencode(part))[2:-1]) for part in given]
    if not named and not any(form in line for each in forms for form in each):
        return f"names nothing that was typed: {line}"
    hidden = {*re.findall(r"`(\w+)[`=]", line)} & NAMES
    if hidden and "`epochs='`" not in words:
        return f"in backquotes: {hidden} {line}"
    return ""


def _files(directory: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in directory.rglob("*")}


def failures(count: int, first: int = 0) -> Iterator[str]:
    """Of so many cases, those that end wrongly: number, words and what is wrong."""
    with in_directory() as directory, cut_off():
        whole = _files(directory)
        for number in range(first, first + count):
            words = case(number)
            wrong = complaint(words, *(ending := carried_out(words)))
            now = _files(directory)
            left = [name for name in now if "__pycache__" not in name and name not in whole]
            gone = [name for name in whole if name not in now]
            if gone or (left and ending[0] != 0):
                wrong += f" gone {gone} left {left}"
            for name in sorted(left):
                path = Path(name)
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            if wrong:
                yield f"{number}: {words} {wrong}"


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    found = 0
    for failure in failures(*map(int, sys.argv[1:])):
        print(ascii(failure)[:3000].replace("\\n", "\n"), flush=True)
        found += 1
    print(f"{sys.argv[1]} cases, {found} ended wrongly")
