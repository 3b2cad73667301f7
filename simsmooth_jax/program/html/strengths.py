"""Validation accuracy over the strength ε of each arm: what the tuning has seen."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from simsmooth_jax.program.html.page import Figure, Picture, Table
from simsmooth_jax.program.html.svg import Chart, Scale, around

SIDE = 200  # of a panel
BINS = 10  # of the strength, of each of which the curve joins the best


class Tried(NamedTuple):
    """One point of an arm: its setting, and the mean accuracy over the tuning seeds."""

    weight_decay: float
    strength: float | None
    sharpness: float | None
    accuracy: float
    nll: float
    chosen: bool


class Tuned(NamedTuple):
    """All points of an arm."""

    title: str
    colour: str
    tried: Sequence[Tried]


def strengths(arms: Sequence[Tuned], hard: Tuned, seeds: int) -> Figure | None:
    """A panel for each arm that has a strength, with the best of one-hot labels beside it.

    Each point is the mean over so many seeds.
    """
    shown = [arm for arm in arms if any(one.strength is not None for one in arm.tried)]
    if not shown:
        return None
    everything = [one for arm in (*shown, hard) for one in arm.tried]
    best = max(one.accuracy for one in hard.tried)
    y = Scale(*around(one.accuracy for one in everything), SIDE - 14, 22)
    decays = around([one.weight_decay for one in everything], 0)
    pictures = [
        Picture(_panel(arm, y, best, decays), arm.title, _line(arm), arm.colour) for arm in shown
    ]
    varied = len({one.weight_decay for one in everything}) > 1
    at_best, lighter = "", ""
    if varied:
        at_best, lighter = (
            ", at its best weight decay",
            "the lighter a dot, the smaller its weight decay; ",
        )
    words = [
        "Accuracy on the validation images, not on the test images, of every setting that was "
        f"tried. The dashed line is {hard.title}{at_best}, {best:.1%}; {lighter}the ring is what "
        "was chosen."
    ]
    if max(len(arm.tried) for arm in shown) > 2:
        words.append("A curve joins the best setting of each tenth of the strengths.")
    return Figure(
        "strengths", "Over the strength ε, on validation", words, pictures, _table(arms, seeds)
    )


def _line(arm: Tuned) -> str:
    best = max(arm.tried, key=lambda one: one.accuracy)
    return f"best {best.accuracy:.1%} at ε {best.strength:.2f}"


def _panel(arm: Tuned, y: Scale, hard: float, decays: tuple[float, float]) -> Markup:
    chart = Chart(SIDE, SIDE + 18, f"Validation accuracy of {arm.title} over ε: {_line(arm)}")
    x = Scale(0, 1, 27, SIDE - 9)
    chart.across(x, y, "strength ε", 1, 2)
    chart.upward(x, y, "accuracy, %", 100, 4)
    chart.rule(x.start, y(hard), x.end, y(hard), "ideal")
    placed = [(one.strength or 0.0, one) for one in arm.tried]
    if len({strength for strength, _ in placed}) > 2:
        tenths: dict[int, tuple[float, Tried]] = {}
        for strength, one in placed:
            tenth = min(int(BINS * strength), BINS - 1)
            if tenth not in tenths or one.accuracy > tenths[tenth][1].accuracy:
                tenths[tenth] = strength, one
        joined = sorted(tenths.values(), key=lambda pair: pair[0])
        chart.line([(x(s), y(one.accuracy)) for s, one in joined], arm.colour)
    for strength, one in placed:
        place = x(strength), y(one.accuracy)
        if one.chosen:
            chart.dot(*place, arm.colour, 7, "ring")
        says = f"{one.accuracy:.2%} at ε {strength:.2f}, weight decay {one.weight_decay:.2g}"
        says += "" if one.sharpness is None else f", sharpness {one.sharpness:.3g}"
        shade = (one.weight_decay / decays[1]) ** 0.5 if decays[1] > 0 else 1.0
        chart.dot(*place, arm.colour, 3.6, f"shade{round(1 + 4 * min(shade, 1.0))}", says)
    return chart.svg()


def _table(arms: Sequence[Tuned], seeds: int) -> Table:
    head = ("arm", "weight decay", "ε", "sharpness", "validation accuracy %", "NLL at T", "chosen")
    rows, colours = [], []
    for arm in arms:
        for one in sorted(arm.tried, key=lambda one: -one.accuracy):
            numbers = (f"{v:.3g}" if v is not None else "" for v in (one.strength, one.sharpness))
            figures = f"{100 * one.accuracy:.2f}", f"{one.nll:.3f}"
            chosen = "yes" if one.chosen else ""
            rows.append((arm.title, f"{one.weight_decay:.2e}", *numbers, *figures, chosen))
            colours.append(arm.colour)
    means = "one training of each" if seeds == 1 else f"means over {seeds} tuning seeds"
    caption = f"Every setting that was tried: {means}, on validation."
    return Table("strengths", caption, head, rows, colours)
