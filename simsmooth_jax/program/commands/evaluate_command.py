"""`simsmooth evaluate`: exact metrics of a checkpoint."""

import json

from simsmooth_jax.config.commands import EvaluateConfig
from simsmooth_jax.errors import InputError
from simsmooth_jax.program import report
from simsmooth_jax.training.classifier import Classifier
from simsmooth_jax.training.evaluation import are_finite


def evaluate(config: EvaluateConfig) -> None:
    """`simsmooth evaluate`: exact metrics of a checkpoint."""
    classifier = Classifier.restore(config.checkpoint, config.data, config.data_dir, config.model)
    metrics = classifier.evaluate(config.split)
    if not are_finite(metrics):
        raise InputError(
            f"checkpoint {config.checkpoint}: its likelihood on the {config.split} images",
            "be finite",
            "NaN or infinity",
            "Its weights are too large: take an earlier one.",
        )
    if config.json:
        print(json.dumps(metrics, indent=2))
        return
    rows, examples = {str(config.checkpoint): metrics}, classifier.dataset.holds
    report.console().print(report.results_table(rows, config.split, examples))
