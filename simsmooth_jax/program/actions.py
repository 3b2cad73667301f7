"""What each command does: check everything, do the work, show the result."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simsmooth_jax import determinism, options, pictures, pipeline, relations, report
from simsmooth_jax.arms import ArmRunner
from simsmooth_jax.classifier import Classifier
from simsmooth_jax.commands import EvaluateConfig, TrainConfig
from simsmooth_jax.config import RunConfig
from simsmooth_jax.diagnosis import own_mass_warning
from simsmooth_jax.distributed import from_writer, is_writer
from simsmooth_jax.errors import InputError
from simsmooth_jax.files import read_json, write_json
from simsmooth_jax.forms import onehot_table, uniform_table
from simsmooth_jax.label_files import load_labels, load_table, table_sha256
from simsmooth_jax.memory import refuse_dense_table
from simsmooth_jax.metrics_log import MetricsLog
from simsmooth_jax.progress import ProgressBars
from simsmooth_jax.run_directory import (
    METRICS,
    REPORT,
    default_directory,
    open_directory,
)

FREE = (
    "out",
    "overwrite",
    "saving",
    "distributed",
)  # may change between the parts of a stopped run
STEPS_WITHOUT = (
    "It keeps the whole similarity. These do without it: simsmooth train, labels --top-k 32, "
    "train --labels labels.npz."
)
PROMISED = (METRICS, REPORT, "first", "uniform", "second")
PROMISED += ("similarity.npz", "labels.npz", "labels.safetensors")
PROMISED += tuple(f"pictures/{name}.png" for name in ("similarity", "reliability", "curves"))


def run(config: RunConfig) -> None:
    """`simsmooth run`: the whole method, three trainings."""
    determinism.self_test()
    training = config.training
    runner = ArmRunner(training, config.saving)
    num_classes = runner.dataset.num_classes
    options.refuse_relation(config.relation, num_classes)
    refuse_dense_table("run", num_classes, advice=STEPS_WITHOUT)
    options.refuse_uniform_epsilon(config.uniform_epsilon)
    file = relations.file_identity(config.relation, runner.dataset.class_names)
    identity = _identity(config, runner) | file
    name = f"{training.data.short_name}-{training.model.model}-{config.relation.rule}"
    directory = config.out or default_directory(name, identity)
    with open_directory(directory, identity, config.overwrite):
        found = all((directory / name).exists() for name in PROMISED)
        finished = from_writer("finished", found)
        if not finished:
            _describe(runner)
            with _diagnosis_shown(directory / "first"):
                result = pipeline.run_method(config, runner, directory)
        if not is_writer():
            return
        if not finished:
            _draw(directory, result)
            result["class_names"] = runner.dataset.class_names
            result["note"] = runner.dataset.note
            write_json(directory / REPORT, result)
        _show_run(directory, finished)


def train(config: TrainConfig) -> None:
    """`simsmooth train`: one training against one table."""
    determinism.self_test()
    runner = ArmRunner(config.training, config.saving)
    num_classes = runner.dataset.num_classes
    if config.labels == "onehot":
        table, arm = onehot_table(num_classes), "onehot"
    elif config.labels == "uniform":
        options.refuse_uniform_epsilon(config.uniform_epsilon)
        table, arm = uniform_table(num_classes, config.uniform_epsilon), "uniform"
    else:
        table = load_labels(Path(config.labels), runner.dataset.class_names).table
        arm = "relation"
    identity = _identity(config, runner) | {"table_sha256": table_sha256(table)}
    name = f"{config.training.data.short_name}-{config.training.model.model}-{arm}"
    directory = config.out or default_directory(name, identity)
    with open_directory(directory, identity, config.overwrite):
        finished = from_writer("finished", (directory / REPORT).exists())
        if not finished:
            _describe(runner)
            with ProgressBars() as bars:
                log = MetricsLog(directory / METRICS)
                state = runner.train(arm, table, directory, log, bars)
            result = {"arms": {arm: runner.evaluate(state)}}
            if is_writer():
                write_json(directory / REPORT, result)
        if not is_writer():
            return
        result = read_json(directory / REPORT)
        _show_arms(result["arms"])
        _say_where(directory, finished)


def evaluate(config: EvaluateConfig) -> None:
    """`simsmooth evaluate`: exact metrics of a checkpoint."""
    classifier = Classifier.restore(config.checkpoint, config.data, config.data_dir)
    metrics = classifier.evaluate(config.split)
    if config.json:
        print(json.dumps(metrics, indent=2))
        return
    report.console().print(report.results_table({str(config.checkpoint): metrics}, config.split))


def _identity(config: Any, runner: ArmRunner) -> dict[str, Any]:
    """What must not change between the parts of a stopped run."""
    values = dataclasses.asdict(config) | {"training": config.training.to_json()}
    del values["training"]["data"]["source"]["data_dir"], values["training"]["data"]["workers"]
    del values["training"]["steps_per_dispatch"]
    kept = {key: values[key] for key in values if key not in FREE}
    return kept | {"data_sha256": runner.data_sha256()}


@contextlib.contextmanager
def _diagnosis_shown(checkpoint: Path) -> Iterator[None]:
    """Prints the diagnosis of an ill-posed rule, and says how to go on without training again."""
    try:
        yield
    except pipeline.IllPosedError as error:
        print(error.diagnosis or "")
        command = f"simsmooth labels {checkpoint} --rule clip --out labels.npz"
        raise InputError(f"{error} The first classifier is kept: {command}") from error


def _describe(runner: ArmRunner) -> None:
    data = runner.dataset
    parts = f"{len(data.train):,} training, {len(data.validation):,} validation"
    print(f"{data.name}: {parts}, {len(data.test):,} test images of {data.num_classes} classes")


def _draw(directory: Path, result: dict[str, Any]) -> None:
    similarity = load_table(directory / "similarity.npz")
    folder = directory / "pictures"
    pictures.draw_similarity(
        similarity.table, similarity.class_names, folder / "similarity.png", similarity.source
    )
    tests = {arm: parts["test"] for arm, parts in result["arms"].items()}
    pictures.draw_reliability(tests, pipeline.TITLES, folder / "reliability.png")
    rows = MetricsLog(directory / METRICS).rows()
    pictures.draw_curves(rows, pipeline.TITLES, folder / "curves.png")


def _show_run(directory: Path, finished: bool) -> None:
    result = read_json(directory / REPORT)
    similarity, labels = (
        load_table(directory / f"{name}.npz") for name in ("similarity", "labels")
    )
    console = report.console()
    console.print(report.nearest_table(similarity.table, similarity.class_names))
    _show_arms(result["arms"])
    own = labels.own_mass()
    console.print(
        f"Relation labels: rule {labels.rule}, epsilon {labels.parameters['epsilon']:g}. The own "
        f"class keeps {own:.2f} of its label on average; related classes share the rest."
    )
    if warning := own_mass_warning(own):
        console.print(f"Warning: {warning}.")
    if result["note"]:
        console.print(result["note"])
    _say_where(directory, finished)


def _show_arms(arms: dict[str, Any]) -> None:
    rows = {pipeline.TITLES[arm]: parts["test"] for arm, parts in arms.items()}
    report.console().print(report.results_table(rows, "test"))


def _say_where(directory: Path, finished: bool) -> None:
    state = "was finished before; --overwrite starts anew" if finished else "finished"
    print(f"{directory}: {state}")
