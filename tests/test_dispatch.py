"""Several steps in one program: the steps, rows and checkpoints of single ones."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from compilations import count_compilations

import simsmooth_jax as ss
from simsmooth_jax.config.commands import TrainConfig
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.training import (
    AugmentationConfig,
    ModelConfig,
    OptimizerConfig,
    SavingConfig,
    TrainingConfig,
)
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.method.objectives import label_table
from simsmooth_jax.program.commands import train_command
from simsmooth_jax.training import fitting
from simsmooth_jax.training.loop import Metrics, train
from simsmooth_jax.training.saved import checkpoints
from simsmooth_jax.training.step import Trainer, TrainState

pytestmark = pytest.mark.slow

CONFIG = TrainingConfig(
    model=ModelConfig("mlp", width=8, depth=1),
    optimizer=OptimizerConfig(epochs=2, batch_size=128),
    augmentation=AugmentationConfig(crop=1, flip=True),  # every step has a key of its own
)
DIGITS = load_dataset(DataConfig())
TABLE = ss.uniform_labels(10, 0.1)
STEPS = 14  # 7 in each epoch


class Rows:
    """The metrics of every step, and the state after some step."""

    def __init__(self, keep: int = -1) -> None:
        self.keep, self.dispatches = keep, 0
        self.rows: dict[str, list[float]] = {}
        self.epochs: list[tuple[int, int]] = []

    def on_step(self, step: int, state: TrainState, metrics: Metrics, input_seconds: float) -> None:
        self.dispatches += 1
        for name, values in metrics.items():
            self.rows.setdefault(name, []).extend(np.atleast_1d(values).tolist())
        if step == self.keep:
            self.state = jax.tree.map(jax.numpy.copy, state)
        if step % 7 == 0:
            self.epochs.append((step // 7, int(state.step)))


def trainer_of(count: int, devices: Any = None, config: TrainingConfig = CONFIG) -> Trainer:
    config = dataclasses.replace(config, steps_per_dispatch=count)
    return Trainer(config, DIGITS, devices or jax.devices()[:1])


@pytest.fixture(scope="module")
def single() -> Rows:
    rows = Rows(keep=5)
    train(trainer_of(1), label_table(TABLE), 3, observers=[rows])
    return rows


def assert_same_rows(found: Rows, expected: Rows) -> None:
    assert found.epochs == expected.epochs == [(1, 7), (2, 14)]
    assert {name: len(values) for name, values in found.rows.items()} == dict.fromkeys(
        ("loss", "accuracy", "learning_rate"), STEPS
    )
    for name, values in expected.rows.items():
        np.testing.assert_allclose(found.rows[name], values, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("count", "dispatches", "unroll"),  # unrolled as on a CPU, or a loop as on GPU and TPU
    [(2, 8, True), (3, 6, False), (7, 2, True), (7, 2, False)],
)
def test_losses_are_those_of_single_steps(
    count: int, dispatches: int, unroll: bool, single: Rows
) -> None:
    trainer, rows = trainer_of(count), Rows()
    assert trainer.unroll  # on a CPU
    trainer.unroll = unroll
    with count_compilations("_train_step") as compilations:  # of _train_steps as well
        for seed in (3, 4):
            train(trainer, label_table(TABLE), seed, observers=[rows] if seed == 3 else [])
    assert len(compilations) == (1 if count == 7 else 2)
    assert rows.dispatches == dispatches
    assert_same_rows(rows, single)


def test_steps_are_a_loop_but_on_a_cpu() -> None:
    config = dataclasses.replace(CONFIG, augmentation=AugmentationConfig())
    for unroll in (True, False):
        trainer = trainer_of(3, config=config)
        trainer.unroll = unroll
        state, inputs = trainer.init(0), next(trainer.inputs.from_step(0, 0, STEPS))
        table, key = trainer.place(label_table(TABLE)), trainer.key(0)
        lowered = trainer._steps.lower(state, inputs, *trainer._arguments(table, key))
        program = lowered.compile().as_text()
        assert (" while(" in str(program)) != unroll


def test_eight_devices_run_several_steps_at_once(devices: list[Any], single: Rows) -> None:
    rows = Rows()
    train(trainer_of(3, devices), label_table(TABLE), 3, observers=[rows])
    for name, values in single.rows.items():
        np.testing.assert_allclose(rows.rows[name], values, rtol=1e-5, err_msg=name)


def test_convolutions_and_statistics_are_those_of_single_steps() -> None:
    model = ModelConfig("resnet", width=2, depth=8)
    config = dataclasses.replace(CONFIG, model=model, augmentation=AugmentationConfig())
    found = {}
    for count in (1, 2):
        trainer = trainer_of(count, config=config)
        state, inputs = trainer.init(0), next(trainer.inputs.from_step(0, 0, STEPS))
        table, key = trainer.place(label_table(TABLE)), trainer.key(0)
        kernel = state.params["head"]["kernel"]
        if count == 1:
            for _ in range(2):
                state, _ = trainer.step(state, inputs, table, key)
        else:
            state, metrics = trainer.steps(state, inputs, table, key)
            assert metrics["loss"].shape == (2,)
        assert kernel.is_deleted()  # the state is donated
        found[count] = jax.tree.leaves(jax.tree.map(np.asarray, state))
    for one, two in zip(found[1], found[2], strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)


def test_goes_on_from_any_step(single: Rows) -> None:
    """From a step within a program; a step between two programs gives the same bits."""
    rows = Rows()
    state = jax.tree.map(jax.numpy.copy, single.state)  # after 5 steps
    train(trainer_of(3), label_table(TABLE), 3, state=state, observers=[rows])
    np.testing.assert_allclose(rows.rows["loss"], single.rows["loss"][5:], rtol=1e-6)
    trainer, whole = trainer_of(3), Rows(keep=6)
    end = train(trainer, label_table(TABLE), 3, observers=[whole])
    resumed = train(trainer, label_table(TABLE), 3, state=whole.state)
    for a, b in zip(jax.tree.leaves(resumed), jax.tree.leaves(end), strict=True):
        assert (np.asarray(a) == np.asarray(b)).all()


def test_rows_and_checkpoints_of_a_run_are_those_of_single_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, steps, found = checkpoints.save, [], {}

    def noted_save(directory: Path, step: int, state: TrainState, metadata: Any) -> None:
        assert state.step == step
        steps.append(step)
        save(directory, step, state, metadata)

    monkeypatch.setattr(checkpoints, "save", noted_save)
    for count in (1, 3):
        steps.clear()
        training = dataclasses.replace(CONFIG, steps_per_dispatch=count)
        saving, out = SavingConfig(checkpoint_steps=5), tmp_path / str(count)
        train_command.train(
            TrainConfig(labels="uniform", training=training, saving=saving, out=out)
        )
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        found[count] = rows, list(steps), (out / "config.json").read_text()
    (rows, saved, config), (rows_3, saved_3, config_3) = found[1], found[3]
    assert saved == saved_3 == [5, 10, 14]
    assert config == config_3  # a stopped run may go on with another number
    assert [list(row) for row in rows_3] == [list(row) for row in rows]
    assert [row["step"] for row in rows_3 if "loss" in row] == list(range(1, STEPS + 1))
    for one, three in zip(rows, rows_3, strict=True):
        assert three.pop("arm") == one.pop("arm")
        assert three == pytest.approx(one, rel=1e-5)


def test_refused_options() -> None:
    with pytest.raises(ss.InputError, match="from 1 to the 7 steps of an epoch, got 8. Try 7."):
        trainer_of(8)
    with pytest.raises(
        ss.InputError, match="`steps_per_dispatch` must be at least 1, got 0. Try 10."
    ):
        trainer_of(0)
    with pytest.raises(ss.InputError, match="must be 1 where images are streamed, got 2. Leave"):
        fitting.refuse_steps_per_dispatch(2, 7, streamed=True)
    fitting.refuse_steps_per_dispatch(1, 7, streamed=True)
    with pytest.raises(ss.InputError, match="at most `checkpoint_steps=3`, got 4. Try 3."):
        fitting.refuse_checkpoint_steps(3, steps_per_dispatch=4)
