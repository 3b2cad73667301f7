"""`simsmooth train`: one training; and what it has in common with a run."""

import dataclasses
from pathlib import Path
from typing import Any

from simsmooth_jax.config import stored
from simsmooth_jax.config.commands import RunConfig, TrainConfig
from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.matching import labels_for
from simsmooth_jax.machine import devices
from simsmooth_jax.machine.bars import ProgressBars
from simsmooth_jax.machine.files.manifest import SUMS
from simsmooth_jax.machine.files.writing import read_json, write_json
from simsmooth_jax.machine.processes import is_writer
from simsmooth_jax.machine.terminal import tell
from simsmooth_jax.program import finished, report
from simsmooth_jax.program.older_runs import as_recorded, by_older_defaults
from simsmooth_jax.program.recorded_config import default_directory
from simsmooth_jax.program.run_directory import REPORT, open_directory, refuse_lost_inputs
from simsmooth_jax.study.arms import ARM, RELATION, Plan, refuse_options
from simsmooth_jax.study.empty_classes import refuse_for_online
from simsmooth_jax.training.observers.recording import METRICS, MetricsLog
from simsmooth_jax.training.runner import ArmRunner
from simsmooth_jax.training.saved import checkpoints, made_from


def train(config: TrainConfig) -> None:
    """`simsmooth train`: one training, by a table of labels or labels that it makes itself."""
    devices.self_test()
    arm = ARM.get(config.labels, RELATION)
    name = f"{config.training.data.short_name}-{config.training.model.short_name}-{arm.name}"
    config = as_recorded(config, lambda _: name, *by_older_defaults(config))
    runner = ArmRunner(config.training, config.saving)
    plan = Plan.of(runner, config.uniform_epsilon)._replace(options=config.objective)
    refuse_options(arm, config.objective)
    if config.labels == "online":
        refuse_for_online(runner.dataset)
    if arm is RELATION:
        file = labels_for(Path(config.labels), runner.dataset.class_names, config.reorder)
        plan = plan._replace(table=file.table)
    elif config.reorder:
        raise InputError(
            "`reorder`", "be given with a file of labels", f"labels {arm.name}", "Leave it out."
        )
    objective = arm.objective(plan)
    runner.refuse(objective)
    fixed = identity(config, runner) | made_from.of_objective(objective)
    directory = config.out or default_directory(name, fixed)
    refuse_lost_inputs(directory, config.overwrite, inputs(config))
    absent = stored.identity_before(type(config)) | made_from.before(runner.made_from)
    steps = checkpoints.steps_directory(directory)
    promised = (METRICS, REPORT, *(() if steps == directory else (f"{steps.name}/",)))
    makes, fixed = (*promised, SUMS), fixed | runner.made_from
    with open_directory(directory, fixed, config.overwrite, absent, makes=makes):
        whole = finished.flaws(directory, promised) == []
        if not whole:
            describe(runner)
            with ProgressBars(is_writer()) as bars:
                log = MetricsLog(directory / METRICS)
                state = runner.train(arm.name, objective, steps, log, bars)
            result = {"arms": {arm.name: runner.evaluate(arm.name, state)}}
            if is_writer():
                write_json(directory / REPORT, result)
                finished.seal(directory, promised)
        if not is_writer():
            return
        result = read_json(directory / REPORT)
        show_arms(result["arms"], runner.dataset.holds, {})
        say_where(directory, whole)


def identity(config: RunConfig | TrainConfig, runner: ArmRunner) -> dict[str, Any]:
    """What must not change between the parts of a stopped run."""
    found = dataclasses.replace(config, training=config.training.absolute())
    return stored.identity(found) | {"data_sha256": runner.data_sha256()} | runner.initial_sha256()


def inputs(config: RunConfig | TrainConfig) -> dict[str, str | Path | None]:
    """The options that name files or directories, as far as they are given."""
    training = config.training
    named = {"init": training.model.init, "data": training.data.data}
    named |= {"data_dir": training.data.source.data_dir}
    if isinstance(config, RunConfig):
        return named | {"similarity": config.relation.similarity}
    return named | {"labels": config.labels}


def describe(runner: ArmRunner) -> None:
    """Says what is trained on."""
    data = runner.dataset
    parts = f"{len(data.train):,} training, {len(data.validation):,} validation"
    tell(
        f"{data.name}: {parts}, {len(data.test):,} test {data.holds} of {data.num_classes} classes"
    )
    if (initial := runner.trainer.initial) is not None:
        tell(f"initial weights of {initial.report}")


def show_arms(found: dict[str, Any], examples: str, softened: dict[str, Any]) -> None:
    """The metrics of every arm on the test split; `softened` are those at a temperature."""
    rows = {
        ARM[name].title: parts["test"] | softened.get(name, {}) for name, parts in found.items()
    }
    report.console().print(report.results_table(rows, "test", examples))


def say_where(directory: Path, finished: bool) -> None:
    """Says where the results lie."""
    state = "was finished before; --overwrite starts anew" if finished else "finished"
    tell(f"{directory}: {state}")
