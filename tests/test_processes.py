"""Two real processes with four CPU devices each do what one with eight does."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from processes import (
    OPTIONS,
    STEPS,
    TEST,
    TRAIN,
    VALIDATION,
    Processes,
    none_outlives,
    write_images,
)

from simsmooth_jax.config.commands import RunConfig, TrainConfig
from simsmooth_jax.config.data import DataConfig, InputMode
from simsmooth_jax.config.labels import RelationConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, SavingConfig, TrainingConfig
from simsmooth_jax.data.streaming import epoch_order
from simsmooth_jax.program.commands import run_command, train_command
from simsmooth_jax.training.saved import checkpoints

pytestmark = pytest.mark.slow

EPOCHS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("processes"))


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
        run_command.run(RunConfig(config("memory"), relation, saving=saving, out=out))
        train_command.train(
            TrainConfig("uniform", config("stream"), saving=saving, out=Path("alone"))
        )
    return folder


@pytest.fixture
def processes(folder: Path) -> Iterator[Callable[..., Processes]]:
    with none_outlives(folder) as start:
        yield start


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


def test_killed_in_two_processes_and_gone_on_with_in_one(
    alone: Path, processes: Callable[..., Processes]
) -> None:
    command = ("train", *OPTIONS, "--epochs", EPOCHS, "--labels", "uniform")
    command += ("--input", "stream", "--out", "killed")
    pair = processes(*command)
    pair.wait_for((alone / "killed" / "checkpoints" / f"{STEPS}").exists)
    pair.kill()
    assert [process.returncode for process in pair.started] == [-9, -9]
    last = processes(*command, count=1)
    last.succeed()
    assert [pair.read(process, "out").count("\nstep: ") for process in (0, 1)] == [1, 0]
    told = last.read(0, "out").count(
        "\ndevices: 8 of kind cpu in 1 process, where the checkpoint was saved on 8 of kind cpu "
        "in 2 processes: the same examples in the same order, numbers differ by rounding\n"
    )
    assert told == 1
    assert_same_training(alone / "killed", alone / "alone")
