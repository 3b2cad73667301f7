"""SIGKILL at random moments: the run that goes on ends with the same bits."""

import json
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp
from program import LIMIT, Forked, simsmooth

# Read here by plain Orbax, which says how it places the arrays.
ORBAX = pytest.mark.filterwarnings("ignore:Sharding info not provided")
pytestmark = [pytest.mark.slow, ORBAX]

COMMAND = ("run", "--out", "run", "--model", "mlp", "--width", 16, "--depth", 1, "--epochs", 12)
COMMAND += ("--checkpoint-every", 2, "--batch-size", 200)
STEPS = 5  # an epoch
FILES = ("metrics.jsonl", "report.json", "labels.npz", "similarity.npz", "config.json")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    simsmooth(*COMMAND, cwd=folder)
    return folder / "run"


def assert_equal_runs(found: Path, expected: Path, history: str) -> None:
    rows = [json.loads(line) for line in (found / "metrics.jsonl").read_text().splitlines()]
    keys = [(row["arm"], row["step"], "loss" in row) for row in rows]
    assert len(keys) == len(set(keys)) == 3 * 12 * (STEPS + 1), (
        f"a row is missing or twice: {history}"
    )
    for name in FILES:
        assert (found / name).read_bytes() == (expected / name).read_bytes(), f"{name}: {history}"
    for name in ("first", "uniform", "second"):
        a, b = (ocp.load(str(run / name / "60")) for run in (found, expected))
        for part in ("kernel", "bias"):
            leaves = [np.asarray(tree["params"]["head"][part]) for tree in (a, b)]
            assert (leaves[0] == leaves[1]).all(), f"{name}: {history}"


def wait_for(condition: Callable[[], bool], process: Forked) -> None:
    deadline = time.monotonic() + LIMIT
    while process.poll() is None and not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(5))
def test_killed_at_random_moments(uninterrupted: Path, tmp_path: Path, seed: int) -> None:
    """Four lives: one ends while it starts up, the others soon after they begin to train."""
    moments, log, history = random.Random(seed), tmp_path / "run" / "metrics.jsonl", []
    for starting_up in moments.sample([True, False, False, False], 4):
        begun = time.time()
        process = Forked(*COMMAND, cwd=tmp_path)
        if not starting_up:  # a life that goes on cuts the log back before it trains
            wait_for(lambda: log.exists() and log.stat().st_mtime > begun, process)  # noqa: B023
        moment = moments.uniform(0, 0.6)
        time.sleep(moment)
        process.kill()
        process.wait()
        history.append(f"{moment:.2f} s {starting_up=} status {process.returncode}")
    simsmooth(*COMMAND, cwd=tmp_path)
    assert_equal_runs(tmp_path / "run", uninterrupted, f"seed {seed}, lives {history}")
    assert sum("status -9" in line for line in history) >= 2, history


MOMENTS = ("config.json", "first/10", "labels.npz", "second/60")
HEAVY = [pytest.param((moment,), marks=pytest.mark.heavy) for moment in MOMENTS]


@pytest.mark.parametrize("moments", [("first/10", "labels.npz"), *HEAVY], ids=" ".join)
def test_killed_as_a_file_appears(
    uninterrupted: Path, tmp_path: Path, moments: tuple[str, ...]
) -> None:
    """At the first checkpoint and between the trainings; before and after as well in `heavy`."""
    for moment in moments:
        process = Forked(*COMMAND, cwd=tmp_path)
        wait_for((tmp_path / "run" / moment).exists, process)
        process.kill()
        assert process.wait() == -9
    simsmooth(*COMMAND, cwd=tmp_path)
    assert_equal_runs(tmp_path / "run", uninterrupted, f"killed at {moments}")


def test_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    process = Forked(*COMMAND, cwd=tmp_path)
    wait_for((tmp_path / "run" / "first" / "10").exists, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    last = errors.splitlines()[-1]
    assert re.fullmatch("simsmooth: SIGINT: (saved|stopped); the same command .*[.]", last), last
    assert "Traceback" not in errors


def test_other_images_in_the_same_place_are_refused(tmp_path: Path) -> None:
    """A run does not go on with data that only have the name of those before; nothing is lost."""
    random = np.random.RandomState(0)
    arrays: dict[str, Any] = {"train_labels": np.arange(40) % 2, "test_labels": np.arange(4) % 2}
    arrays |= {"train_images": random.randint(0, 255, (40, 8, 8), np.uint8)}
    arrays |= {"test_images": random.randint(0, 255, (4, 8, 8), np.uint8)}
    command = ("train", "--data", "npz:x.npz", *COMMAND[3:9], "--epochs", 1, "--batch-size", 4)
    np.savez(tmp_path / "x.npz", **arrays)
    simsmooth(*command, "--out", "out", cwd=tmp_path)
    before = (tmp_path / "out" / "report.json").read_bytes()
    np.savez(tmp_path / "x.npz", **arrays)
    assert "was finished before" in simsmooth(*command, "--out", "out", cwd=tmp_path).stdout
    arrays["train_labels"] = arrays["train_labels"][::-1]
    np.savez(tmp_path / "x.npz", **arrays)
    failed = simsmooth(*command, "--out", "out", cwd=tmp_path, status=2)
    assert "got `data_sha256` " in failed.stderr
    assert (tmp_path / "out" / "report.json").read_bytes() == before
    # Other data have parts of their own, and one shape.
    simsmooth(*command, "--test-split", "test[:50%]", "--out", "part", cwd=tmp_path)
    np.savez(tmp_path / "y.npz", **arrays)
    shown = simsmooth("evaluate", "part", "--data", "npz:y.npz", cwd=tmp_path).stdout
    assert "test split, 4 images" in shown
    assert "test split, 2 images" in simsmooth("evaluate", "part", cwd=tmp_path).stdout
    wide: dict[str, Any] = {
        name: np.repeat(array, 2, -1) if array.ndim == 3 else array
        for name, array in arrays.items()
    }
    np.savez(tmp_path / "z.npz", **wide)
    failed = simsmooth("evaluate", "part", "--data", "npz:z.npz", cwd=tmp_path, status=2)
    shapes = "height, width and channels (8, 8, 1), got (8, 16, 1) in z."
    assert shapes in failed.stderr


def test_divergence_names_the_step_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    """The rate is finite for two epochs of warm-up, and then far too large."""
    options = ("--learning-rate", 1e4, "--warmup-epochs", 200, "--epochs", 1000)
    failed = simsmooth(*COMMAND[:9], "--checkpoint-every", 1, *options, cwd=tmp_path, status=1)
    message = failed.stderr.splitlines()[-1]
    assert message.startswith("simsmooth: training onehot: the loss must stay finite, got ")
    step = int(message.split(" at step ")[1].split(".")[0])
    kept = max(int(path.name) for path in (tmp_path / "run" / "first").iterdir())
    assert f"Lower --learning-rate. Step {kept} is kept in run/first." in message
    assert 0 < kept <= step
    kernel = ocp.load(str(tmp_path / "run" / "first" / str(kept)))["params"]["head"]["kernel"]
    assert np.isfinite(np.asarray(kernel)).all()
    assert not (tmp_path / "run" / "report.json").exists()
