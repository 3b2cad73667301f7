"""What a training takes of a device: refused by its sizes before anything is compiled, and told."""

import dataclasses
import re
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from compilations import count_compilations

import simsmooth_jax as ss
from simsmooth_jax.config.commands import TrainConfig
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.method.objectives import Objective, label_table
from simsmooth_jax.method.objectives.objective import no_state, table_loss
from simsmooth_jax.program.commands import study_command, train_command
from simsmooth_jax.study.comparison.entrants import chosen
from simsmooth_jax.study.comparison.trials import Trials
from simsmooth_jax.training import runner, step_memory
from simsmooth_jax.training.step import Trainer

pytestmark = pytest.mark.slow

DIGITS = load_dataset(DataConfig())
TABLE = label_table(ss.uniform_labels(10, 0.1))
FEW = OptimizerConfig(epochs=3, batch_size=8, warmup_epochs=0)
IMAGES = 64_000  # bytes


def trainer_of(*model: Any) -> Trainer:
    config = TrainingConfig(model=ModelConfig(*model), optimizer=FEW)
    return Trainer(config, DIGITS, jax.devices()[:1])


def pskd(examples: int, classes: int) -> Objective:
    return ss.objectives.progressive_self_distillation(
        examples, classes, 0.8, steps_per_epoch=125, epochs=3
    )


def compiled(trainer: Trainer, objective: Objective) -> jax.stages.Compiled:
    objective, key = trainer.place(objective), trainer.key(0)
    inputs = next(trainer.inputs.from_step(0, 0, 1))
    return trainer.compiled(1, trainer.init(0, objective.init), inputs, objective, key)


def test_sizes_are_those_of_the_arrays() -> None:
    trainer = trainer_of("linear")
    sizes = [np.asarray(leaf).nbytes for leaf in jax.tree.leaves(trainer.init(0))]
    assert step_memory.nbytes(trainer.shapes) == sum(sizes)
    labels = step_memory.objective_bytes(TABLE)
    assert labels == 4 * 10 * 10
    whole = sum(sizes) + IMAGES + labels
    step_memory.refuse_training(trainer.shapes, IMAGES, labels, whole)
    with pytest.raises(ss.InputError) as caught:
        step_memory.refuse_training(trainer.shapes, IMAGES, labels, whole - 1)
    text = str(caught.value)
    assert text.startswith("the training must fit into the memory of a device, 0.00 GiB, got 0.00 ")
    assert text.endswith("of training images, 0.00 of labels. Use `input=stream`.")
    with pytest.raises(ss.InputError, match=r"got 0\.00 GiB: .* Choose a smaller `width` or "):
        step_memory.refuse_training(trainer.shapes, 0, 0, 100)


LARGE = 10**6, 10**6  # 4 TB


@pytest.mark.parametrize("what", ["model", "table", "state"])
def test_what_is_too_large_is_refused_within_a_second_and_nothing_is_compiled(what: str) -> None:
    table = Objective(jax.ShapeDtypeStruct(LARGE, jnp.float32), no_state, table_loss)
    objective = {"table": table, "state": Objective((), partial(jnp.zeros, LARGE), table_loss)}
    large = TrainingConfig(model=ModelConfig("resnet18", width=4096))
    if what == "model":
        part, attempt = "classifier and optimizer", partial(Trainer, large, DIGITS)
    else:
        part, attempt = "labels", partial(trainer_of("linear").place, objective[what])
    start = time.process_time()
    with count_compilations("") as compilations, pytest.raises(ss.InputError) as caught:
        attempt()
    assert time.process_time() - start < 1
    assert compilations == []
    assert re.search(rf"got \d+\.\d\d GiB: .*\d\d\.\d\d of {part}", str(caught.value))


