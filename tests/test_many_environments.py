"""Settings of others and odd surroundings: each command works as without, or ends in one line.

`python tests/test_many_environments.py [WORDS]` tells what each of them does.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from exit_oracle import decoded, wrong_content
from exit_room import SMALL
from program import LIMIT, environment

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore:Sharding info not provided")]

Settings = dict[str, str | None]
SETTINGS: dict[str, Settings] = {
    "JAX_PLATFORMS=xyz": {"JAX_PLATFORMS": "xyz"},
    "JAX_ENABLE_X64=1": {"JAX_ENABLE_X64": "1"},
    "JAX_DISABLE_JIT=1": {"JAX_DISABLE_JIT": "1"},
    "JAX_DEBUG_NANS=1": {"JAX_DEBUG_NANS": "1"},
    "JAX_NUMPY_RANK_PROMOTION=raise": {"JAX_NUMPY_RANK_PROMOTION": "raise"},
    "JAX_NUMPY_DTYPE_PROMOTION=strict": {"JAX_NUMPY_DTYPE_PROMOTION": "strict"},
    "JAX_TRANSFER_GUARD=disallow": {"JAX_TRANSFER_GUARD": "disallow"},
    "JAX_DEBUG_INFS=1": {"JAX_DEBUG_INFS": "1"},
    "JAX_CHECK_TRACER_LEAKS=1": {"JAX_CHECK_TRACER_LEAKS": "1"},
    "JAX_DEFAULT_MATMUL_PRECISION=x": {"JAX_DEFAULT_MATMUL_PRECISION": "x"},
    "HOME=/nonexistent": {"HOME": "/nonexistent", "XDG_CACHE_HOME": None},
    "no HOME": {"HOME": None, "XDG_CACHE_HOME": None},
    "XDG_CACHE_HOME=/dev/null": {"XDG_CACHE_HOME": "/dev/null"},
    "TMPDIR=/none": {"TMPDIR": "/none"},
    "LC_ALL=C": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "PYTHONIOENCODING=ascii": {"PYTHONIOENCODING": "ascii"},
    "PYTHONIOENCODING=xyz": {"PYTHONIOENCODING": "xyz"},
    "COLUMNS=1": {"COLUMNS": "1"},
    "COLUMNS=abc": {"COLUMNS": "abc"},
    "TERM=dumb": {"TERM": "dumb"},
    "NO_COLOR=1": {"NO_COLOR": "1"},
    "FORCE_COLOR=1": {"FORCE_COLOR": "1"},
    "MPLBACKEND=xyz": {"MPLBACKEND": "xyz"},
    "MPLCONFIGDIR=/none": {"MPLCONFIGDIR": "/none"},
    "XLA_FLAGS=--nonsense": {"XLA_FLAGS": "--nonsense"},
    "CUDA_VISIBLE_DEVICES=": {"CUDA_VISIBLE_DEVICES": ""},
    "PYTHONHASHSEED=abc": {"PYTHONHASHSEED": "abc"},
    "PYTHONWARNINGS=error": {"PYTHONWARNINGS": "error"},
    "PYTHONOPTIMIZE=2": {"PYTHONOPTIMIZE": "2"},
}
SURROUNDINGS = {
    "closed stdin": "exec {} <&-",
    "closed stdout": "exec {} >&-",
    "closed stderr": "exec {} 2>&-",
    "all closed": "exec {} <&- >&- 2>&-",
    "a removed directory": "mkdir gone && cd gone && rmdir ../gone && exec {}",
    "full stdout": "exec {} >/dev/full",
}
OF_ROUNDING = ("JAX_ENABLE_X64=1", "JAX_DISABLE_JIT=1")  # sums in 64 bits, or not fused
PYTHONS = ("PYTHONHASHSEED=abc", "PYTHONIOENCODING=xyz")  # Python itself ends, before any of ours
COMMANDS = {
    "--help": ("--help",),
    "data": ("data", "--out", "{new}.png"),
    "labels": ("labels", "{whole}/first", "--out", "{new}.npz"),
    "run": ("run", *SMALL, "--out", "{new}"),
    "report": ("run", *SMALL, "--out", "{again}"),  # without its page, which is drawn anew
}


class Place:
    """A directory with a whole run, and what each command gives in usual surroundings."""

    def __init__(self, root: Path) -> None:
        self.root, self.number = root, 0
        self.carry_out("usual", "run")
        (root / "new0").rename(root / "whole")
        self.usual = {}
        for command in COMMANDS:
            status, shown, said = self.carry_out("usual", command)
            assert status == 0, said
            self.usual[command] = shown

    def carry_out(self, what: str, command: str) -> tuple[int, str, str]:
        """The exit status and both streams of a real process."""
        shutil.rmtree(self.root / "again", ignore_errors=True)
        if command == "report":
            shutil.copytree(self.root / "whole", self.root / "again")
            (self.root / "again" / "report.html").unlink()
        self.new = self.root / f"new{self.number}"
        self.number += 1
        places = {"new": self.new, "whole": self.root / "whole", "again": self.root / "again"}
        words = [word.format(**places) for word in COMMANDS[command]]
        line = " ".join([sys.executable, "-m", "simsmooth_jax", *map(str, words)])
        values = environment() | {"COLUMNS": "100"} | SETTINGS.get(what, {})
        ended = subprocess.run(
            ["bash", "-c", SURROUNDINGS.get(what, "exec {}").format(line)],
            cwd=self.root,
            env={name: value for name, value in values.items() if value is not None},
            stdin=None if what in SURROUNDINGS else subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
        texts = (stream.decode(errors="replace") for stream in (ended.stdout, ended.stderr))
        return (ended.returncode, *texts)  # type: ignore[return-value]

    def wrong(self, what: str, command: str) -> tuple[str, int]:
        """What is not as it should be, and the exit status."""
        status, shown, said = self.carry_out(what, command)
        lines = [line for line in said.splitlines() if line]
        lines = [line for line in lines if not line.startswith("simsmooth: warning: ")]
        if "Traceback" in said + shown:
            return f"{status}: {said}", status
        if status:
            mute = what in ("closed stderr", "all closed")
            one = mute or what in PYTHONS or (len(lines) == 1 and "simsmooth: " in said)
            one = one or (what[:9] == "XLA_FLAGS" and "Unknown flag" in said)  # XLA ends it itself
            left = [] if what == "full stdout" else [*self.root.glob(f"{self.new.name}*")]
            return ("" if one and not left else f"{status}, {left}: {said}"), status
        found: list[str] = []
        if command == "data":
            found += [] if decoded(self.new.with_suffix(".png")) else ["no picture"]
        elif command == "labels":
            usual, made = decoded(self.root / "new3.npz"), decoded(self.new.with_suffix(".npz"))
            found += [] if made == usual or what in OF_ROUNDING else ["other labels"]
        elif command in ("run", "report"):
            out = self.new if command == "run" else self.root / "again"
            wrong = [*wrong_content(out, self.root / "whole")]
            rounded = what in OF_ROUNDING and _close(out, self.root / "whole")
            found += [one for one in wrong if not rounded or "missing" in one]
        return "; ".join(found), status


def _close(out: Path, expected: Path) -> bool:
    """Whether the numbers of two reports are the same but for the order of sums."""
    found, usual = (jax.tree.leaves(decoded(path / "report.json")) for path in (out, expected))
    numbers = [(a, b) for a, b in zip(found, usual, strict=True) if isinstance(b, float)]
    return len(numbers) > 20 and np.allclose(*np.transpose(numbers), rtol=1e-5, atol=1e-6)


def tried(place: Place, words: list[str]) -> Iterator[str]:
    """Carries out each command in each of them; tells of those that end wrongly."""
    count: Counter[str] = Counter()
    for what in [*SETTINGS, *SURROUNDINGS]:
        for command in COMMANDS:
            if not all(word in f"{what} {command}" for word in words):
                continue
            wrong, status = place.wrong(what, command)
            count.update({"tried": 1, "held": not wrong, f"status {status}": 1})
            if os.environ.get("SHOW"):
                print(what, command, status, flush=True)
            if wrong:
                yield f"{what} {command}: {wrong}"
    print(dict(count), flush=True)


def test_each_works_or_is_refused(tmp_path: Path) -> None:
    assert list(tried(Place(tmp_path), [])) == []


if __name__ == "__main__":
    import conftest  # noqa: F401  # the settings of the suite

    with tempfile.TemporaryDirectory() as folder:
        for failure in tried(Place(Path(folder)), sys.argv[1:]):
            print(ascii(failure)[:1500].replace("\\n", "\n"), flush=True)
