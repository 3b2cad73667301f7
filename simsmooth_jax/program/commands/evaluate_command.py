"""`simsmooth evaluate`: exact metrics of a checkpoint."""

import json

from simsmooth_jax.config.commands import EvaluateConfig
from simsmooth_jax.program import report
from simsmooth_jax.training.classifier import Classifier


def evaluate(config: EvaluateConfig) -> None:
    """`simsmooth evaluate`: exact metrics of a checkpoint."""
    classifier = Classifier.restore(config.checkpoint, config.data, config.data_dir, config.model)
    metrics = classifier.evaluate(config.split)
    if config.json:
        print(json.dumps(metrics, indent=2))
        return
    rows, examples = {str(config.checkpoint): metrics}, classifier.dataset.holds
    report.console().print(report.results_table(rows, config.split, examples))
