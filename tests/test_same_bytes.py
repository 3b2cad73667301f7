"""The same commands in two processes and directories: the same bytes but in Orbax's files."""

import re
import subprocess
import sys
from pathlib import Path

import every_command
import jax
import numpy as np
import pytest
from program import LIMIT, environment
from tiny_runs import snapshot

from simsmooth_jax.training.saved import checkpoints

pytestmark = pytest.mark.slow

STEP = r"(run/(first|uniform|second)|train/checkpoints)/[46]/"
# Orbax writes when it saved, and TensorStore names its files at random, which others list.
ORBAXS = "_CHECKPOINT_METADATA|commit_success.txt|state/(ocdbt.process_0/)?(manifest.ocdbt|d/.+)"
OTHERS = re.compile(f"{STEP}({ORBAXS}|SHA256SUMS)")
SUMS = {"run/SHA256SUMS", "train/SHA256SUMS"}  # they have the digests of these as well
# Another clock on the wall, another language.
ELSEWHERE = {"TZ": "Pacific/Kiritimati", "LC_ALL": "C.UTF-8"}


def lines(directory: Path, name: str) -> list[str]:
    """Those of a manifest that are not of Orbax's files, nor its first, a digest of the rest."""
    found, folder = (directory / name).read_text().splitlines()[1:], Path(name).parent
    return [line for line in found if not OTHERS.fullmatch(str(folder / line[66:]))]


def started(directory: Path, seed: int) -> subprocess.Popen[str]:
    program = [sys.executable, every_command.__file__, str(directory)]
    variables = environment() | ELSEWHERE | {"PYTHONHASHSEED": str(seed)}
    return subprocess.Popen(program, env=variables, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str]]:
    """Directories and what was printed: in another process, and meanwhile in this one."""
    here, there = tmp_path_factory.mktemp("here") / "a", tmp_path_factory.mktemp("there") / "b/c"
    other = started(there, seed=7)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("COLUMNS", "100")
            shown = every_command.write_all(here)
        printed, _ = other.communicate(timeout=LIMIT)
    finally:
        other.kill()
    assert other.returncode == 0
    return [(here, shown), (there, printed)]


def assert_same(here: Path, there: Path) -> None:
    files, again = snapshot(here), snapshot(there)
    mine = {name for name in files if not OTHERS.fullmatch(name)}
    assert mine == {name for name in again if not OTHERS.fullmatch(name)}
    assert {name for name in mine if files[name] != again[name]} <= SUMS
    for name in SUMS:
        assert lines(here, name) == lines(there, name)
    kinds = {Path(name).suffix for name in mine}
    assert kinds >= {".npz", ".safetensors", ".json", ".jsonl", ".html", ".csv", ".png"}


def test_every_file_has_the_same_bytes(twice: list[tuple[Path, str]]) -> None:
    (here, shown), (there, printed) = twice
    assert printed == shown
    assert_same(here, there)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(10))
def test_in_any_order_of_sets(twice: list[tuple[Path, str]], tmp_path: Path, seed: int) -> None:
    other = started(tmp_path / "a", seed)
    printed, _ = other.communicate(timeout=LIMIT)
    assert (other.returncode, printed) == (0, twice[0][1])
    assert_same(twice[0][0], tmp_path / "a")


def test_the_weights_are_the_same(twice: list[tuple[Path, str]]) -> None:
    for name in ("run/first", "run/uniform", "run/second", "train"):
        parts = ("params", "opt_state")
        found = [checkpoints.read(directory / name, parts) for directory, _ in twice]
        assert found[0][1] == found[1][1]  # and all that is noted of their origin
        jax.tree.map(np.testing.assert_array_equal, found[0][0], found[1][0])
