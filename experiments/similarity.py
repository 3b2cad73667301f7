"""What class similarity depends on, from seeds to centring, and what it agrees with.

Command:  python experiments/similarity.py --data PATH/cifar100_features.npz
              [--confusions PATH/human_confusion.npy]
          without --data it writes the tables of the rows that are there
Time:     5 minutes beside other work, for 70 trainings.
Seeds:    10, each with its own 20 (or 100) images a class, first weights and order.
Writes:   experiments/results/similarity.jsonl, a row for each setting and source, and the tables in
          experiments/README.md between its two marks.

Stability is the mean correlation of the similarities of two seeds, over all pairs of classes and of
seeds. `same superclass` is the share of classes whose nearest other is of their superclass (chance
4.0%), `people` the rank correlation with how often people confuse two classes.
"""

import argparse
import json
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.special
from rich.progress import track
from scipy import stats
from tables import replaced

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.program.cli import enable_compilation_cache
from simsmooth_jax.study.comparison.first_models import FirstModel
from simsmooth_jax.study.comparison.points import Point
from simsmooth_jax.study.comparison.superclasses import read_superclasses
from simsmooth_jax.study.comparison.trials import Trials

SEEDS = range(10)
SETTINGS: list[Any] = [  # images a class, epochs, optimizer, rate, weight decay
    *((20, 40, "sgd", 0.03, decay) for decay in (0.0, 5e-4, 5e-3, 1e-2)),
    (20, 40, "adamw", 1e-3, 0.1),
    *((100, 8, "sgd", 0.03, decay) for decay in (5e-4, 5e-3)),
]
CENTRE = {"images": 20, "optimizer": "sgd", "weight_decay": 5e-3}
START, END = "<!-- similarity: written by similarity.py -->", "<!-- end of similarity -->"
PAGE = pathlib.Path(__file__).with_name("README.md")
ROWS = pathlib.Path(__file__).parent / "results" / "similarity.jsonl"


def sources(first: FirstModel) -> Iterator[tuple[str, np.ndarray]]:
    """Similarities `[K, K]` of one first model, by name."""
    yield "kernel", np.asarray(ss.cosine_similarity(first.kernel))
    yield "kernel, centred", np.asarray(ss.cosine_similarity(first.kernel, center=True))
    yield "mean features, centred", np.asarray(ss.cosine_similarity(first.features, center=True))
    for temperature in (1, 3):
        softened = scipy.special.softmax(first.logits / temperature, axis=1)
        means = ss.mean_predictions(softened.astype(np.float32), first.labels)
        yield f"mean predictions, T {temperature}", np.asarray(means).T
        if temperature == 1:
            yield "cosines of these", np.asarray(ss.cosine_similarity(means))


def described(
    tables: list[np.ndarray], superclasses: np.ndarray, confusions: np.ndarray | None
) -> dict[str, Any]:
    """How stable a similarity is over seeds, and what it agrees with; means over the seeds."""
    others = ~np.eye(len(superclasses), dtype=bool)
    flat = np.array([table[others] for table in tables])
    stability = np.corrcoef(flat)[np.triu_indices(len(flat), 1)]
    nearest = [np.where(others, table, -np.inf).argmax(axis=1) for table in tables]
    same = [(superclasses[near] == superclasses).mean() for near in nearest]
    sums = np.array([table.sum(axis=1) for table in tables])
    found = {
        "stability": stability.mean(),
        "stability_least": stability.min(),
        "same_superclass": np.mean(same),
        "row_sum_least": sums.min(axis=1).mean(),
        "row_sum_mean": sums.mean(),
        "row_sum_most": sums.max(axis=1).mean(),
        "negative": (flat < 0).mean(),
    }
    if confusions is not None:
        confused = (confusions + confusions.T)[others]
        agreement: Any = [stats.spearmanr(row, confused) for row in flat]
        found["people"] = np.mean([one.statistic for one in agreement])
    return {name: round(float(value), 4) for name, value in found.items()}


def written() -> str:
    """Every source at one setting, then the kernel and the mean predictions at every other."""
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()]
    centre = [row for row in rows if row | CENTRE == row]
    tables = [_table(centre, ("source",))]
    for source in ("kernel", "mean predictions, T 3"):
        some = [row for row in rows if row["source"] == source]
        tables += [f"{source}:\n", _table(some, ("images", "optimizer", "weight_decay"))]
    return "\n".join(tables)


def _table(rows: list[dict[str, Any]], named: tuple[str, ...]) -> str:
    head = [name.replace("_", " ") for name in named]
    head += ["stability", "same superclass", "people", "row sums, least to most", "negative"]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = [f"{row[name]:g}" if name == "weight_decay" else str(row[name]) for name in named]
        cells += [f"{row['stability']:.2f}", f"{row['same_superclass']:.1%}"]
        cells += [f"{row['people']:.2f}" if "people" in row else ""]
        cells += [f"{row['row_sum_least']:.2f} to {row['row_sum_most']:.2f}"]
        cells += [f"{row['negative']:.1%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Trains where there are data, and writes the tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--data", help="cifar100_features.npz")
    parser.add_argument("--confusions", help="human_confusion.npy")
    options = parser.parse_args()
    if options.data is not None:
        train(options.data, options.confusions)
    PAGE.write_text(replaced(PAGE.read_text(), START, END, written()))


def train(data: str, people: str | None) -> None:
    """Trains first models, compares them, prints and keeps the rows."""
    enable_compilation_cache()
    confusions = np.load(people) if people else None
    rows = []
    dataset = load_dataset(DataConfig(f"npz:{data}"))
    for images, epochs, optimizer, rate, decay in SETTINGS:
        training = TrainingConfig(
            DataConfig(f"npz:{data}"),
            model=ModelConfig("mlp", width=256, depth=2),
            optimizer=OptimizerConfig(optimizer, epochs, learning_rate=rate),
            steps_per_dispatch=31 if images == 20 else 52,
        )
        config = StudyConfig(training, images_per_class=images)
        superclasses: Any = read_superclasses(config, dataset)
        setting = {"images": images, "optimizer": optimizer, "weight_decay": decay}
        tables: dict[str, list[np.ndarray]] = {}
        with tempfile.TemporaryDirectory() as directory:
            trials = Trials(config, dataset, superclasses, pathlib.Path(directory))
            for seed in track(SEEDS, description=f"{images} {optimizer} {decay:g}"):
                first = trials.first_model(seed, Point(decay, None, None))
                for name, table in sources(first):
                    tables.setdefault(name, []).append(table)
        for name, some in tables.items():
            row = setting | {"source": name} | described(some, superclasses, confusions)
            rows.append(row)
            print(json.dumps(row))
        ROWS.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
