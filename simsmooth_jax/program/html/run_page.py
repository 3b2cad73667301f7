"""The page of one run: three classifiers, one seed."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from simsmooth_jax.data.dataset import Dataset
from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.label_files import load_table
from simsmooth_jax.machine.files.writing import read_json
from simsmooth_jax.program import report
from simsmooth_jax.program.html import explorer
from simsmooth_jax.program.html.calibration import Measured, reliability, risk_coverage
from simsmooth_jax.program.html.page import Figure, Page, Said, Table, write_page
from simsmooth_jax.program.html.strengths import Tried, Tuned, strengths
from simsmooth_jax.program.pictures import TITLES
from simsmooth_jax.program.recorded_config import CONFIG
from simsmooth_jax.program.report import COLUMNS, RECOMMENDED
from simsmooth_jax.study.agreement import stability
from simsmooth_jax.study.arms import ARM, ONEHOT, RELATION, UNIFORM
from simsmooth_jax.study.comparison.superclasses import of_data
from simsmooth_jax.study.tuning import best, in_words

ONE_SEED = (
    "One training of each is one draw: there is no forest plot of paired differences here. The "
    "command simsmooth study makes one, over many seeds."
)


def write_run(
    directory: Path, result: dict[str, Any], dataset: Dataset, weight_decay: float
) -> Path:
    """Writes report.html and its tables into the directory of a finished run.

    Args:
      directory: of the run, with its similarity.npz.
      result: what report.json holds.
      dataset: what it was trained on.
      weight_decay: of all of its trainings.
    """
    softened = result.get("at_temperature", {})  # which older runs have not
    tests = {name: parts["test"] | softened.get(name, {}) for name, parts in result["arms"].items()}
    arms = [Measured(ARM[name].title, ARM[name].colour, [test]) for name, test in tests.items()]
    labels, file = (load_table(directory / f"{name}.npz") for name in ("labels", "similarity"))
    similarity = np.asarray(file.table.to_dense(), np.float64)
    names, tree = file.shown_names, _superclasses(directory, dataset)
    source = TITLES.get(file.source, f"Similarity of the classes ({file.source})")
    count = next(iter(tests.values()))["count"]
    settings = _settings(result, report.settings(labels))
    chosen = in_words(result["tuning"]) if result.get("tuning") else ""
    figures = [reliability(arms), risk_coverage(arms), _tuning(result, weight_decay)]
    page = Page(
        title=f"Three classifiers on {dataset.name}",
        compared=[
            "The same network trained three times: on one-hot labels, with uniform smoothing, and "
            f"on relation labels ({report.settings(labels)}) from the first one.",
            f"{dataset.num_classes} classes, {len(dataset.train):,} training {dataset.holds}, "
            f"{count:,} to test on.",
        ],
        said=[Said("one seed", "open", _sentence(tests, dataset.holds))],
        notes=[note for note in (RECOMMENDED, ONE_SEED, chosen, result.get("note", "")) if note],
        results=_results(tests, count, dataset.holds, settings),
        figures=[figure for figure in figures if figure is not None],
        explorer=explorer.explorer(stability([similarity]), 1, names, source, tree),
    )
    return write_page(page, directory)


def _superclasses(directory: Path, dataset: Dataset) -> Int[np.ndarray, " classes"] | None:
    """Those that npz: data hold; none where these are gone or unfit, as the run itself is done."""
    try:
        return of_data(read_json(directory / CONFIG)["training"]["data"]["data"], dataset)
    except (InputError, KeyError):  # what is as it was by default is not written
        return None


def _sentence(tests: dict[str, dict[str, Any]], examples: str) -> str:
    """What the three have got right, and by how many images they differ."""
    shown = [f"{ARM[name].title} {100 * test['accuracy']:.2f}%" for name, test in tests.items()]
    right = [round(test["accuracy"] * test["count"]) for test in tests.values()]
    listed = ", ".join(shown)
    return (
        f"Top-1 on test: {listed}. Between the best and the worst lie {max(right) - min(right):,} "
        f"{examples}; what another seed would change is not known."
    )


def _settings(result: dict[str, Any], relation: str) -> dict[str, str]:
    """By arm; of uniform smoothing older runs do not say it."""
    uniform = f"epsilon {result['uniform_epsilon']:g}" if "uniform_epsilon" in result else ""
    return {UNIFORM.name: uniform, RELATION.name: relation}


def _tuning(result: dict[str, Any], decay: float) -> Figure | None:
    """The weights that were tried on validation, where they were."""
    rows = result.get("tuning")
    if not rows:
        return None
    hard = result["arms"][ONEHOT.name]["validation"]
    first = Tried(decay, None, None, hard["accuracy"], hard["nll"], True)
    arms = []
    for arm in (UNIFORM, RELATION):
        chosen = best(rows, arm)
        tried = [
            Tried(decay, r["epsilon"], None, r["accuracy"], r["nll"], r["epsilon"] == chosen)
            for r in rows
            if r["arm"] == arm.name
        ]
        arms.append(Tuned(arm.title, arm.colour, tried))
    return strengths(arms, Tuned(ONEHOT.title, ONEHOT.colour, [first]), seeds=1)


def _results(
    tests: dict[str, dict[str, Any]], count: int, examples: str, settings: dict[str, str]
) -> Table:
    known = {key: one for key, one in COLUMNS.items() if all(key in t for t in tests.values())}
    rows = [
        (
            ARM[name].title,
            *(f"{scale * test[key]:.{digits}f}" for key, (_, scale, digits) in known.items()),
        )
        for name, test in tests.items()
    ]
    head = ("classifier", *(title for title, _, _ in known.values()))
    colours = [ARM[name].colour for name in tests]
    lines = [settings.get(name, "") for name in tests]
    return Table("results", f"Test split, {count:,} {examples}.", head, rows, colours, lines)
