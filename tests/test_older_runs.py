"""Runs from before an option existed go on, as what they were."""

from pathlib import Path

import pytest

import simsmooth_jax as ss
from simsmooth_jax.config.training import TrainingConfig
from simsmooth_jax.program.run_directory import open_directory


def test_older_checkpoints_are_read() -> None:
    values = TrainingConfig().to_json()
    del values["model"]["dtype"], values["steps_per_dispatch"]
    assert TrainingConfig.from_json(values) == TrainingConfig()


def test_run_directories_of_before_bfloat16_go_on(tmp_path: Path) -> None:
    before = {"training": {"model": {"model": "cnn"}}}
    for dtype in ("float32", "bfloat16"):
        now = {"training": {"model": {"model": "cnn", "dtype": dtype}}}
        with open_directory(tmp_path / dtype, before, overwrite=False):
            pass
        if dtype == "float32":
            with open_directory(tmp_path / dtype, now, overwrite=False):
                pass
            continue
        with (
            pytest.raises(ss.InputError, match="model.dtype float32 -> bfloat16"),
            open_directory(tmp_path / dtype, now, overwrite=False),
        ):
            pass
