"""The arms of `simsmooth run` over ten paired seeds on scikit-learn's digits.

Command:  python experiments/digits.py
Time:     1 minute on two CPU cores.
Seeds:    10, paired: the arms of a seed share initial weights and the order of the images.
Writes:   experiments/digits.jsonl, a row for each seed and arm, and prints the table below.
          Rows that are there are kept: stop it and start it again. Delete the file to repeat.

Result:   uniform smoothing is better than one-hot labels by 0.70 ± 0.22 points. Relation labels
          (clip, epsilon 1) are not measurably better than one-hot labels (0.14 ± 0.20) and worse
          than uniform smoothing (-0.56 ± 0.22); with the own class at 0.85 of its label, they are
          under-confident, which NLL and ECE show. Intervals are 95%, over seeds; there is one test
          split of 500 images.
"""

import json
import pathlib
from typing import Any

import numpy as np
from rich.progress import track
from scipy import stats

import simsmooth_jax as ss
from simsmooth_jax.config.commands import RunConfig
from simsmooth_jax.method.objectives import label_table
from simsmooth_jax.program.cli import enable_compilation_cache
from simsmooth_jax.training.loop import train
from simsmooth_jax.training.runner import ArmRunner

SEEDS = range(10)
ARMS = ("onehot", "uniform", "relation")
METRICS = {"accuracy": ("top-1 %", 100), "nll": ("NLL x100", 100), "ece": ("ECE %", 100)}
ROWS = pathlib.Path(__file__).with_suffix(".jsonl")


def run_seed(runner: ArmRunner, config: RunConfig, seed: int) -> list[dict[str, Any]]:
    """Trains the three arms of a seed, the second model on the labels of its own first model."""
    num_classes = runner.dataset.num_classes
    first = train(runner.trainer, label_table(ss.onehot_labels(num_classes)), seed)
    kernel = ss.head_kernel(first.params)
    tables = {
        "uniform": ss.uniform_labels(num_classes, config.uniform_epsilon),
        "relation": ss.relation_labels_from_kernel(kernel),
    }
    states = {"onehot": first}
    states |= {
        arm: train(runner.trainer, label_table(table), seed) for arm, table in tables.items()
    }
    own_mass = float(np.diagonal(tables["relation"]).mean())
    rows = []
    for arm in ARMS:
        test = runner.evaluate(states[arm])["test"]
        values = {name: test[name] for name in ("accuracy", "nll", "ece", "brier", "aurc")}
        rows.append({"seed": seed, "arm": arm, **values, "relation_own_mass": own_mass})
    return rows


def interval(values: np.ndarray) -> str:
    """Mean over seeds and half its 95% interval (Student's t), as `98.52 ± 0.13`."""
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    return f"{values.mean():.2f} ± {(high - low) / 2:.2f}"


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: each arm's mean, and its paired differences, over the seeds."""
    lines = [
        "| arm | " + " | ".join(title for title, _ in METRICS.values()) + " |",
        "| --- |" + " --- |" * len(METRICS),
    ]
    values = {
        (arm, name): scale * np.array([row[name] for row in rows if row["arm"] == arm])
        for arm in ARMS
        for name, (_, scale) in METRICS.items()
    }
    for arm in ARMS:
        cells = [interval(values[arm, name]) for name in METRICS]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    for arm, other in (("uniform", "onehot"), ("relation", "onehot"), ("relation", "uniform")):
        cells = [interval(values[arm, name] - values[other, name]) for name in METRICS]
        lines.append(f"| {arm} - {other} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Trains what is missing and prints the table."""
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []
    missing = [seed for seed in SEEDS if sum(row["seed"] == seed for row in rows) < len(ARMS)]
    if missing:
        enable_compilation_cache()
        config = RunConfig()
        runner = ArmRunner(config.training, config.saving)
        for seed in track(missing, description="seeds"):
            new = run_seed(runner, config, seed)
            with ROWS.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in new)
            rows += new
    print(table(rows))


if __name__ == "__main__":
    main()
