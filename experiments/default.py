"""Which labels are the default: what the validation images of the studies say of each candidate.

Command:  python experiments/default.py
Time:     seconds.
Seeds:    those of the studies' rows; the test images are not looked at.
Writes:   a part of experiments/README.md between its two marks.

A candidate is a relation that needs a first model and nothing else. It qualifies on a study of
clean labels where the 95% interval of its accuracy against tuned uniform smoothing is not wholly
below 0; the default of a range of K is the one whose NLL, at its temperature, is the furthest
below uniform smoothing's, of those that qualify on each of its studies. Where none does, uniform
smoothing is recommended.

The strength is a constant as well: the range of ε that hurts least where it hurts most. Each point
of the tuning is compared with one-hot labels of the same weight decay, as a user keeps the own one.
Weight decays above one-hot's best are left out: smoothing adds to what is too much already.
"""

import pathlib
from typing import Any, NamedTuple

import numpy as np
from tables import read, replaced

from simsmooth_jax.study.comparison import inference
from simsmooth_jax.study.comparison.entrants import ENTRANT
from simsmooth_jax.study.comparison.schedule import Schedule

RANGES: dict[str, tuple[str, ...]] = {
    "10 classes": ("fashion",),  # not digits: of its 297 validation images one is 0.34 points
    "100 classes": ("features-20-0", "features-100-0", "features-5-0", "network"),
}
CANDIDATES = ("patent", "neighbours", "predictions")
SOFT = ("uniform", "predictions")
STRENGTHS = ((0.0, 0.15), (0.15, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9))
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
    return "\n".join([*lines, "", *sentences, "", *_strengths(), ""])


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
    of_arm = {arm: [each[arm] for each in found.values() if arm in each] for arm in able}
    gain = {arm: np.mean([one.uniform_nll - one.nll for one in of_arm[arm]]) for arm in able}
    return f"{ENTRANT[max(gain, key=lambda arm: gain[arm])].title}."


def _strengths() -> list[str]:
    """A table of what each range of ε adds to one-hot labels, by arm and study."""
    ranges = [f"ε {low:g} to {high:g}" for low, high in STRENGTHS]
    lines = [f"| top-1 against one-hot labels | {' | '.join(ranges)} |"]
    lines.append("|" + " --- |" * (1 + len(ranges)))
    for arm in SOFT:
        least = [np.inf] * len(STRENGTHS)
        for name in (*(name for names in RANGES.values() for name in names), "digits"):
            schedule = read(name)
            if schedule is None:
                continue
            added = [_added(schedule, arm, *one) for one in STRENGTHS]
            least = [min(pair) for pair in zip(least, added, strict=True)]
            lines.append(f"| {ENTRANT[arm].title}, `{name}` | {_shown(added)} |")
        lines.append(f"| **{ENTRANT[arm].title}, least** | {_shown(least)} |")
    return lines


def _shown(added: list[float]) -> str:
    return " | ".join(f"{one:+.2f}" if np.isfinite(one) else "" for one in added)


def _added(schedule: Schedule, arm: str, low: float, high: float) -> float:
    """Mean points of validation accuracy that a range adds; NaN where no point is in it."""
    hard, soft = ENTRANT["onehot"], ENTRANT[arm]
    most = schedule.setting(hard).weight_decay
    of_hard = {}
    for number in schedule.tried(hard):
        for seed in schedule.tuning:
            row = schedule.rows[schedule.key("tune", hard, number, seed)]
            of_hard[row["given"]["weight_decay"], seed] = row["validation"]["accuracy"]
    found = []
    for number in schedule.tried(soft):
        for seed in schedule.tuning:
            row = schedule.rows[schedule.key("tune", soft, number, seed)]
            decay = row["given"]["weight_decay"]
            if low <= row["strength"] < high and decay <= most:
                found.append(100 * (row["validation"]["accuracy"] - of_hard[decay, seed]))
    return float(np.mean(found)) if found else float("nan")


def main() -> None:
    """Puts the table into the page."""
    page = pathlib.Path(__file__).with_name("README.md")
    page.write_text(replaced(page.read_text(), START, END, written()))


if __name__ == "__main__":
    main()
