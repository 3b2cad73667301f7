"""The method on one screen: classifier, similarity, labels, second classifier (claims 1, 8)."""

import contextlib
import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.progress import Progress

from simsmooth_jax.config import options
from simsmooth_jax.config.commands import RunConfig
from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.label_files import TableFile, load_table
from simsmooth_jax.formats.stores.class_names import called_by_name
from simsmooth_jax.machine.bars import ProgressBars, advance
from simsmooth_jax.machine.processes import is_writer
from simsmooth_jax.method.arrays import strips
from simsmooth_jax.method.relations.diagnosis import Diagnosis
from simsmooth_jax.metrics import fit_temperature
from simsmooth_jax.study import tuning
from simsmooth_jax.study.arms import ONEHOT, RELATION, UNIFORM, Arm, Plan
from simsmooth_jax.study.comparison import measures
from simsmooth_jax.study.relations import Relations, find_relations
from simsmooth_jax.training.observers.recording import METRICS, MetricsLog
from simsmooth_jax.training.runner import ArmRunner
from simsmooth_jax.training.step import TrainState

ROUNDING = 1e-5  # of a label that is computed again


def run_method(config: RunConfig, runner: ArmRunner, directory: Path) -> dict[str, Any]:
    """The whole method in a run directory; steps that are done there already are not repeated."""
    options.check(config)
    names, log = runner.dataset.class_names, MetricsLog(directory / METRICS)
    tuned: tuning.Rows = []
    plan = Plan.of(runner, config.uniform_epsilon)
    with ProgressBars(is_writer()) as bars:
        first = ONEHOT.train(runner, plan, directory / "first", log, bars)
        with watched(bars.live, "comparing the classes"):
            relations = find_relations(runner.classifier(first), config.relation)
            labels, similarity = make_labels(relations, names), similarity_file(relations, names)
        if config.tune:
            tuned = tuning.tuned(runner, plan, relations, directory, bars)
            plan = plan._replace(uniform_epsilon=tuning.best(tuned, UNIFORM))
            weighted = tuning.of_weight(relations, tuning.best(tuned, RELATION))
            labels = make_labels(weighted, names)
        labels = _as_kept(directory / "labels.npz", labels)
        if is_writer():
            for suffix in ("npz", "safetensors"):
                labels.save(directory / f"labels.{suffix}")
            similarity.save(directory / "similarity.npz")
        plan = plan._replace(table=labels.table)
        uniform = UNIFORM.train(runner, plan, directory / "uniform", log, bars)
        second = RELATION.train(runner, plan, directory / "second", log, bars)
    states = {ONEHOT: first, UNIFORM: uniform, RELATION: second}
    return {
        "arms": {arm.name: runner.evaluate(arm.name, state) for arm, state in states.items()},
        "uniform_epsilon": plan.uniform_epsilon,
        "tuning": tuned,
        "at_temperature": {} if runner.dataset.streamed else _softened(states, runner),
        "diagnosis": None
        if relations.diagnosis is None
        else dataclasses.asdict(relations.diagnosis),
    }


def _softened(states: dict[Arm, TrainState], runner: ArmRunner) -> dict[str, Any]:
    """By arm: its test images at the temperature that the validation images give."""
    data, found = runner.dataset, {}
    for arm, state in states.items():
        validation, test = (
            (runner.evaluator.logits(state.params, state.batch_stats, split), split.all_labels())
            for split in (data.validation, data.test)
        )
        temperature = fit_temperature(*validation)
        found[arm.name] = {"temperature": temperature} | measures.softened(*test, temperature)
    return found


@contextlib.contextmanager
def watched(bars: Progress, description: str) -> Iterator[None]:
    """A bar of the strips of large tables; where nobody looks they are computed without it."""
    task = bars.add_task(description, total=None, metrics="")
    watcher = partial(advance, bars, task) if bars.console.is_interactive else None
    with strips.watched_by(watcher):
        yield
    bars.update(task, visible=False)


def make_labels(relations: Relations, class_names: tuple[str, ...]) -> TableFile:
    """Similarity -> labels, ready to be saved; an ill-posed rule is diagnosed."""
    parameters = dataclasses.asdict(relations.config)
    rule, source = parameters.pop("rule"), parameters.pop("similarity")
    del parameters["empty_classes"]
    parameters |= relations.kept.noted(class_names)
    try:
        with called_by_name(class_names, relations.kept.places):
            labels = jax.device_get(relations.labels())
    except InputError as error:
        parts = (error.who, error.must, error.got, error.then)
        raise IllPosedError(*parts, relations.diagnosis) from error
    return TableFile(labels, class_names, rule, parameters, source, relations.sha256)


def _as_kept(path: Path, made: TableFile) -> TableFile:
    """The labels in a file where the new ones differ from them in rounding alone.

    A run that goes on with other devices or versions computes them anew, and what was trained
    against the old ones would be another objective's.
    """
    try:
        kept = load_table(path)
    except InputError:  # none yet, or damaged: made anew
        return made
    sources = dataclasses.replace(kept, table=made.table, source_sha256=made.source_sha256)
    if sources != made:
        return made
    pairs = zip(kept.table.arrays().values(), made.table.arrays().values(), strict=True)
    same = all(a.shape == b.shape and np.allclose(a, b, rtol=0, atol=ROUNDING) for a, b in pairs)
    return kept if same else made


def similarity_file(relations: Relations, class_names: tuple[str, ...]) -> TableFile:
    """The similarity itself, ready to be saved."""
    config, table = relations.config, np.asarray(relations.similarity)
    parameters = {"center": config.center} | relations.kept.noted(class_names)
    return TableFile(table, class_names, "cosine", parameters, config.source, relations.sha256)


class IllPosedError(InputError):
    """The rule gives no labels on this kernel; `diagnosis` says why and which rules do."""

    def __init__(
        self, who: str, must: str, got: object, then: str, diagnosis: Diagnosis | None = None
    ) -> None:
        """Keeps the diagnosis for the program to show."""
        super().__init__(who, must, got, then)
        self.diagnosis = diagnosis
