"""Which labels are the default: what the validation images of the studies say of each candidate.

Command:  python experiments/default.py
Time:     seconds.
Seeds:    those of the studies' rows; the test images are not looked at.
Writes:   a part of experiments/README.md between its two marks.

A candidate is a relation that needs a first model and nothing else. It qualifies on a study of
clean labels where the 95% interval of its accuracy against tuned uniform smoothing is not wholly
below 0; the default of a range of K is the one of the least NLL, at its temperature, of those that
qualify on each of its studies. Where none does, uniform smoothing is recommended.
"""

import pathlib
from typing import Any, NamedTuple

import numpy as np
from tables import read, replaced

from simsmooth_jax.study.comparison import inference
from simsmooth_jax.study.comparison.entrants import ENTRANT
from simsmooth_jax.study.comparison.schedule import Schedule

RANGES: dict[str, tuple[str, ...]] = {
    "10 classes": ("digits", "fashion"),
    "100 classes": ("features-20-0", "features-100-0", "features-5-0", "network"),
}
CANDIDATES = ("patent", "neighbours", "predictions")
START, END = "<!-- the default: written by default.py -->", "<!-- end of the default -->"


class Judged(NamedTuple):
    """A candidate on the validation images of a study."""

    accuracy: inference.Difference
    nll: float
    uniform_nll: float
    setting: str

    @property
    def qualifies(self) -> bool:
        """Whether it may be as good as uniform smoothing in accuracy."""
        return self.accuracy.high >= 0

    @property
    def shown(self) -> str:
        """Its cells of the table."""
        found = self.accuracy
        against = f"{found.mean:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
        return f"{against} | {self.nll:.3f} | {self.uniform_nll:.3f} | {self.setting}"


def judged(schedule: Schedule, arm: str) -> Judged:
    """A candidate against tuned uniform smoothing, each at what it was tuned to."""
    accuracy, nll = (
        {name: _of_seeds(schedule, name, figure) for name in (arm, "uniform")}
        for figure in ("accuracy", "nll")
    )
    found = inference.difference(arm, "uniform", accuracy[arm], accuracy["uniform"], None)
    point = schedule.setting(ENTRANT[arm])
    sharpness = "" if point.sharpness is None else f", τ {point.sharpness:.2g}"
    setting = f"ε {point.strength:.2f}{sharpness}"
    return Judged(found, float(nll[arm].mean()), float(nll["uniform"].mean()), setting)


def _of_seeds(schedule: Schedule, arm: str, figure: str) -> Any:
    entrant = ENTRANT[arm]
    point, scale = schedule.choice(entrant), 100 if figure == "accuracy" else 1
    rows = [
        schedule.rows[schedule.key("test", entrant, point, seed)]
        for seed in range(schedule.config.seeds)
    ]
    return np.array([scale * row["validation"][figure] for row in rows])


def written() -> str:
    """The table of all candidates, and the sentence of each range."""
    lines = ["| study | candidate | top-1 against uniform | NLL at T | of uniform | setting |"]
    lines.append("|" + " --- |" * 6)
    sentences = []
    for classes, names in RANGES.items():
        found = {name: _of_study(name) for name in names}
        found = {name: each for name, each in found.items() if each}
        for name, each in found.items():
            for arm, one in each.items():
                lines.append(f"| `{name}` | {ENTRANT[arm].title} | {one.shown} |")
        if found:
            sentences.append(f"- {classes}: {_verdict(found)}")
    return "\n".join([*lines, "", *sentences, ""])


def _of_study(name: str) -> dict[str, Judged]:
    schedule = read(name)
    if schedule is None:
        return {}
    arms = [entrant.name for entrant in schedule.entrants if entrant.name in CANDIDATES]
    return {arm: judged(schedule, arm) for arm in arms}


def _verdict(found: dict[str, dict[str, Judged]]) -> str:
    tried = [arm for arm in CANDIDATES if any(arm in each for each in found.values())]
    able = [
        arm for arm in tried if all(each[arm].qualifies for each in found.values() if arm in each)
    ]
    if not able:
        return "no candidate qualifies; uniform smoothing is recommended."
    mean = {arm: np.mean([each[arm].nll for each in found.values() if arm in each]) for arm in able}
    return f"{ENTRANT[min(mean, key=lambda arm: mean[arm])].title}."


def main() -> None:
    """Puts the table into the page."""
    page = pathlib.Path(__file__).with_name("README.md")
    page.write_text(replaced(page.read_text(), START, END, written()))


if __name__ == "__main__":
    main()
