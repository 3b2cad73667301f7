"""What the README alone promises: its loop trains, CI runs its commands, its lists are complete."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax.training.train_state import TrainState
from pages import README, blocks
from program import REPOSITORY
from test_layout import LAYERS, PACKAGE

import simsmooth_jax as ss


class Classifier(nn.Module):
    """A user's own."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dense(3, name="head")(nn.relu(nn.Dense(8)(x)))


def test_recipe_trains_a_second_classifier(capsys: pytest.CaptureFixture[str]) -> None:
    """The README's code in a user's loop: two blobs of points for each of three classes."""
    random = np.random.RandomState(0)
    labels = jnp.asarray(random.randint(0, 3, 90))
    images = jnp.asarray(random.randn(3, 5)[labels] * 3 + random.randn(90, 5))
    model = Classifier()

    def new_state() -> TrainState:
        params = model.init(jax.random.key(0), images)["params"]
        return TrainState.create(apply_fn=model.apply, params=params, tx=optax.sgd(0.1))

    (recipe,) = blocks(README, "python")
    names = {"jax": jax, "first": new_state()}
    exec(recipe, names)
    assert "rule at epsilon 1" in capsys.readouterr().out

    table = names["table"]
    np.testing.assert_allclose(np.sum(table, axis=1), 1, rtol=1e-6)
    state, losses = new_state(), []
    for _ in range(60):
        state, loss = names["train_step"](state, images, labels, table)
        losses.append(float(loss))
    targets = np.asarray(table, np.float64)
    floor = -(targets * np.log(np.maximum(targets, 1e-30))).sum(axis=1)[labels].mean()
    assert losses[-1] > floor  # the labels' own entropy
    assert losses[-1] - floor < (losses[0] - floor) / 5


def test_ci_runs_the_readmes_commands() -> None:
    (block,) = blocks(README, "bash")
    commands = [command.strip() for command in block.replace("&&", "\n").splitlines()]
    script = (REPOSITORY / ".ci" / "run").read_text().splitlines()
    assert len(commands) == 4
    assert [line for line in script if line in commands] == commands


def test_it_is_of_one_read() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) <= 150
    assert max(map(len, lines)) <= 110


def test_map_of_folders_and_list_of_functions_are_complete() -> None:
    shown = README.read_text()
    folders = shown.split("| folder | holds |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", folders, re.MULTILINE) == [
        layer for layer in LAYERS if (PACKAGE / layer).is_dir()
    ]
    functions = shown.split("## Functions")[1].split("\n## ")[0]
    assert set(ss.__all__) <= set(re.findall(r"`(\w+)`", functions))
