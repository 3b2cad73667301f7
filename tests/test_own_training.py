"""Trainings of a user's own module: dropout's key, AdamW, first weights, the head alone."""

import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small_vit
from compilations import count_compilations
from pages import DOCS, blocks
from program import REPOSITORY, Forked, simsmooth
from test_resume import wait_for

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.data.streaming import epoch_order
from simsmooth_jax.method.objectives import label_table
from simsmooth_jax.training.classifier import Classifier
from simsmooth_jax.training.models.built_in import build_model, normalise_images
from simsmooth_jax.training.saved import checkpoints
from simsmooth_jax.training.step import Trainer

pytestmark = pytest.mark.slow

RATE, DECAY = 0.01, 0.3
CONFIG = TrainingConfig(
    model=ModelConfig("small_vit:vit"),
    optimizer=OptimizerConfig("adamw", 2, 250, RATE, weight_decay=DECAY, warmup_epochs=0),
)
DIGITS = load_dataset(DataConfig())
TRAIN: Any = DIGITS.train
MODEL = small_vit.ViT(10)
TABLE = ss.uniform_labels(10, 0.1)


def trainer_of(**model: Any) -> Trainer:
    changed = dataclasses.replace(CONFIG.model, **model)
    return Trainer(dataclasses.replace(CONFIG, model=changed), DIGITS, jax.devices()[:1])


def step(trainer: Trainer, state: Any, table: Any = TABLE, seed: int = 0) -> Any:
    inputs = next(trainer.inputs.from_step(seed, int(state.step), trainer.total_steps))
    state = jax.tree.map(jnp.copy, state)  # it is donated
    return trainer.step(state, inputs, trainer.place(label_table(table)), trainer.key(seed))


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return trainer_of()


def batch(trainer: Trainer, number: int) -> tuple[Any, Any]:
    """Images and targets of a step of the first epoch, taken on the host."""
    rows = epoch_order(0, 0, 1000)[number * 250 : (number + 1) * 250]
    images = normalise_images(jnp.asarray(TRAIN.images[rows]), *trainer.image_statistics)
    return images, jnp.asarray(TABLE)[TRAIN.labels[rows]]


def by_path(tree: Any) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(k, simple=True, separator="/"): np.asarray(v) for k, v in leaves}


def test_dropout_is_decided_by_key_and_step(trainer: Trainer) -> None:
    """And the step against Flax's own `apply`, and AdamW against its formula in float64."""
    state = trainer.init(0)
    images, targets = batch(trainer, 0)

    @jax.jit
    def loss(params: Any, key: Any) -> Any:
        variables = {"params": params, "batch_stats": state.batch_stats}
        logits, _ = MODEL.apply(
            variables, images, train=True, mutable=["batch_stats"], rngs={"dropout": key}
        )
        return optax.softmax_cross_entropy(logits, targets).mean()

    def key_of(number: int) -> Any:
        return jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 2), number)

    expected, gradient = jax.value_and_grad(loss)(state.params, key_of(0))
    after, metrics = step(trainer, state)
    assert float(metrics["loss"]) == pytest.approx(float(expected), rel=1e-5)
    assert abs(float(loss(state.params, key_of(1)) - expected)) > 1e-3
    again, _ = step(trainer, state)
    before, found = by_path(state.params), by_path(after.params)
    assert all((found[name] == value).all() for name, value in by_path(again.params).items())
    for name, g in by_path(gradient).items():
        w, g = before[name].astype(np.float64), g.astype(np.float64)
        # The first step's means are the gradient and its square.
        moved = g / (np.abs(g) + 1e-8) + (DECAY * w if w.ndim > 1 else 0)
        clear = np.abs(g) > 1e-4  # of a gradient of 0 the sign is rounding
        np.testing.assert_allclose(
            found[name][clear], (w - RATE * moved)[clear], rtol=1e-4, atol=1e-6, err_msg=name
        )
        assert clear.any() or "key/bias" in name  # softmax does not see a bias of the keys