def test_an_arm_of_a_study_that_does_not_fit_is_refused_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own state and numbers, or by what is made of a first model that is not there yet."""
    training = TrainingConfig(model=ModelConfig("linear"), optimizer=FEW)
    config = StudyConfig(training=training, images_per_class=80, out=tmp_path / "out")
    trials = Trials(config, DIGITS, None, tmp_path / "first-models")
    others = step_memory.nbytes(trials.trainer.shapes) + 64 * 800
    for arm, size in (("pskd", 32_012), ("self-distillation", 32_000), ("neighbours", 400)):
        whole, arms = others + size, ("onehot", arm)
        monkeypatch.setattr(step_memory, "device_memory", lambda: whole)  # noqa: B023
        trials.refuse(chosen(arms, False))
        monkeypatch.setattr(step_memory, "device_memory", lambda: whole - 1)  # noqa: B023
        with pytest.raises(ss.InputError, match=r"^the training must fit .* of labels\. "):
            study_command.study(dataclasses.replace(config, arms=arms))
        assert not (tmp_path / "out").exists()


SHAPES: dict[str, tuple[tuple[Any, ...], Objective]] = {
    "linear": (("linear",), TABLE),
    "shallow": (("mlp", 64, 1), TABLE),
    "deep": (("mlp", 128, 8), TABLE),  # of which no two gradients are kept at a time
    "convolutions": (("resnet", 2, 8), TABLE),
    "state": (("mlp", 4, 1), pskd(1000, 10)),
    "two states": (("linear",), ss.objectives.online_label_smoothing(10, 0.5)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_is_refused_by_its_sizes_that_fits(name: str) -> None:
    """The sizes are a lower bound of what XLA says that the compiled step needs."""
    model, objective = SHAPES[name]
    trainer = trainer_of(*model)
    found: Any = compiled(trainer, objective).memory_analysis()
    need = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
    need += found.temp_size_in_bytes + found.generated_code_size_in_bytes
    labels = step_memory.objective_bytes(objective)
    step_memory.refuse_training(trainer.shapes, IMAGES, labels, need)
    assert trainer.held_bytes == IMAGES
    # Nor are they far from what it is given: the labels and the order of the images are the rest.
    sizes = step_memory.nbytes(trainer.shapes) + IMAGES + labels
    assert found.argument_size_in_bytes - 10_000 < sizes <= found.argument_size_in_bytes + 100
    step_memory.of_step(compiled(trainer, objective), need)
    with pytest.raises(ss.InputError) as caught:
        step_memory.of_step(compiled(trainer, objective), need - 1)
    text = str(caught.value)
    assert text.startswith("the compiled step must fit into the memory of a device, 0.00 GiB, got ")
    assert text.endswith("of results. Choose a smaller `batch_size`.")


def test_the_line_has_the_sum_and_what_the_device_has(monkeypatch: pytest.MonkeyPatch) -> None:
    program = compiled(trainer_of("linear"), TABLE)
    line = step_memory.of_step(program)
    numbers = [float(number) for number in re.findall(r"[\d.]+(?= kB)", line)]
    assert re.fullmatch(
        r"step: .* kB of device memory \(arguments .* kB, temporaries .* kB, results .*\)", line
    )
    assert numbers[0] == pytest.approx(sum(numbers[1:]), abs=0.5)
    monkeypatch.setattr(step_memory, "device_limit", lambda: 80_000_000_000)
    assert " kB of a device's 80.0 GB of device memory (" in step_memory.of_step(program)


def trained(out: Path, **changes: Any) -> None:
    training = dataclasses.replace(tiny_runs.TRAINING, **changes)
    train_command.train(TrainConfig(training=training, saving=tiny_runs.SAVING, out=out))


@pytest.mark.parametrize("steps", [1, 2])
def test_it_is_told_once_and_costs_no_compilation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], steps: int
) -> None:
    with count_compilations("_train_step") as compilations:
        trained(tmp_path / "out", steps_per_dispatch=steps)
    assert len(compilations) == 1  # of 2 steps in an epoch
    assert capsys.readouterr().out.count("\nstep: ") == 1
    trained(tmp_path / "out", steps_per_dispatch=steps)
    assert "step: " not in capsys.readouterr().out  # it was finished


def test_of_several_processes_one_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "is_writer", lambda: False)
    trained(tmp_path / "out")
    assert "step: " not in capsys.readouterr().out


def test_a_step_that_does_not_fit_is_refused_before_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_memory, "device_memory", lambda: 30_000)
    ran: list[Any] = []
    monkeypatch.setattr(Trainer, "step", partial(ran.append, "step"))
    with pytest.raises(ss.InputError, match="the compiled step must fit"):
        trained(tmp_path / "out")
    assert ran == []
    assert not (tmp_path / "out" / "checkpoints").exists()
