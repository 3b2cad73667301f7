"""Runs from before an option existed go on, as what they were."""

from pathlib import Path

import pytest

import simsmooth_jax as ss
from simsmooth_jax.config import stored
from simsmooth_jax.config.commands import RunConfig, TrainConfig
from simsmooth_jax.config.labels import ObjectiveConfig
from simsmooth_jax.config.training import ModelConfig, TrainingConfig
from simsmooth_jax.program.run_directory import open_directory


def test_older_checkpoints_are_read() -> None:
    values = TrainingConfig().to_json()
    del values["model"]["dtype"], values["steps_per_dispatch"]
    assert TrainingConfig.from_json(values) == TrainingConfig()


def test_run_directories_of_before_bfloat16_go_on(tmp_path: Path) -> None:
    absent = stored.identity_before(RunConfig)
    before = stored.identity(RunConfig())
    assert before["training"]["model"].pop("dtype") == "float32"
    for dtype in ("float32", "bfloat16"):
        now = stored.identity(RunConfig(TrainingConfig(model=ModelConfig(dtype=dtype))))
        with open_directory(tmp_path / dtype, before, False, absent):
            pass
        if dtype == "float32":
            with open_directory(tmp_path / dtype, now, False, absent):
                pass
            continue
        with (
            pytest.raises(ss.InputError, match="model.dtype float32 -> bfloat16"),
            open_directory(tmp_path / dtype, now, False, absent),
        ):
            pass


def test_a_run_directory_says_nothing_of_options_that_came_later(tmp_path: Path) -> None:
    """Neither what it holds nor its name changes; what differs is still named with its value."""
    values = stored.identity(TrainConfig())
    assert "objective" not in values
    changed = stored.identity(TrainConfig(objective=ObjectiveConfig(strength=0.3)))
    assert changed == values | {"objective": {"strength": 0.3}}
    absent = stored.identity_before(TrainConfig)
    with open_directory(tmp_path / "run", values, False, absent):
        pass
    with (
        pytest.raises(ss.InputError, match="objective.strength None -> 0.3"),
        open_directory(tmp_path / "run", changed, False, absent),
    ):
        pass
