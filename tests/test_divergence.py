"""NaN: every command says so in one line, and no run finishes with it."""

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from processes import OPTIONS, STEPS, write_images
from program import simsmooth

from simsmooth_jax.config.commands import TrainConfig
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, SavingConfig, TrainingConfig
from simsmooth_jax.errors import DivergenceError, InputError
from simsmooth_jax.program import cli
from simsmooth_jax.program.commands import train_command
from simsmooth_jax.training.evaluation import are_finite
from simsmooth_jax.training.finite import first_non_finite
from simsmooth_jax.training.saved import checkpoints
from simsmooth_jax.training.step import Trainer

pytestmark = pytest.mark.slow

TRAIN = ("train", *OPTIONS[:-2], "--out", "out")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_images(tmp_path)


def config(**saving: Any) -> TrainConfig:
    optimizer = OptimizerConfig(epochs=2, batch_size=16)
    training = TrainingConfig(
        DataConfig("npz:images.npz"), 0, ModelConfig("mlp", width=8, depth=1), optimizer
    )
    return TrainConfig("onehot", training, saving=SavingConfig(**saving), out=Path("out"))


def poisoned(monkeypatch: pytest.MonkeyPatch, at: int, value: float, leaf: str = "kernel") -> None:
    """From the update of a step on the state has such a number; the losses before are finite."""
    step: Any = Trainer.step

    def then_poisoned(trainer: Trainer, state: Any, *arguments: Any) -> Any:
        new, metrics = step(trainer, state, *arguments)
        if int(new.step) == at:
            head = new.params["head"]
            worse = {**head, leaf: head[leaf].at[..., 0].set(value)}
            new = new.replace(params={**new.params, "head": worse})
        return new, metrics

    monkeypatch.setattr(Trainer, "step", then_poisoned)


def steps(out: Path) -> list[int]:
    return sorted(int(path.name) for path in out.iterdir() if path.name.isdigit())


def test_the_last_state_is_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No loss follows that would tell."""
    poisoned(monkeypatch, 2 * STEPS, np.nan)
    line = (
        f"training onehot: the likelihood must stay finite, got NaN or infinity on the validation "
        f"images after step {2 * STEPS}. Lower `learning_rate`. Step {STEPS} is kept in "
        "out/checkpoints."
    )
    with pytest.raises(DivergenceError) as raised:
        train_command.train(config(checkpoint_every=1))
    assert str(raised.value) == line
    assert steps(folder / "out" / "checkpoints") == [STEPS]
    assert not (folder / "out" / "report.json").exists()
    rows = (folder / "out" / "metrics.jsonl").read_text()
    assert "NaN" not in rows
    assert all(np.isfinite(row.get("loss", 0)) for row in map(json.loads, rows.splitlines()))


def test_nothing_is_said_to_be_kept_where_nothing_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, 2, np.nan)
    with pytest.raises(DivergenceError) as raised:
        train_command.train(config())
    line = "training onehot: the loss must stay finite, got nan at step 3. Lower `learning_rate`."
    assert str(raised.value) == line
    assert steps(folder / "out") == []


def test_a_state_that_no_validation_sees_is_refused_by_its_array(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, 2, np.nan)
    with pytest.raises(DivergenceError, match="NaN or infinity in params/head/kernel after step 2"):
        train_command.train(config(checkpoint_steps=2))
    assert steps(folder / "out") == []


def refused(capsys: pytest.CaptureFixture[str], *command: object) -> str:
    """The one line of a command that is refused."""
    capsys.readouterr()
    assert cli.main([str(argument) for argument in command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("simsmooth: ")


PARTS = ("params", "batch_stats", "opt_state", "step")


def test_every_command_refuses_a_checkpoint_with_nan(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As versions before have left it."""
    train_command.train(config())
    state, metadata = checkpoints.read(folder / "out", PARTS)
    head = state["params"]["head"]
    head["bias"] = head["bias"].at[0].set(jnp.nan)
    checkpoints.save(folder / "bad", 2 * STEPS, state, metadata)
    must = "params/head/bias must be finite, got NaN or infinity. "
    then = "Take an earlier one, or train again at a lower learning rate."
    for command in (
        ("evaluate", "bad"),
        ("labels", "bad", "--similarity", "predictions", "--rule", "mean"),
        ("labels", "bad", "--similarity", "features"),
    ):
        assert refused(capsys, *command) == f"checkpoint bad: {must}{then}"
    assert not (folder / "labels.npz").exists()
    (folder / "out" / "report.json").unlink()  # going on with it, too
    shutil.rmtree(folder / "out" / "checkpoints" / str(2 * STEPS))
    checkpoints.save(folder / "out" / "checkpoints", 2 * STEPS, state, metadata)
    with pytest.raises(InputError) as raised:
        train_command.train(config())
    assert str(raised.value) == f"checkpoint out/checkpoints/{2 * STEPS}: {must}{then}"
    head["kernel"] = head["kernel"].at[0, 1].set(jnp.inf)
    checkpoints.save(folder / "worse", 2 * STEPS, state, metadata)
    line = refused(capsys, "labels", "worse", "--rule", "clip", "--similarity", "kernel")
    assert "every class vector must be finite, got NaN or infinity in kernel[:, 1]" in line


def test_evaluate_refuses_weights_that_overflow(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_command.train(config())
    state, metadata = checkpoints.read(folder / "out", PARTS)
    head = state["params"]["head"]
    head["kernel"] = head["kernel"].at[...].set(3e38)
    assert first_non_finite(state) is None
    checkpoints.save(folder / "large", 2 * STEPS, state, metadata)
    assert refused(capsys, "evaluate", "large", "--json") == (
        "checkpoint large: its likelihood on the test images must be finite, got NaN or infinity. "
        "Its weights are too large: take an earlier one."
    )


def test_debug_nans_finds_the_operation(folder: Path) -> None:
    """At a rate at which weights become infinite, and their differences no numbers."""
    options = ("--epochs", 4, "--learning-rate", 1e30, "--warmup-epochs", 0)
    plain = simsmooth(*TRAIN, *options, cwd=folder, status=1).stderr.splitlines()[-1]
    assert " must stay finite, got " in plain
    command = (*TRAIN, *options, "--debug-nans", "--steps-per-dispatch", 2)
    found = simsmooth(*command, cwd=folder, status=1).stderr.splitlines()
    assert "Traceback" not in found
    said = "simsmooth: training onehot: the operations must stay finite, got NaN from "
    assert found[-1].startswith(said)
    operation = found[-1].removeprefix(said).split()[0]
    assert operation.isidentifier()
    assert " in step " in found[-1]
    assert ".py:" in found[-1]


def test_debugging_changes_no_number(folder: Path) -> None:
    found = []
    for debug in (False, True):
        simsmooth(*TRAIN, "--epochs", 1, *["--debug-nans"] * debug, "--overwrite", cwd=folder)
        found.append((folder / "out" / "report.json").read_bytes())
    assert found[0] == found[1]


def test_the_first_array_with_nan() -> None:
    tree = {"a": jnp.arange(3), "b": [jnp.ones(2), jnp.array([1.0, jnp.inf])], "c": jnp.nan}
    assert first_non_finite(tree) == "b/1"
    assert first_non_finite({"a": jnp.arange(3), "key": jax.random.key(0)}) is None
    assert first_non_finite({"a": {}}) is None
    assert not are_finite({"nll": float("nan")})
    with pytest.raises(InputError, match="checkpoint x: a must be finite, got NaN or infinity"):
        raise checkpoints.not_finite(Path("x"), "a")
