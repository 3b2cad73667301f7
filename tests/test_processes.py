"""Two real processes with four CPU devices each do what one with eight does, and end together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from program import REPOSITORY

from simsmooth_jax import actions, checkpoints
from simsmooth_jax.commands import TrainConfig
from simsmooth_jax.config import (
    DataConfig,
    InputMode,
    ModelConfig,
    OptimizerConfig,
    RelationConfig,
    RunConfig,
    SavingConfig,
    TrainingConfig,
)
from simsmooth_jax.data.streaming import epoch_order

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("one_process.py")
OPTIONS = ("--data", "npz:images.npz", "--model", "mlp", "--width", 8, "--depth", 1)
OPTIONS += ("--batch-size", 16, "--learning-rate", 0.1, "--checkpoint-every", 1)
EPOCHS, STEPS, TRAIN, VALIDATION, TEST = 6, 5, 90, 10, 300  # 2 batches of the test images
BOUND = 30  # seconds for one to end after another, of which it listens for 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of three classes, which lie in three places."""
    path, random = tmp_path_factory.mktemp("processes"), np.random.RandomState(0)
    arrays: dict[str, Any] = {}
    for split, count in (("train", TRAIN + VALIDATION), ("test", TEST)):
        labels = random.randint(0, 3, count)
        images = random.randint(0, 200, (count, 3, 3)) + 55 * np.eye(3, dtype=int)[labels][:, None]
        arrays |= {f"{split}_images": images.astype(np.uint8), f"{split}_labels": labels}
    np.savez(path / "images.npz", **arrays)
    return path


def config(mode: InputMode) -> TrainingConfig:
    """What OPTIONS say."""
    optimizer = OptimizerConfig(epochs=EPOCHS, batch_size=16, learning_rate=0.1)
    model = ModelConfig("mlp", width=8, depth=1)
    return TrainingConfig(DataConfig("npz:images.npz", input=mode), 0, model, optimizer)


