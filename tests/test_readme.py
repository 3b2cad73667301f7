"""What the README says works, and what it shows is what the commands show."""

import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax.training.train_state import TrainState
from program import REPOSITORY, simsmooth

README = (REPOSITORY / "README.md").read_text()


def code_under(heading: str) -> list[str]:
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


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

    (recipe,) = code_under("In your own training loop")
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


def test_code_for_many_classes_gives_the_loss_of_the_dense_table() -> None:
    (recipe,) = code_under("Many classes")
    random = np.random.RandomState(0)
    kernel, features = random.randn(5, 40).astype("f"), random.randn(6, 5).astype("f")
    labels, bias = np.arange(6), random.randn(40).astype("f")
    names = {"kernel": kernel, "features": features, "labels": labels, "bias": bias}
    exec("import simsmooth_jax as ss\n" + recipe, names)
    table = np.asarray(names["ss"].relation_labels_from_kernel(kernel, "shift"))
    expected = optax.softmax_cross_entropy(features @ kernel + bias, table[labels])
    np.testing.assert_allclose(names["loss"], expected, rtol=1e-5)


def test_ci_runs_the_readmes_commands() -> None:
    block = README.split("```bash\n")[1].split("```")[0]
    commands = [command.strip() for command in block.replace("&&", "\n").splitlines()]
    script = (REPOSITORY / ".ci" / "run").read_text().splitlines()
    assert len(commands) == 4
    assert [line for line in script if line in commands] == commands


def test_every_command_and_function_exists(tmp_path: object) -> None:
    import simsmooth_jax as ss

    for name in set(re.findall(r"\bss\.(\w+)", README)):
        assert hasattr(ss, name), name
    for name in set(re.findall(r"`(\w+\.py)`", README)):
        assert (REPOSITORY / "simsmooth_jax" / name).exists(), name
    help_text = simsmooth("--help", cwd=REPOSITORY).stdout
    for command in set(re.findall(r"simsmooth (\w+)", README)):
        assert command in help_text


def test_table_of_ten_seeds_is_that_of_the_committed_rows() -> None:
    script = REPOSITORY / "experiments" / "digits.py"
    shown = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() in README
