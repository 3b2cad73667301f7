"""Objectives in the training loop: refreshed in time, saved, and gone on with, bit for bit."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp
from program import LIMIT, Forked, simsmooth

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig, SourceConfig
from simsmooth_jax.config.training import (
    AugmentationConfig,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
)
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.method.objectives import Batch, Objective
from simsmooth_jax.training.loop import train
from simsmooth_jax.training.step import Trainer, TrainState

pytestmark = pytest.mark.slow

EPOCH = 10  # steps of 100 images
CONFIG = TrainingConfig(
    DataConfig(source=SourceConfig(image_size="4")),
    model=ModelConfig("mlp", 4, 1),
    optimizer=OptimizerConfig(epochs=3, batch_size=100, learning_rate=0.3),
)
DIGITS = load_dataset(CONFIG.data)
STATEFUL = {
    "online": ss.objectives.online_relation_labels(10, warmup_steps=10, epsilon=0.5),
    "online every 7 steps": ss.objectives.online_relation_labels(
        10, warmup_steps=7, epsilon=0.5, refresh_steps=7
    ),
    "ols": ss.objectives.online_label_smoothing(10),
    "maxsup": ss.objectives.max_suppression(),
}


def trainer_of(**changes: Any) -> Trainer:
    return Trainer(dataclasses.replace(CONFIG, **changes), DIGITS, jax.devices()[:1])


class States:
    """Keeps a copy of the state after every step that the loop shows."""

    def __init__(self) -> None:
        self.at: dict[int, TrainState] = {}

    def on_step(self, step: int, state: TrainState, metrics: Any, input_seconds: float) -> None:
        self.at[step] = jax.tree.map(jnp.copy, state)


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return trainer_of()


def assert_same_bits(found: Any, expected: Any) -> None:
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), strict=True)


@pytest.mark.parametrize("name", STATEFUL)
def test_goes_on_from_any_step_with_the_same_bits(trainer: Trainer, name: str) -> None:
    objective, states = STATEFUL[name], States()
    whole = train(trainer, objective, 0, observers=[states])
    for step in (6, 7, 10, 14, 23):
        resumed = train(trainer, objective, 0, state=states.at[step])
        assert_same_bits(resumed, whole)


def test_refreshes_come_before_observers_and_in_time(trainer: Trainer) -> None:
    """After the steps 7, 14, 21, 28, of which the first three change the table."""
    states = States()
    train(trainer, STATEFUL["online every 7 steps"], 0, observers=[states])
    tables = {step: np.asarray(state.objective) for step, state in states.at.items()}
    for step in range(1, 31):
        changed = (tables[step] != tables.get(step - 1, np.eye(10))).any()
        assert changed == (step % 7 == 0), step
    kernel = states.at[14].params["head"]["kernel"]
    expected = ss.relation_labels_from_kernel(kernel, epsilon=0.5)
    np.testing.assert_allclose(tables[14], expected, rtol=1e-5, atol=1e-7)


def test_several_steps_at_once_stop_for_a_refresh() -> None:
    objective = STATEFUL["online every 7 steps"]
    singly = train(trainer_of(), objective, 0)
    together = train(trainer_of(steps_per_dispatch=5), objective, 0)
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(singly), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    assert (np.asarray(singly.objective) != np.eye(10)).any()


class Seen(NamedTuple):
    counts: Any
    last_step: Any


def _seen() -> Seen:
    return Seen(jnp.zeros(len(DIGITS.train), jnp.int32), jnp.array(-1))


def _see(data: Any, state: Seen, logits: Any, batch: Batch) -> Seen:
    assert batch.examples is not None
    right = jnp.asarray(data)[batch.examples] == batch.labels
    return Seen(state.counts.at[batch.examples].add(right.astype(jnp.int32)), batch.step)


def _zero(data: Any, state: Any, logits: Any, batch: Batch) -> Any:
    return 0 * logits.sum(axis=-1)


@pytest.mark.parametrize("mode", ["memory", "stream"])
def test_batches_say_which_examples_they_are(mode: Any) -> None:
    """In an epoch each is seen once, with its own label."""
    data = dataclasses.replace(CONFIG.data, input=mode)
    optimizer = dataclasses.replace(CONFIG.optimizer, epochs=1)
    dataset = load_dataset(data)
    config = dataclasses.replace(CONFIG, data=data, optimizer=optimizer)
    objective = Objective(dataset.train.all_labels(), _seen, _zero, _see)
    state = train(Trainer(config, dataset, jax.devices()[:2]), objective, 0)
    assert (np.asarray(state.objective.counts) == 1).all()
    assert int(state.objective.last_step) == EPOCH - 1


def _examples_of_the_labels(data: Any, state: Any, logits: Any, batch: Batch) -> Any:
    assert batch.examples is not None
    return (data[batch.examples] != batch.labels) + 0 * logits.sum(axis=-1)


def test_mixing_permutes_examples_with_their_labels() -> None:
    trainer = trainer_of(augmentation=AugmentationConfig(mixup=0.5))
    labels = DIGITS.train.all_labels()
    objective = trainer.place(
        Objective(labels, ss.objectives.label_table(np.eye(10)).init, _examples_of_the_labels)
    )
    inputs = next(trainer.inputs.from_step(0, 0, 1))
    _, metrics = trainer.step(trainer.init(0), inputs, objective, trainer.key(0))
    assert float(metrics["loss"]) == 0


@pytest.mark.parametrize("option", ["mixup", "cutmix"])
def test_predictions_of_mixed_images_are_no_labels(option: str) -> None:
    trainer = trainer_of(augmentation=dataclasses.replace(AugmentationConfig(), **{option: 0.5}))
    message = f"{option}. must be 0 with labels that are made of the predictions of single images"
    with pytest.raises(ss.InputError, match=message):
        train(trainer, STATEFUL["ols"], 0)
    assert np.isfinite(float(train(trainer, STATEFUL["online"], 0).params["head"]["bias"].sum()))


def test_data_parallel_states_agree(devices: list[Any]) -> None:
    for name in ("online", "ols"):
        found = []
        for count in (1, 4):
            trainer = Trainer(CONFIG, DIGITS, devices[:count])
            found.append(train(trainer, STATEFUL[name], 0))
        for a, b in zip(*map(jax.tree.leaves, found), strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-2, atol=1e-3)


OPTIONS = ("--image-size", 4, "--model", "mlp", "--width", 4, "--depth", 1, "--batch-size", 100)
OPTIONS += ("--epochs", 6, "--learning-rate", 0.3, "--checkpoint-steps", 7, "--out", "out")


@pytest.mark.filterwarnings("ignore:Sharding info not provided")  # plain Orbax reads here
@pytest.mark.parametrize(
    ("labels", "options"),
    [
        ("online", ("--label-period", 4, "--label-warmup", 1)),
        ("ols", ()),
        pytest.param("maxsup", (), marks=pytest.mark.heavy),  # which has no state
    ],
)
def test_killed_in_mid_epoch_and_gone_on_with(labels: str, options: Any, tmp_path: Path) -> None:
    command = ("train", "--labels", labels, *options, *OPTIONS)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    simsmooth(*command, cwd=whole)
    process = Forked(*command, cwd=killed)
    deadline = time.monotonic() + LIMIT
    while not any(
        (killed / "out" / "checkpoints" / str(step)).exists() for step in range(7, 40, 7)
    ):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -9
    simsmooth(*command, cwd=killed)
    for name in ("metrics.jsonl", "report.json", "config.json"):
        assert (killed / "out" / name).read_bytes() == (whole / "out" / name).read_bytes(), name
    found, expected = (ocp.load(str(run / "out" / "checkpoints" / "60")) for run in (killed, whole))
    assert ("objective" in expected) == (labels != "maxsup")
    assert_same_bits(found, expected)
    report = json.loads((whole / "out" / "report.json").read_text())
    assert list(report["arms"]) == [labels]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("online", "--rule", "literal"), "rule must be well-posed for every head, got 'literal'"),
        (("ols", "--rule", "clip"), "--rule must be given with labels online, got clip with ols."),
        (
            ("onehot", "--strength", 0.1),
            "--strength must be given with labels online or ols or max",
        ),
        (("ols", "--mixup", 0.2), "--mixup must be 0 with labels that are made of the predictions"),
        (("online", "--strength", 2), "--strength must be from 0 to 1, got 2.0."),
        (("./ols",), "got ols"),
    ],
)
def test_refused_on_the_command_line(arguments: Any, message: str, tmp_path: Path) -> None:
    failed = simsmooth("train", "--labels", *arguments, *OPTIONS, cwd=tmp_path, status=2)
    assert message in failed.stderr
    assert len(failed.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
