"""At uniform smoothing's own setting: does it help to know which classes are alike?

Command:  python experiments/sharpness.py --data PATH/cifar100_features.npz
          without --data it writes the table of the rows that are there
Time:     7 minutes a study beside other work, for 160 trainings.
Seeds:    the 20 of each study, whose rows hold uniform smoothing's own validation figures.
Writes:   experiments/results/sharpness.jsonl, and a part of experiments/README.md.

A study tunes each arm by random points of three numbers, which are fewer for each than uniform
smoothing's of two. Here nothing is tuned: weight decay and ε are those that uniform smoothing
chose, and its rows are made less and less even. All is measured on the validation images. The mean
rule's own temperature follows: the sharpest of which the likelihood is better in both studies.
"""

import argparse
import json
import pathlib

import numpy as np
from rich.progress import track
from studies import FEATURES, RESULTS, STUDIES, at_place
from tables import read, replaced

from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.program.cli import enable_compilation_cache
from simsmooth_jax.study.comparison import inference
from simsmooth_jax.study.comparison.entrants import ENTRANT
from simsmooth_jax.study.comparison.schedule import Schedule
from simsmooth_jax.study.comparison.superclasses import read_superclasses
from simsmooth_jax.study.comparison.trials import Trials

NAMES = ("features-20-0", "features-100-0")
SHARPNESS = {"predictions": (12.0, 6.0, 3.0, 1.5), "neighbours": (89.0, 60.0, 20.0, 5.0)}
ROWS, PAGE = RESULTS / "sharpness.jsonl", pathlib.Path(__file__).with_name("README.md")
START, END = "<!-- sharpness: written by sharpness.py -->", "<!-- end of sharpness -->"


def train(name: str, data: str) -> list[str]:
    """Rows of all sharpnesses of a study, at its first models and at uniform's chosen point."""
    config = at_place(STUDIES[name], {FEATURES: f"npz:{data}"})
    dataset = load_dataset(config.training.data)
    directory = pathlib.Path("runs/studies") / name / "first-models"
    trials = Trials(config, dataset, read_superclasses(config, dataset), directory)
    schedule = _done(name)
    first, uniform = (schedule.setting(ENTRANT[arm]) for arm in ("onehot", "uniform"))
    lines = []
    for arm, sharpnesses in SHARPNESS.items():
        for sharpness in sharpnesses:
            point = uniform._replace(sharpness=sharpness)
            for seed in track(range(config.seeds), description=f"{name} {arm} {sharpness:g}"):
                found = trials.tuned(ENTRANT[arm], point, seed, first)
                row = {"study": name, "arm": arm, "sharpness": sharpness, "seed": seed}
                lines.append(json.dumps(row | found) + "\n")
    return lines


def _done(name: str) -> Schedule:
    schedule = read(name)
    assert schedule is not None, f"results/{name}.jsonl is not whole"
    return schedule


def written() -> str:
    """Paired differences to uniform smoothing on validation, from the rows of both."""
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()]
    head = ("study", "relation rows", "perplexity or τ", "top-1 against uniform", "NLL at T")
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    better = dict.fromkeys(SHARPNESS["predictions"], 0)
    for name in NAMES:
        schedule = _done(name)
        entrant, seeds = ENTRANT["uniform"], range(schedule.config.seeds)
        keys = [schedule.key("test", entrant, schedule.choice(entrant), s) for s in seeds]
        uniform = [schedule.rows[key]["validation"] for key in keys]
        for arm, sharpnesses in SHARPNESS.items():
            for sharpness in sharpnesses:
                wanted = {"study": name, "arm": arm, "sharpness": sharpness}
                found = {r["seed"]: r["validation"] for r in rows if r | wanted == r}
                cells = [f"`{name}`", ENTRANT[arm].title, f"{sharpness:g}"]
                for figure, scale, digits in (("accuracy", 100, 2), ("nll", 1, 3)):
                    values, others = (
                        np.array([scale * one[figure] for one in some])
                        for some in ([found[seed] for seed in seeds], uniform)
                    )
                    one = inference.difference(arm, "uniform", values, others, None)
                    cells.append(
                        f"{one.mean:+.{digits}f} ({one.low:+.{digits}f} to {one.high:+.{digits}f})"
                    )
                lines.append(f"| {' | '.join(cells)} |")
                if arm == "predictions":  # of whose figures NLL is the last
                    better[sharpness] += one.high < 0
    least = min(one for one in SHARPNESS["predictions"] if better[one] == len(NAMES))
    said = "The sharpest mean predictions whose NLL is below uniform smoothing's in both"
    return "\n".join([*lines, "", f"{said}: τ {least:g}.", ""])


def main() -> None:
    """Trains where there are data, and writes the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--data", help="cifar100_features.npz")
    options = parser.parse_args()
    if options.data is not None:
        enable_compilation_cache()
        ROWS.write_text("".join(line for name in NAMES for line in train(name, options.data)))
    PAGE.write_text(replaced(PAGE.read_text(), START, END, written()))


if __name__ == "__main__":
    main()
