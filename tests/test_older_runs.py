"""Runs from before an option existed go on, as what they were."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import simsmooth_jax as ss
from simsmooth_jax.config import stored
from simsmooth_jax.config.commands import RunConfig, TrainConfig
from simsmooth_jax.config.data import DataConfig, SourceConfig
from simsmooth_jax.config.labels import ObjectiveConfig, RelationConfig
from simsmooth_jax.config.training import ModelConfig, TrainingConfig
from simsmooth_jax.program.older_runs import as_recorded, by_older_defaults
from simsmooth_jax.program.run_directory import open_directory


def test_older_checkpoints_are_read() -> None:
    values = TrainingConfig().to_json()
    del values["model"]["dtype"], values["steps_per_dispatch"]
    assert values["data"]["source"].pop("validation_cut") == "random"
    assert TrainingConfig.from_json(values) == TrainingConfig().absolute()


def test_folders_of_before_the_stratified_tenth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command goes on with the rule of then, in its own directory or a default one."""
    monkeypatch.chdir(tmp_path)
    recorded = TrainingConfig(DataConfig("npz:x.npz")).to_json()
    assert recorded["data"]["source"].pop("validation_cut") == "stratified"
    assert TrainingConfig.from_json(recorded).data.source.validation_cut == "random"
    now = RunConfig(TrainingConfig(DataConfig("npz:x.npz")))
    source = SourceConfig(validation_cut="random")
    then = RunConfig(TrainingConfig(DataConfig("npz:x.npz", source)))
    before = stored.identity(dataclasses.replace(then, training=then.training.absolute()))
    assert "validation_cut" not in before["training"]["data"]["source"]
    absent = stored.identity_before(RunConfig)
    with open_directory(
        Path("runs/x-cnn-clip-123456"), before | {"data_sha256": "a"}, False, absent
    ):
        pass
    assert as_recorded(now, lambda _: "x-cnn-clip") == then
    assert as_recorded(now, lambda _: "y-cnn-clip") == now
    out = Path("runs/x-cnn-clip-123456")
    assert as_recorded(dataclasses.replace(now, out=out), str) == dataclasses.replace(then, out=out)
    for other in ({"overwrite": True}, {"uniform_epsilon": 0.3}, {"out": Path("new")}):
        changed = dataclasses.replace(now, **other)
        assert as_recorded(changed, lambda _: "x-cnn-clip") == changed


@pytest.mark.parametrize(
    ("given", "recorded", "epsilon"),
    [
        ({}, {"similarity": "kernel", "rule": "clip", "epsilon": 1.0}, 0.1),
        ({"uniform_epsilon": 0.3}, {"similarity": "kernel", "rule": "clip", "epsilon": 1.0}, 0.3),
        ({"uniform_epsilon": 0.2}, {"similarity": "kernel", "rule": "clip", "epsilon": 1.0}, 0.2),
        (
            {"relation": RelationConfig(similarity="predictions")},
            {"similarity": "predictions", "rule": "clip", "epsilon": 1.0},
            0.1,
        ),
        (
            {"relation": RelationConfig(rule="softmax", temperature=0.2)},
            {"similarity": "kernel", "rule": "softmax", "epsilon": 1.0, "temperature": 0.2},
            0.1,
        ),
    ],
)
def test_runs_of_before_mean_predictions_were_the_default(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
    recorded: dict[str, Any],
    epsilon: float,
) -> None:
    """A stopped one goes on, where it lies and where it is named; a finished one stays."""
    monkeypatch.chdir(tmp_path)
    now = RunConfig(**given)
    then = RunConfig(relation=RelationConfig(**recorded), uniform_epsilon=epsilon)
    directory = Path(f"runs/digits-cnn-{recorded['rule']}-123456")
    before = stored.identity(dataclasses.replace(then, training=then.training.absolute()))
    with open_directory(directory, before, False, stored.identity_before(RunConfig)):
        pass

    def found(config: RunConfig) -> RunConfig:
        today = dataclasses.replace(config, relation=config.relation.resolved("mean"))
        name = "digits-cnn-{0.relation.rule}".format
        return as_recorded(today, name, *by_older_defaults(config))

    assert found(now) == then
    assert found(dataclasses.replace(now, out=directory)).relation == then.relation
    (directory / "report.json").touch()
    assert found(now).relation == now.relation.resolved("mean")
    assert found(dataclasses.replace(now, out=directory)).relation == then.relation


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
            pytest.raises(ss.InputError, match="`dtype` float32 -> bfloat16"),
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
        pytest.raises(ss.InputError, match="`strength` None -> 0.3"),
        open_directory(tmp_path / "run", changed, False, absent),
    ):
        pass
