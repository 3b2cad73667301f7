"""The tables of the studies in this folder's README, from the rows in results/.

Command:  python experiments/tables.py
Time:     seconds.
Writes:   the part of experiments/README.md between its two marks.
"""

import pathlib
import tempfile
import textwrap
from itertools import product
from typing import Any

import numpy as np
from studies import LATER, LATER_SEEDS, RESULTS, STUDIES

from simsmooth_jax.study.comparison import inference
from simsmooth_jax.study.comparison.entrants import ENTRANT, ENTRANTS
from simsmooth_jax.study.comparison.results import Results, results_of
from simsmooth_jax.study.comparison.rows import Rows, Shard
from simsmooth_jax.study.comparison.schedule import Schedule

PAGE = pathlib.Path(__file__).with_name("README.md")
START, END = "<!-- studies: written by tables.py -->", "<!-- end of studies -->"
TITLES = {"features": "CIFAR-100, frozen features", "every": "Every arm, frozen features"}
TITLES |= {"network": "CIFAR-100, ResNet-8 from scratch"}
TITLES |= {"resnet18": "CIFAR-100, ResNet-18 from scratch"}
TITLES |= {"digits": "Digits, a CNN from scratch", "fashion": "Fashion-MNIST, a CNN from scratch"}


def read(name: str) -> Schedule | None:
    """What was done of a study; None while a seed of an arm is missing, or all of it."""
    kept, config = RESULTS / f"{name}.jsonl", STUDIES[name]
    if not kept.exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        directory = pathlib.Path(folder)
        (directory / "rows-0-of-0.jsonl").write_text(kept.read_text())
        rows = Rows(directory, Shard())
    tested = {(row["arm"], row["seed"]) for row in rows if row["phase"] == "test"}
    if not {*product(config.arms, range(config.seeds))} <= tested:
        return None
    entrants = tuple(entrant for entrant in ENTRANTS if entrant.name in config.arms)
    no_trials: Any = None  # nothing is trained here
    return Schedule(config, entrants, no_trials, rows)


def results(name: str) -> Results | None:
    """What the rows of a study say, once they are whole."""
    schedule = read(name)
    if schedule is None:
        return None
    config = schedule.config
    return results_of(config, schedule, inference.contrasts_of(config.contrasts, config.arms))


def table(name: str, found: Results) -> list[str]:
    """A heading, what was compared, the table and the sentences."""
    kind, *cell = name.split("-")
    config = STUDIES[name]
    where = TITLES[kind] + (f", {config.images_per_class} images a class" if cell else "")
    noise = f", {config.label_noise:.0%} of the labels wrong" if config.label_noise else ""
    noise += "" if config.tune_weight_decay else ", without weight decay"
    seeds = len(found.arms[0].values["accuracy"])
    lines = [
        f"### {where}{noise}",
        "",
        f"`{name}`: {config.points} points for each arm, {seeds} seeds.",
        "",
    ]
    has_tree = "superclass_accuracy" in found.arms[0].means
    columns = ["arm", "top-1 %", "against uniform", *(["superclass %"] if has_tree else [])]
    columns += ["NLL at T", "AURC", "setting"]
    lines += [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    for arm in found.arms:
        means = arm.means
        cells = [ENTRANT[arm.name].title, f"{means['accuracy']:.2f}", arm.against or ""]
        cells += [f"{means['superclass_accuracy']:.2f}"] if has_tree else []
        cells += [f"{means['nll_at_temperature']:.3f}"]
        cells += [f"{means['aurc']:.4f}" if "aurc" in means else "", arm.setting]
        lines.append(f"| {' | '.join(cells)} |")
    said = [*found.sentences, likelihood(found)]
    said += [asked_later(found)] if name == "network" and seeds > LATER_SEEDS else []
    for sentence in ("", *(f"- {sentence}" for sentence in said)):
        lines += textwrap.wrap(sentence, 110, subsequent_indent="  ", break_on_hyphens=False) or [
            ""
        ]
    return [*lines, ""]


def likelihood(found: Results) -> str:
    """What was not asked beforehand: how the likelihood of each arm differs."""
    values = {arm.name: np.array(arm.values["nll_at_temperature"]) for arm in found.arms}
    others = []
    for name in values.keys() - {"uniform"}:
        differing = inference.difference(name, "uniform", values[name], values["uniform"], None)
        numbers = (differing.mean, differing.low, differing.high)
        others.append((differing.mean, name, "{:+.3f} ({:+.3f} to {:+.3f})".format(*numbers)))
    listed = ", ".join(f"{ENTRANT[name].title} {text}" for _, name, text in sorted(others))
    return f"exploratory, NLL at T against uniform smoothing: {listed}."


def asked_later(found: Results) -> str:
    """What the first seeds had suggested, of the seeds after them alone; p adjusted by Holm."""
    values = {
        arm.name: np.array(arm.values["nll_at_temperature"])[LATER_SEEDS:] for arm in found.arms
    }
    seeds = LATER_SEEDS + len(values["predictions"])
    differences = inference.holm(
        [
            inference.difference("predictions", than, values["predictions"], values[than], None)
            for than in LATER
        ]
    )
    listed = ", ".join(
        f"{ENTRANT[one.than].title} {one.mean:+.3f} ({one.low:+.3f} to {one.high:+.3f}), "
        f"p {one.p_holm:.2g}"
        for one in differences
    )
    return (
        f"asked when seeds 0 to {LATER_SEEDS - 1} were known, answered by {LATER_SEEDS} to "
        f"{seeds - 1}: NLL at T of mean predictions against {listed}."
    )


def written() -> str:
    """All of the tables, in the order of the studies."""
    lines = []
    for name in STUDIES:
        if (found := results(name)) is not None:
            lines += table(name, found)
    return "\n".join(lines)


def replaced(page: str, start: str, end: str, text: str) -> str:
    """A page with another text between two marks."""
    before, rest = page.split(start)
    _, after = rest.split(end)
    return f"{before}{start}\n\n{text}{end}{after}"


def main() -> None:
    """Puts the tables into the page."""
    PAGE.write_text(replaced(PAGE.read_text(), START, END, written()))


if __name__ == "__main__":
    main()