@pytest.fixture(scope="module")
def alone(folder: Path, devices: list[Any]) -> Path:
    """`run` and `train` of this process, on its eight devices."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        saving = SavingConfig(checkpoint_every=1)
        relation = RelationConfig(similarity="features")
        out = Path("alone-run")
        actions.run(RunConfig(config("memory"), relation, saving=saving, out=out))
        actions.train(TrainConfig("uniform", config("stream"), saving=saving, out=Path("alone")))
    return folder


class Processes:
    """Processes of one command, numbered; what they print goes to files."""

    def __init__(
        self, cwd: Path, *arguments: object, count: int = 2, start: int = 120, silence: int = 60
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.cwd, self.count, self.bounds = cwd, count, (start, silence)
        self.started: list[subprocess.Popen[bytes]] = []
        for process in range(count):
            self.start(process, *arguments)

    def start(self, process: int, *arguments: object, devices: int | None = None) -> None:
        name = f"{self.port}-{process}"
        environment = {**os.environ, "XDG_CACHE_HOME": str(REPOSITORY / ".cache")}
        environment |= {
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": str(devices or 8 // self.count),
        }
        command = [sys.executable, SCRIPT, f"{name}.notes", *self.bounds, *arguments]
        if self.count > 1:
            command += ["--coordinator", f"127.0.0.1:{self.port}"]
            command += ["--num-processes", self.count, "--process-id", process]
        with (self.cwd / f"{name}.out").open("w") as out, (self.cwd / f"{name}.err").open("w") as e:
            self.started.append(
                subprocess.Popen(
                    list(map(str, command)), cwd=self.cwd, env=environment, stdout=out, stderr=e
                )
            )

    def read(self, process: int, kind: str) -> str:
        return (self.cwd / f"{self.port}-{process}.{kind}").read_text()

    def notes(self, process: int) -> list[list[Any]]:
        return [json.loads(line) for line in self.read(process, "notes").splitlines()]

    def statuses(self) -> list[int]:
        """How all of them end, within a bound."""
        deadline = time.monotonic() + 120
        return [process.wait(deadline - time.monotonic()) for process in self.started]

    def succeed(self) -> None:
        found = self.statuses()
        assert found == [0] * self.count, [self.read(p, "err") for p in range(self.count)]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < deadline
            assert all(p.poll() is None for p in self.started), [
                self.read(p, "err") for p in range(self.count)
            ]
            time.sleep(0.001)

    def kill(self) -> None:
        for process in self.started:
            process.kill()
        for process in self.started:
            process.wait()


@pytest.fixture
def processes(folder: Path) -> Iterator[Callable[..., Processes]]:
    """Starts processes, none of which outlives the test."""
    made: list[Processes] = []

    def make(*arguments: object, **options: Any) -> Processes:
        made.append(Processes(folder, *arguments, **options))
        return made[-1]

    yield make
    for some in made:
        some.kill()


def rows(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def assert_same_training(found: Path, expected: Path) -> None:
    """Losses, counts and weights, and the same files, each once."""
    names = [sorted(str(f.relative_to(d)) for f in d.rglob("*")) for d in (found, expected)]
    top = [{name for name in some if name.count("/") <= 1} for some in names]
    assert top[0] == top[1]
    pairs = list(zip(rows(found), rows(expected), strict=True))
    assert len(pairs) > EPOCHS * STEPS
    for row, other in pairs:
        assert row.keys() == other.keys()
        for name, value in row.items():
            same = value == other[name]  # also the name of the arm, which has no distance
            assert same or value == pytest.approx(other[name], rel=1e-5), (name, row, other)
    parts = [json.loads((d / "report.json").read_text())["arms"] for d in (found, expected)]
    for arm, splits in parts[1].items():
        for split, metrics in splits.items():
            for name in ("count", "correct", "bins"):
                exact = parts[0][arm][split][name], metrics[name]
                if name == "bins":
                    exact = exact[0]["count"], exact[1]["count"]
                assert exact[0] == exact[1]
            assert parts[0][arm][split]["nll"] == pytest.approx(metrics["nll"], rel=1e-5)
    last = f"{EPOCHS * STEPS}"
    states = [path.parent for path in expected.rglob("state") if path.parent.name == last]
    assert states
    for path in states:
        parts = ("params", "opt_state", "step")
        trees = [
            checkpoints.read(directory, parts)[0]
            for directory in (found / path.relative_to(expected), path)
        ]
        for a, b in zip(*map(jax.tree.leaves, trees), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_run_in_memory_is_that_of_one_process(
    alone: Path, processes: Callable[..., Processes]
) -> None:
    options = ("--input", "memory", "--similarity", "features", "--out", "run")
    pair = processes("run", *OPTIONS, "--epochs", EPOCHS, *options)
    pair.succeed()
    assert_same_training(alone / "run", alone / "alone-run")
    tables = [np.load(alone / d / "labels.npz")["table"] for d in ("run", "alone-run")]
    np.testing.assert_allclose(*tables, rtol=1e-5)
    assert pair.read(0, "out").splitlines()[-1] == "run: finished"
    assert "Gloo" not in pair.read(0, "out")
    assert [pair.read(1, kind) for kind in ("out", "err")] == ["", ""]


def test_streams_of_two_processes_are_parts_of_each_batch(
    alone: Path, processes: Callable[..., Processes]
) -> None:
    stream = ("--labels", "uniform", "--input", "stream", "--out", "stream")
    pair = processes("train", *OPTIONS, "--epochs", EPOCHS, *stream)
    pair.succeed()
    assert_same_training(alone / "stream", alone / "alone")
    notes = [pair.notes(process) for process in (0, 1)]
    shares = [[set(note[1:]) for note in some if note[0] == "train"] for some in notes]
    assert len(shares[0]) == len(shares[1]) == EPOCHS * STEPS
    batches = set()
    for epoch in range(EPOCHS):
        order = epoch_order(0, epoch, TRAIN)
        batches |= {frozenset(order[16 * i : 16 * (i + 1)].tolist()) for i in range(STEPS)}
    # Grain's threads finish in any order: a share is found by the batch that it is a part of.
    for batch in batches:
        parts = [[share for share in some if share < batch] for some in shares]
        assert [len(part) for part in parts] == [1, 1]
        assert len(parts[0][0]) == len(parts[1][0]) == 8
        assert not parts[0][0] & parts[1][0]
        assert parts[0][0] | parts[1][0] == batch
    for size, times in ((VALIDATION, EPOCHS + 1), (TEST, 1)):
        read = [
            [i for note in some if note[0] == f"evaluate {size}" for i in note[1:]]
            for some in notes
        ]
        assert sorted(read[0] + read[1]) == sorted([*range(size)] * times)


def test_killed_and_gone_on_with_in_one_process_and_two(
    alone: Path, processes: Callable[..., Processes]
) -> None:
    command = ("train", *OPTIONS, "--epochs", EPOCHS, "--labels", "uniform")
    command += ("--input", "stream", "--out", "killed")
    for count, step in ((2, STEPS), (2, 2 * STEPS), (1, 4 * STEPS)):
        life = processes(*command, count=count)
        life.wait_for((alone / "killed" / f"{step}").exists)
        life.kill()
        assert [process.returncode for process in life.started] == [-9] * count
    last = processes(*command)
    last.succeed()
    assert_same_training(alone / "killed", alone / "alone")


@pytest.mark.parametrize(("victim", "by"), [(1, signal.SIGKILL), (0, signal.SIGTERM)])
def test_one_that_is_killed_ends_the_other(
    victim: int, by: signal.Signals, folder: Path, processes: Callable[..., Processes]
) -> None:
    command = ("train", *OPTIONS, "--epochs", 10**5, "--out", f"endless-{victim}")
    pair = processes(*command, silence=8)
    pair.wait_for((folder / f"endless-{victim}" / f"{STEPS}").exists)
    if victim == 1:  # a second pair there is refused, by one of its processes for both
        refused = processes(*command)
        assert refused.statuses() == [2, 2]
        first, second = (refused.read(process, "err") for process in (0, 1))
        assert first.startswith(f"simsmooth: --out endless-{victim} must not be in use, got a lock")
        assert second == first.replace("simsmooth: ", "simsmooth: process 0 ended: ")
    pair.started[victim].send_signal(by)
    begun = time.monotonic()
    status = pair.started[1 - victim].wait(BOUND)
    assert pair.started[victim].wait() == -by
    assert status != 0
    errors = pair.read(1 - victim, "err")
    said = [line for line in errors.splitlines() if line.startswith("simsmooth: ")]
    if victim == 1:
        assert len(said) == 1, errors
        assert status == 1
        assert "they go on from the last checkpoint" in said[0]
    else:  # JAX may be the first to see that its service is gone, and aborts
        assert said or "another task died" in errors, errors
    print(f"ended after {time.monotonic() - begun:.1f} s: {said}")


def test_other_options_of_one_process_end_both(
    folder: Path, processes: Callable[..., Processes]
) -> None:
    pair = processes(count=0)
    pair.count = 2
    for process, seed in ((0, 0), (1, 5)):
        pair.start(process, "train", *OPTIONS, "--epochs", 10**5, "--out", "other", "--seed", seed)
    assert pair.statuses() == [2, 2]
    line = "every process must be given the same options and data, got other ones than process 0: "
    line += "training.seed 0 -> 5. Start all with one command, on copies of the same data.\n"
    assert pair.read(1, "err") == f"simsmooth: {line}"
    assert pair.read(0, "err").splitlines()[-1] + "\n" == f"simsmooth: process 1 ended: {line}"


def test_processes_of_unequal_devices_end(
    folder: Path, processes: Callable[..., Processes]
) -> None:
    pair = processes(count=0)
    pair.count = 2
    for process, number in ((0, 1), (1, 2)):
        pair.start(process, "train", *OPTIONS, "--out", "unequal", devices=number)
    assert pair.statuses() == [2, 2]
    for process in (0, 1):
        (line,) = pair.read(process, "err").splitlines()
        assert "every process must have as many devices, got" in line
        assert " of 3 in one of 2. Start them on equal machines." in line


def test_one_that_waits_alone_ends(folder: Path, processes: Callable[..., Processes]) -> None:
    lonely = processes(count=0, start=3)
    lonely.count = 2
    lonely.start(0, "train", *OPTIONS, "--out", "lonely")
    assert lonely.statuses() == [1]
    (line,) = lonely.read(0, "err").splitlines()
    assert line.startswith("simsmooth: all processes must start within 3 s, got no answer from")
    assert not (folder / "lonely").exists()
