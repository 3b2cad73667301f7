"""The rows of a training are written while it goes on, without waiting for any of them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

import simsmooth_jax as ss
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, SavingConfig, TrainingConfig
from simsmooth_jax.errors import DivergenceError
from simsmooth_jax.machine.bars import ProgressBars
from simsmooth_jax.method.objectives import label_table
from simsmooth_jax.training.observers.recording import MetricsLog
from simsmooth_jax.training.observers.showing import Shown
from simsmooth_jax.training.runner import ArmRunner

# Read here by plain Orbax, which says how it places the arrays.
ORBAX = pytest.mark.filterwarnings("ignore:Sharding info not provided")
pytestmark = [pytest.mark.slow, ORBAX]

EPOCHS = 4
ONEHOT = label_table(ss.onehot_labels(10))


def runner_of(model: ModelConfig, saving: SavingConfig) -> ArmRunner:
    config = TrainingConfig(model=model, optimizer=OptimizerConfig(epochs=EPOCHS))
    return ArmRunner(config, saving)


class Watched(MetricsLog):
    """Notes of all that rows are made of whether it was there already, until a checkpoint."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.was_ready: list[bool] = []
        self.noted: list[list[bool]] = []

    def append(self, ready: Any, rows: Callable[[], Iterable[Any]]) -> None:
        def noted() -> Iterable[Any]:
            arrays: list[Any] = jax.tree.leaves(rows.args)  # type: ignore[attr-defined]
            self.was_ready += [each.is_ready() for each in arrays if hasattr(each, "is_ready")]
            return rows()

        super().append(ready, noted)

    def flush(self) -> None:
        self.noted.append(list(self.was_ready))
        super().flush()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are written as soon as they can be: these trainings end before it is time."""
    monkeypatch.setattr("simsmooth_jax.training.observers.recording.WRITE_SECONDS", 0)


@pytest.mark.usefixtures("at_once")
def test_the_host_waits_for_no_metric(tmp_path: Path) -> None:
    """But before a checkpoint, whose rows must be on disk."""
    runner = runner_of(ModelConfig("cnn", width=16), SavingConfig(checkpoint_every=99))
    log, steps = Watched(tmp_path / "metrics.jsonl"), runner.trainer.total_steps
    with ProgressBars(shown=True) as bars:
        runner.train("onehot", ONEHOT, tmp_path / "onehot", log, bars)
    rows = log.rows()
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, steps + 1))
    assert [row["epoch"] for row in rows if "validation_nll" in row] == list(range(1, EPOCHS + 1))
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)
    (noted,) = log.noted
    assert all(noted)
    waited = (len(log.was_ready) - len(noted)) // 3
    assert len(noted) > 2 * steps  # most were written before
    assert 0 < waited < runner.trainer.steps_per_epoch


class Poisoned:
    """Spoils one number of the state after a step whose loss is finite."""

    def __init__(self, runner: ArmRunner, step: int, spoil: Callable[[Any], Any]) -> None:
        self.step, self.at, self.spoil = runner.trainer.step, step, spoil

    def __call__(self, state: Any, *inputs: Any) -> Any:
        before = int(state.step)
        state, metrics = self.step(state, *inputs)
        return (self.spoil(state) if before + 1 == self.at else state), metrics


def in_kernel(state: Any) -> Any:
    params = dict(state.params)
    params["head"] = params["head"] | {"kernel": params["head"]["kernel"].at[0, 0].set(jnp.nan)}
    return state.replace(params=params)


def in_momentum(state: Any) -> Any:
    spoilt = jax.tree.map(
        lambda leaf: jnp.full_like(leaf, jnp.inf) if leaf.ndim > 1 else leaf, state.opt_state
    )
    return state.replace(opt_state=spoilt)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [(in_kernel, "params/head/kernel"), (in_momentum, "opt_state/1/0/trace/Dense_0/kernel")],
)
def test_no_checkpoint_holds_a_state_that_diverged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Any], Any], named: str
) -> None:
    """The loss of a step is that before its update, and says nothing of the state to be saved."""
    runner = runner_of(ModelConfig("mlp", width=8, depth=1), SavingConfig(checkpoint_steps=10))
    monkeypatch.setattr(runner.trainer, "step", Poisoned(runner, 20, spoil))
    log, directory = MetricsLog(tmp_path / "metrics.jsonl"), tmp_path / "onehot"
    expected = (
        f"training onehot: the state must stay finite, got NaN or infinity in {named} after step "
        f"20. Lower `learning_rate`. Step 10 is kept in {directory}."
    )
    with ProgressBars(shown=False) as bars, pytest.raises(DivergenceError) as raised:
        runner.train("onehot", ONEHOT, directory, log, bars)
    assert str(raised.value) == expected
    assert [path.name for path in directory.iterdir()] == ["10"]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(ocp.load(str(directory / "10"))))
    losses = [row["loss"] for row in log.rows() if "loss" in row]
    assert len(losses) == 20
    assert np.isfinite(losses).all()


def test_a_loss_that_is_not_finite_ends_the_training_after_the_rows_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = runner_of(ModelConfig("mlp", width=8, depth=1), SavingConfig())
    monkeypatch.setattr(runner.trainer, "step", Poisoned(runner, 5, in_kernel))
    log = MetricsLog(tmp_path / "metrics.jsonl")
    with ProgressBars(shown=False) as bars, pytest.raises(DivergenceError) as raised:
        runner.train("onehot", ONEHOT, tmp_path / "onehot", log, bars)
    expected = "training onehot: the loss must stay finite, got nan at step 6. Lower "
    assert str(raised.value) == f"{expected}`learning_rate`."  # no checkpoint is there to be kept
    assert [row["step"] for row in log.rows()] == [1, 2, 3, 4, 5]
    assert not (tmp_path / "onehot").exists()


class Late:
    """A number that is on the host only when it is said to be."""

    def __init__(self, value: float) -> None:
        self.value, self.there = value, False

    def is_ready(self) -> bool:
        return self.there

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.value)


class Told:
    """A progress bar that notes what it is told."""

    def __init__(self) -> None:
        self.of: list[tuple[int, float, float, float]] = []

    def start(self, arm: str, step: int, total: int) -> None:
        pass

    def update(self, step: int, loss: float, accuracy: float, waited: float) -> None:
        self.of.append((step, loss, accuracy, waited))


def test_the_bar_is_told_now_and_then_of_a_step_that_is_done_and_of_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told, clock = Told(), [0.0]
    monkeypatch.setattr("simsmooth_jax.training.observers.showing.time.monotonic", lambda: clock[0])
    shown = Shown(told, total_steps=100)
    losses = [Late(step) for step in range(101)]
    for step in range(1, 101):
        clock[0] += 0.125  # four steps between two redraws
        if step > 3:
            losses[step - 3].there = True  # three steps in flight
        metrics: Any = {"loss": losses[step], "accuracy": np.float32(0.5)}
        shown.on_step(step, None, metrics, 0.25)  # type: ignore[arg-type]
    assert told.of == [
        *((step - 4, step - 4.0, 0.5, step / 4) for step in range(5, 100, 4)),
        (100, 100.0, 0.5, 25.0),
    ]
