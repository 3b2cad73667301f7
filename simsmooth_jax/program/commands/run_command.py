"""`simsmooth run`: the whole method, three trainings."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from simsmooth_jax.config import options, stored
from simsmooth_jax.config.commands import RunConfig
from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.label_files import load_table
from simsmooth_jax.machine import devices
from simsmooth_jax.machine.files.manifest import SUMS
from simsmooth_jax.machine.files.writing import read_json, write_json
from simsmooth_jax.machine.memory import refuse_dense_table
from simsmooth_jax.machine.processes import is_writer
from simsmooth_jax.machine.terminal import tell
from simsmooth_jax.method.relations.diagnosis import own_mass_warning
from simsmooth_jax.program import finished, pictures, report
from simsmooth_jax.program.commands.train_command import (
    describe,
    identity,
    inputs,
    say_where,
    show_arms,
)
from simsmooth_jax.program.html.run_page import write_run
from simsmooth_jax.program.older_runs import as_recorded, by_older_defaults
from simsmooth_jax.program.recorded_config import default_directory
from simsmooth_jax.program.run_directory import (
    PAGE,
    REPORT,
    open_directory,
    refuse_lost_inputs,
)
from simsmooth_jax.study import neighbours, pipeline, relations, tuning
from simsmooth_jax.training.observers.recording import METRICS, MetricsLog
from simsmooth_jax.training.runner import ArmRunner
from simsmooth_jax.training.saved import made_from

STEPS_WITHOUT = (
    "It keeps the whole similarity. These do without it: simsmooth train, labels --top-k 32, "
    "train --labels labels.npz."
)
PROMISED = (METRICS, REPORT, "first/", "uniform/", "second/")
PROMISED += ("similarity.npz", "labels.npz", "labels.safetensors")
PROMISED += tuple(f"pictures/{name}.png" for name in ("similarity", "reliability", "curves"))
MAKES = (*PROMISED, "pictures/", SUMS)


def run(config: RunConfig) -> None:
    """`simsmooth run`: the whole method, three trainings."""
    devices.self_test()
    options.check(config)
    tuning.refuse_tuning(config)
    older = by_older_defaults(config)
    today = config.relation.resolved("mean")
    if config.tune:
        today = dataclasses.replace(today, epsilon=tuning.EPSILONS[0])  # where it begins
    config = dataclasses.replace(config, relation=today)
    config = as_recorded(config, _short_name, *older)
    if config.relation != today and is_writer():
        tell(f"going on as it began, with the defaults of then: rule {config.relation.rule}")
    runner = ArmRunner(config.training, config.saving)
    num_classes = runner.dataset.num_classes
    relations.refuse_dataset(config.relation, runner.dataset)
    if config.tune:
        tuning.refuse_streamed(runner.dataset)
    refuse_dense_table("run", num_classes, advice=STEPS_WITHOUT)
    file = relations.file_identity(config.relation, runner.dataset.class_names)
    fixed, absent = identity(config, runner) | file, stored.identity_before(type(config))
    directory = config.out or default_directory(_short_name(config), fixed)
    refuse_lost_inputs(directory, config.overwrite, inputs(config))
    absent |= made_from.before(runner.made_from)
    fixed |= runner.made_from
    with open_directory(directory, fixed, config.overwrite, absent, makes=MAKES):
        flaws = finished.flaws(directory, PROMISED)
        whole = flaws is not None and finished.only_shown(flaws)
        if not whole:
            describe(runner)
            if config.tune:
                for line in tuning.cost(runner):
                    tell(line)
            with _diagnosis_shown(directory / "first", config.relation.rule):
                result = pipeline.run_method(config, runner, directory)
            if is_writer():
                result["class_names"] = runner.dataset.class_names
                result["note"] = runner.dataset.note
                write_json(directory / REPORT, result)
        if not is_writer():
            return
        result = read_json(directory / REPORT)
        _show_run(directory, result, runner.dataset.holds)
        if flaws != []:
            _draw(directory, result)
        is_sealed = flaws == [] and (directory / SUMS).exists()
        decay = config.training.optimizer.weight_decay
        page = directory / PAGE
        tell(str(page if is_sealed else write_run(directory, result, runner.dataset, decay)))
        if flaws != []:
            finished.seal(directory, PROMISED)
        say_where(directory, whole)


def _short_name(config: RunConfig) -> str:
    data, model = config.training.data.short_name, config.training.model.short_name
    return f"{data}-{model}-{config.relation.rule}"


@contextlib.contextmanager
def _diagnosis_shown(checkpoint: Path, rule: str | None) -> Iterator[None]:
    """Prints the diagnosis of an ill-posed rule, and says how to go on without training again."""
    try:
        yield
    except pipeline.IllPosedError as error:
        if error.diagnosis is not None:
            print(error.diagnosis)
        labels = f"--rule {'mean' if rule == 'mean' else 'clip'} --out labels.npz"
        command = f"simsmooth labels {checkpoint} {labels}"
        then = f"{error.then} The first classifier is kept: {command}"
        raise InputError(error.who, error.must, error.got, then) from error


def _draw(directory: Path, result: dict[str, Any]) -> None:
    similarity = load_table(directory / "similarity.npz")
    table = np.asarray(similarity.table.to_dense())
    folder = directory / "pictures"
    pictures.draw_similarity(
        table, similarity.shown_names, folder / "similarity.png", similarity.source
    )
    tests = {arm: parts["test"] for arm, parts in result["arms"].items()}
    pictures.draw_reliability(tests, folder / "reliability.png")
    rows = MetricsLog(directory / METRICS).rows()
    pictures.draw_curves(rows, folder / "curves.png")


def _show_run(directory: Path, result: dict[str, Any], examples: str) -> None:
    similarity, labels = (
        load_table(directory / f"{name}.npz") for name in ("similarity", "labels")
    )
    console = report.console()
    table = np.asarray(similarity.table.to_dense())
    shown = neighbours.of_similarity(table, report.MAX_CLASSES)
    console.print(report.nearest_table(shown, similarity.shown_names))
    softened = result.get("at_temperature", {})  # which older runs have not
    show_arms(result["arms"], examples, softened)
    if softened:
        console.print("at T: NLL at the temperature that the validation images give.")
    own = labels.own_mass()
    console.print(
        f"Relation labels: {report.settings(labels)}. The own class keeps {own:.2f} of its label "
        "on average; related classes share the rest."
    )
    if "uniform_epsilon" in result:  # which older runs have not
        console.print(f"Uniform smoothing: epsilon {result['uniform_epsilon']:g}.")
        if result["tuning"]:
            console.print(tuning.in_words(result["tuning"]))
    if hard := report.hard_classes(labels.parameters):
        console.print(hard)
    if warning := own_mass_warning(own):
        console.print(f"Warning: {warning}.")
    if result["note"]:
        console.print(result["note"])
    console.print(report.RECOMMENDED)