@pytest.fixture(scope="module")
def checkpoint(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a training leaves it, after one step."""
    state, _ = step(trainer, trainer.init(5), seed=5)
    path = tmp_path_factory.mktemp("own") / "first"
    checkpoints.save(path, 1, state, {})
    return path


def test_frozen_weights_stay_and_the_head_follows_logistic_regression(checkpoint: Path) -> None:
    """On the features of evaluation, written with optax; all tables share one program."""
    trainer = trainer_of(init=checkpoint, freeze=True)
    initial = trainer.init(0)
    saved, _ = checkpoints.read(checkpoint, ("params", "batch_stats"))
    for part in ("params", "batch_stats"):
        for name, value in by_path(saved[part]).items():
            assert (by_path(getattr(initial, part))[name] == value).all(), name
    optimizer = optax.adamw(
        trainer.schedule, weight_decay=DECAY, mask={"kernel": True, "bias": False}
    )
    head: Any = dict(saved["params"]["head"])
    opt_state, state = optimizer.init(head), initial
    without = saved["params"] | {"head": {"kernel": jnp.eye(4), "bias": jnp.zeros(4)}}
    for number in range(2):
        images, targets = batch(trainer, number)
        variables = {"params": without, "batch_stats": saved["batch_stats"]}
        features: Any = small_vit.ViT(4).apply(variables, images, train=False)

        def loss(head: Any, features: Any = features, targets: Any = targets) -> Any:
            logits = features @ head["kernel"] + head["bias"]
            return optax.softmax_cross_entropy(logits, targets).mean()

        updates, opt_state = optimizer.update(jax.grad(loss)(head), opt_state, head)
        head = optax.apply_updates(head, updates)
        state, _ = step(trainer, state)
    for name in ("kernel", "bias"):
        np.testing.assert_allclose(state.params["head"][name], head[name], atol=1e-5)
        assert (np.asarray(state.params["head"][name]) != saved["params"]["head"][name]).any()
    for part in ("params", "batch_stats"):
        for name, value in by_path(saved[part]).items():
            kept = (by_path(getattr(state, part))[name] == value).all()
            assert kept == (not name.startswith("head/")), name
    assert len(jax.tree.leaves(state.opt_state)) == 2 + 2 * len(head)  # of the head alone
    with count_compilations("_train_step") as compilations:
        step(trainer, initial, ss.onehot_labels(10), seed=3)
    assert compilations == []


def test_features_are_what_goes_into_the_head(checkpoint: Path) -> None:
    """Of a module whose function may not know another number of classes."""
    saved, _ = checkpoints.read(checkpoint, ("params", "batch_stats"))
    variables = {"params": saved["params"], "batch_stats": saved["batch_stats"]}
    statistics = DIGITS.channel_statistics()
    model = build_model(CONFIG.model, 10, DIGITS.image_shape)
    classifier = Classifier(CONFIG, DIGITS, model, **variables, image_statistics=statistics)
    inputs = normalise_images(jnp.asarray(TRAIN.images), *statistics)
    _, kept = MODEL.apply(
        variables, inputs, train=False, capture_intermediates=True, mutable=["intermediates"]
    )
    features = np.asarray(kept["intermediates"]["Block_0"]["__call__"][0], np.float64).mean(axis=1)
    means = np.stack([features[TRAIN.labels == k].mean(axis=0) for k in range(10)], axis=1)
    found, counts = classifier.mean_features()
    np.testing.assert_allclose(found, means, atol=1e-5)
    np.testing.assert_array_equal(counts, np.bincount(TRAIN.labels, minlength=10))


RUN = ("train", "--model", "mine:vit", "--optimizer", "adamw", "--learning-rate", 0.01)
RUN += ("--batch-size", 200, "--epochs", 3, "--checkpoint-steps", 2)


@pytest.mark.parametrize(
    "frozen", [False, pytest.param(True, marks=pytest.mark.heavy)], ids=["whole", "frozen"]
)
def test_killed_in_the_midst_of_an_epoch(tmp_path: Path, frozen: bool) -> None:
    """Dropout, BatchNorm and AdamW go on with the same bits; an epoch is five steps."""
    shutil.copy(REPOSITORY / "tests" / "small_vit.py", tmp_path / "mine.py")
    command = RUN
    if frozen:
        simsmooth(*RUN[:-6], "--batch-size", 200, "--epochs", 1, "--out", "first", cwd=tmp_path)
        command += ("--init", "first", "--freeze")
    shown = simsmooth(*command, "--out", "whole", cwd=tmp_path).stdout
    assert ("initial weights of first: " in shown) == frozen
    process = Forked(*command, "--out", "killed", cwd=tmp_path)
    wait_for((tmp_path / "killed" / "checkpoints" / "2").exists, process)
    process.kill()
    assert process.wait() == -9
    simsmooth(*command, "--out", "killed", cwd=tmp_path)
    for name in ("metrics.jsonl", "report.json", "config.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    killed, whole = (
        by_path(checkpoints.read(tmp_path / name, ("params", "batch_stats", "opt_state"))[0])
        for name in ("killed", "whole")
    )
    assert killed.keys() == whole.keys()
    assert all((killed[name] == whole[name]).all() for name in whole)


def test_the_pages_module_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks(DOCS / "models.md", "python")
    assert len([line for line in code.splitlines() if line]) <= 15
    (tmp_path / "mymodels.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    model = build_model(ModelConfig("mymodels:net"), 100, (32, 32, 3))
    images = jnp.zeros((2, 32, 32, 3))
    variables = model.init(jax.random.key(0), images, train=False)
    assert ss.head_kernel(variables).shape == (16, 100)
