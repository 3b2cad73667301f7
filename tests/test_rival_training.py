"""Rivals in the training loop: they train, go on bit for bit, and keep what they learn."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from program import simsmooth
from test_objective_training import CONFIG as SMALL
from test_objective_training import DIGITS, EPOCH, States, assert_same_bits

import simsmooth_jax as ss
from simsmooth_jax.config.training import AugmentationConfig, ModelConfig
from simsmooth_jax.method.objectives import Batch
from simsmooth_jax.training.loop import train
from simsmooth_jax.training.models.built_in import normalise_images
from simsmooth_jax.training.step import Trainer

pytestmark = pytest.mark.slow

CONFIG = dataclasses.replace(SMALL, model=ModelConfig("mlp", 32, 1))
COUNT = len(DIGITS.train)
LABELS = DIGITS.train.all_labels()
TEACHER = np.random.default_rng(0).normal(size=(COUNT, 10)).astype(np.float16)
objectives = ss.objectives
RIVALS = {
    "lspp": objectives.label_smoothing_plus_plus(10),
    "pskd": objectives.progressive_self_distillation(COUNT, 10, steps_per_epoch=EPOCH, epochs=3),
    "distillation": objectives.self_distillation(TEACHER, 0.3),
    "zipf": objectives.zipf_smoothing(),
    "mbls": objectives.margin_smoothing(margin=1),
    "acls": objectives.conditional_smoothing(margin=1),
}

HEAVY = ("pskd", "zipf", "mbls", "acls")


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return Trainer(CONFIG, DIGITS, jax.devices()[:1])


@pytest.mark.parametrize("name", RIVALS)
def test_trains_and_goes_on_from_any_step_with_the_same_bits(trainer: Trainer, name: str) -> None:
    objective, states, rows = RIVALS[name], States(), []

    class Accuracies:
        def on_step(self, step: int, state: Any, metrics: Any, input_seconds: float) -> None:
            rows.append(float(metrics["accuracy"]))

    whole = train(trainer, objective, 0, observers=[states, Accuracies()])
    assert np.mean(rows[-5:]) > 0.8
    for step in (7, 23) if name in ("lspp", "pskd") else (7,):
        assert_same_bits(train(trainer, objective, 0, state=states.at[step]), whole)


def test_lspp_learns_which_digits_are_taken_for_each_other(trainer: Trainer) -> None:
    fast = objectives.label_smoothing_plus_plus(10, learning_rate=30)
    state = train(trainer, fast, 0)
    matrix = np.asarray(state.objective)
    others = ~np.eye(10, dtype=bool)
    learnt = scipy.special.softmax(np.where(others, matrix, -np.inf), axis=1)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    split: Any = DIGITS.train
    images = normalise_images(jnp.asarray(split.images), *trainer.image_statistics)
    logits: Any = trainer.model.apply(variables, images, train=False)
    means = np.asarray(ss.mean_predictions(jax.nn.softmax(logits), LABELS)).T
    assert np.corrcoef(learnt[others], means[others])[0, 1] > 0.7


def test_pskd_remembers_every_image_of_the_last_epoch(trainer: Trainer) -> None:
    states = States()
    train(trainer, RIVALS["pskd"], 0, observers=[states])
    kept = {step: np.asarray(state.objective) for step, state in states.at.items()}
    assert (kept[1].any(axis=1).sum(), kept[EPOCH].any(axis=1).sum()) == (100, 10 * EPOCH * 10)
    np.testing.assert_allclose(kept[30][kept[30].any(axis=1)].sum(axis=1), 1, rtol=1e-5)
    changed = (kept[21] != kept[20]).any(axis=1)
    assert changed.sum() == 100


def test_a_teacher_of_16_bits_stays_so_and_is_read_by_example(trainer: Trainer) -> None:
    placed = trainer.place(RIVALS["distillation"])
    assert placed.data.teacher_logits.dtype == jnp.float16
    inputs = next(trainer.inputs.from_step(0, 0, 1))
    _, labels, examples = inputs.batch(jnp.asarray(0), 100, trainer.batch_sharded)
    np.testing.assert_array_equal(labels, LABELS[np.asarray(examples)])
    sure = objectives.self_distillation(1e4 * np.eye(10, dtype=np.float32)[LABELS], 1)
    hard = objectives.label_table(ss.onehot_labels(10))
    assert_same_bits(*(train(trainer, o, 0).params for o in (sure, hard)))
    batch = Batch(labels, jnp.asarray(0), examples)
    logits = jnp.zeros((100, 10))
    loss = RIVALS["distillation"].loss(placed.data, (), logits, batch)
    np.testing.assert_allclose(loss, np.log(10), rtol=1e-5)


@pytest.mark.parametrize("name", ["lspp", "pskd", "distillation"])
def test_predictions_of_mixed_images_are_no_labels(name: str) -> None:
    config = dataclasses.replace(CONFIG, augmentation=AugmentationConfig(mixup=0.5))
    trainer = Trainer(config, DIGITS, jax.devices()[:1])
    message = "mixup. must be 0 with labels that are made of the predictions of single images"
    with pytest.raises(ss.InputError, match=message):
        train(trainer, RIVALS[name], 0)


def test_data_parallel_states_agree(devices: list[Any]) -> None:
    for name in ("lspp", "pskd"):
        found = [train(Trainer(CONFIG, DIGITS, devices[:n]), RIVALS[name], 0) for n in (1, 4)]
        for a, b in zip(*map(jax.tree.leaves, found), strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    "labels",
    ["lspp", *(pytest.param(name, marks=pytest.mark.heavy) for name in HEAVY)],
)
def test_names_of_arms_on_the_command_line(labels: str, tmp_path: Path) -> None:
    options = ("--strength", 0.2, "--image-size", 4, "--model", "mlp", "--width", 32, "--depth", 1)
    options += ("--batch-size", 100, "--epochs", 6, "--learning-rate", 0.3, "--out", "out")
    simsmooth("train", "--labels", labels, *options, cwd=tmp_path)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert list(report["arms"]) == [labels]
    assert report["arms"][labels]["test"]["accuracy"] > 0.5
