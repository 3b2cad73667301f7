"""The method on one screen: classifier, similarity, labels, second classifier (claims 1, 8)."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from simsmooth_jax.arms import ArmRunner
from simsmooth_jax.config import RelationConfig, RunConfig
from simsmooth_jax.diagnosis import Diagnosis, diagnose
from simsmooth_jax.errors import InputError
from simsmooth_jax.heads import head_kernel
from simsmooth_jax.label_files import TableFile, array_sha256
from simsmooth_jax.labels import onehot_labels, relation_labels, uniform_labels
from simsmooth_jax.metrics_log import MetricsLog
from simsmooth_jax.progress import ProgressBars
from simsmooth_jax.run_directory import METRICS
from simsmooth_jax.similarity import cosine_similarity

TITLES = {
    "onehot": "first model (one-hot)",
    "uniform": "uniform smoothing",
    "relation": "second model (relation labels)",
}


def run_method(config: RunConfig, runner: ArmRunner, directory: Path) -> dict[str, Any]:
    """The whole method in a run directory; steps that are done there already are not repeated."""
    num_classes, names = runner.dataset.num_classes, runner.dataset.class_names
    log = MetricsLog(directory / METRICS)
    with ProgressBars() as bars:
        first = runner.train("onehot", onehot_labels(num_classes), directory / "first", log, bars)
        similarity, labels, diagnosis = make_labels(
            head_kernel(first.params), names, config.relation
        )
        similarity.save(directory / "similarity.npz")
        labels.save(directory / "labels.npz")
        baseline = uniform_labels(num_classes, config.uniform_epsilon)
        uniform = runner.train("uniform", baseline, directory / "uniform", log, bars)
        second = runner.train("relation", labels.table, directory / "second", log, bars)
    states = {"onehot": first, "uniform": uniform, "relation": second}
    return {
        "arms": {arm: runner.evaluate(state) for arm, state in states.items()},
        "diagnosis": dataclasses.asdict(diagnosis),
    }


def make_labels(
    kernel: Any, class_names: tuple[str, ...], config: RelationConfig
) -> tuple[TableFile, TableFile, Diagnosis]:
    """Kernel -> similarity -> labels, each ready to be saved; an ill-posed rule is diagnosed."""
    diagnosis = diagnose(kernel, center=config.center, temperature=config.temperature)
    similarity = cosine_similarity(kernel, center=config.center)
    parameters = dataclasses.asdict(config)
    rule, center = parameters.pop("rule"), parameters.pop("center")
    try:
        labels = relation_labels(similarity, rule, **parameters)
    except InputError as error:
        raise IllPosedError(str(error), diagnosis) from error
    sha256 = array_sha256(kernel)
    return (
        TableFile(np.asarray(similarity), class_names, "cosine", {"center": center}, sha256),
        TableFile(np.asarray(labels), class_names, rule, {**parameters, "center": center}, sha256),
        diagnosis,
    )


class IllPosedError(InputError):
    """The rule gives no labels on this kernel; `diagnosis` says why and which rules do."""

    def __init__(self, message: str, diagnosis: Diagnosis) -> None:
        """Keeps the diagnosis for the program to show."""
        super().__init__(message)
        self.diagnosis = diagnosis
