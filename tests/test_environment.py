"""Settings of others in the environment: refused by name in one line, or no matter."""

import os
import sys
import tempfile
from pathlib import Path

import jax
import pytest
from exit_room import somebody_else
from program import start

from simsmooth_jax.machine import environment
from simsmooth_jax.program import cli

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "JAX_PLATFORMS",
            "xyz",
            "JAX_PLATFORMS must name devices that JAX finds here, got JAX_PLA",
        ),
        (
            "JAX_PLATFORMS",
            "cuda",
            "JAX_PLATFORMS must name devices that JAX finds here, got JAX_PL",
        ),
        ("JAX_NUM_CPU_DEVICES", "abc", "JAX_NUM_CPU_DEVICES must have values that JAX takes, got "),
        ("JAX_ENABLE_X64", "perhaps", "JAX_ENABLE_X64 must have values that JAX takes, got JAX_EN"),
    ],
)
def test_a_setting_of_jax_is_refused_by_name(
    tmp_path: Path, name: str, value: str, message: str
) -> None:
    process = start("train", "--out", "new", cwd=tmp_path, variables={name: value})
    error = process.communicate()[1]
    assert process.returncode == 2
    assert error.count("\n") == 1
    assert error.startswith(f"simsmooth: {message}")
    assert os.listdir(tmp_path) == []


def test_what_does_not_matter(tmp_path: Path) -> None:
    variables = {"MPLBACKEND": "bogus", "COLUMNS": "1", "TMPDIR": "/none", "LC_ALL": "C"}
    process = start("data", "--out", "x.png", cwd=tmp_path, variables=variables)
    assert process.communicate()[1] == ""
    assert process.returncode == 0
    assert os.listdir(tmp_path) == ["x.png"]


def test_streams_that_are_closed_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setenv("MPLBACKEND", "bogus")
    environment.settle()
    assert sys.stdout is not None
    with sys.stdout:  # it is this test's, and left open it would be told of
        print("into nothing")


def test_strictness_of_jax_is_not_that_of_its_libraries() -> None:
    """Flax and Optax broadcast, which a developer's settings refuse."""
    jax.config.update("jax_numpy_rank_promotion", "raise")
    environment.import_jax()
    assert jax.config.values["jax_numpy_rank_promotion"] == "allow"


def test_a_removed_current_directory_is_named() -> None:
    message = "the current directory must exist, got a removed one. Change to another."
    assert cli._ending(FileNotFoundError(2, "No such file or directory")) == (message, 2)


def test_too_long_a_name_is_a_wrong_input() -> None:
    message = "every path must have names that fit, got 999: File name too long. Shorten it."
    assert cli._ending(OSError(36, "File name too long", "999")) == (message, 2)


def test_what_may_not_be_read_is_a_wrong_input() -> None:
    """The outermost directory that may not be entered is named, or the file."""
    with tempfile.TemporaryDirectory() as name:  # pytest's belong to root alone
        place = Path(name)
        place.chmod(0o755)
        refuses_what_is_closed(place)


def refuses_what_is_closed(place: Path) -> None:
    closed = place / "run" / "first"
    closed.mkdir(parents=True)
    with somebody_else(True, place):
        for path, shown in (("run/first/state", closed), ("run/labels.npz", "run/labels.npz")):
            error = PermissionError(13, "Permission denied", str(place / path))
            closed.chmod(0)
            message = f"every file must be one that you may use, got {place / shown}: Permission"
            message += " denied. Change its permissions."
            assert cli._ending(error) == (message, 2)
            closed.chmod(0o700)


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert environment.cache_directory() == Path.home() / ".cache"
    monkeypatch.setattr(Path, "home", no_home)
    assert environment.cache_directory() is None
