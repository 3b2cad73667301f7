"""A run of an earlier version, stopped in the midst of its second training, goes on."""

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from program import REPOSITORY, simsmooth

from simsmooth_jax.config.data import DataConfig, SourceConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.method.objectives import max_suppression, online_label_smoothing
from simsmooth_jax.training.saved import checkpoints
from simsmooth_jax.training.step import Trainer

OLDER = REPOSITORY / "tests" / "older_run"
COMMAND = "run --data digits --model mlp --width 4 --depth 1 --epochs 2 --checkpoint-every 1"
COMMAND += " --batch-size 500 --learning-rate 0.1 --image-size 4 --out run"


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    config = TrainingConfig(
        DataConfig(source=SourceConfig(image_size="4")),
        model=ModelConfig("mlp", 4, 1),
        optimizer=OptimizerConfig(epochs=2, batch_size=500, learning_rate=0.1),
    )
    return Trainer(config, load_dataset(config.data), jax.devices()[:1])


def by_path(tree: Any) -> dict[str, np.ndarray]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(keys, simple=True, separator="/"): np.asarray(leaf)
        for keys, leaf in leaves
    }


def test_state_is_restored_bit_for_bit(trainer: Trainer) -> None:
    for start in (None, max_suppression().init):  # neither has a state of its own
        like = trainer.init(0) if start is None else trainer.init(0, start)
        found = by_path(checkpoints.restore_state(OLDER / "run" / "uniform", like))
        with np.load(OLDER / "state.npz") as expected:
            assert found.keys() == set(expected.files)
            for name, array in found.items():
                np.testing.assert_array_equal(array, expected[name], err_msg=name, strict=True)


def test_other_objectives_do_not_go_on_from_it(trainer: Trainer) -> None:
    like = trainer.init(0, online_label_smoothing(10).init)
    with pytest.raises(ValueError, match=r"objective/counts must be float32\[10\], got nothing"):
        checkpoints.restore_state(OLDER / "run" / "uniform", like)


def test_run_goes_on_to_the_numbers_of_before(tmp_path: Path) -> None:
    shutil.copytree(OLDER / "run", tmp_path / "run")
    shown = simsmooth(*COMMAND.split(), cwd=tmp_path).stdout
    assert "run: finished" in shown

    def read(file: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in file.read_text().splitlines()]

    for found, expected in zip(
        read(tmp_path / "run" / "metrics.jsonl"), read(OLDER / "metrics.jsonl"), strict=True
    ):
        assert (found.pop("arm"), found.pop("step")) == (expected.pop("arm"), expected.pop("step"))
        assert found == pytest.approx(expected, rel=1e-5)
    found, expected = (
        json.loads((p / "report.json").read_text()) for p in (tmp_path / "run", OLDER)
    )
    assert found.keys() == expected.keys() | {"at_temperature", "tuning", "uniform_epsilon"}
    for arm, parts in expected["arms"].items():
        for name in ("accuracy", "nll", "brier", "aurc"):
            assert found["arms"][arm]["test"][name] == pytest.approx(parts["test"][name], rel=1e-4)
    assert (tmp_path / "run" / "config.json").read_bytes() == (
        OLDER / "run" / "config.json"
    ).read_bytes()
