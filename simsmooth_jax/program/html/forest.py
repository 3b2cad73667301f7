"""The forest plot: paired differences of accuracy with their intervals, and each seed's."""

from collections.abc import Sequence
from typing import NamedTuple

from simsmooth_jax.program.html.page import Figure, Picture, Table
from simsmooth_jax.program.html.svg import Chart, Scale, around, minus
from simsmooth_jax.study.comparison.inference import Difference

WIDTH, ROW, EDGE = 480, 44, 12


class Compared(NamedTuple):
    """A difference in points, with what the plot says of it."""

    title: str
    colour: str
    found: Difference
    paired: Sequence[float]  # of each seed
    named: bool  # before the study

    @property
    def figures(self) -> str:
        """The mean with its interval."""
        one = self.found
        return minus(f"{one.mean:+.2f} ({one.low:+.2f} to {one.high:+.2f})")


def forest(compared: Sequence[Compared], margin: float) -> Figure:
    """Those named beforehand above, the rest below them."""
    groups = [[one for one in compared if one.named is named] for named in (True, False)]
    headed = [
        (title, group)
        for title, group in zip(("Named beforehand", "Explored afterwards"), groups, strict=True)
        if group
    ]
    height = 30 * len(headed) + ROW * len(compared) + 60
    words = f"Paired differences in points of top-1 accuracy: {len(compared)} pairs of arms"
    chart = Chart(WIDTH, height, f"{words}; the table holds the figures.")
    ends = [v for one in compared for v in (*one.paired, one.found.low, one.found.high)]
    low, high = around([*ends, 2 * margin, -2 * margin], least=0.1)
    x, y = Scale(low, high, EDGE, WIDTH - EDGE), Scale(0, 1, height - 40, 4)
    chart.add(
        '<rect x="{x:g}" y="4" width="{w:g}" height="{h:g}" class="band"/>',
        x=x(-margin),
        w=x(margin) - x(-margin),
        h=height - 44,
    )
    chart.across(x, y, "points of top-1 accuracy by which the first is better", count=6)
    chart.rule(x(0), y.start, x(0), y.end, "zero")
    top = 4.0
    for title, group in headed:
        chart.text(EDGE, top + 17, title, "head")
        top += 30
        for one in group:
            _row(chart, x, top, one)
            top += ROW
    return Figure(
        "differences",
        "Paired differences",
        _words(compared, margin),
        [Picture(chart.svg())],
        _table(compared, margin),
    )


def _row(chart: Chart, x: Scale, top: float, one: Compared) -> None:
    middle = top + 27
    chart.text(EDGE, top + 10, one.title, "name")
    mean = minus(f"{one.found.mean:+.2f}")
    chart.text(WIDTH - EDGE, top + 10, mean, "name", "end")
    for value in one.paired:
        chart.dot(x(value), middle, one.colour, 2.4, "faint")
    ends = x(one.found.low), x(one.found.high)
    chart.line(
        [(ends[0], middle), (ends[1], middle)],
        one.colour,
        "interval" if one.named else "interval thin",
    )
    kind = "" if one.named else "hollow"
    chart.dot(x(one.found.mean), middle, one.colour, 5, kind, f"{one.title}: {one.figures}")


def _words(compared: Sequence[Compared], margin: float) -> list[str]:
    seeds = compared[0].found.seeds
    words = [
        f"A dot is the mean over {seeds} paired seeds, its bar the 95% interval (BCa bootstrap), "
        f"the faint dots are the seeds. The band is the margin, ±{margin:g} points: a difference "
        "is none where two one-sided tests exclude a larger one; a dot within is not enough."
    ]
    if any(not one.named for one in compared):
        words.append("What was not named beforehand has no adjusted p: take it as a question.")
    return words


def _table(compared: Sequence[Compared], margin: float) -> Table:
    none = f"p of none beyond {margin:g}, after Holm"
    head = ("difference", "points", "from", "to", "p", "p after Holm", none, "named beforehand")
    rows = [
        (
            one.title,
            *(f"{v:+.2f}" for v in (one.found.mean, one.found.low, one.found.high)),
            f"{one.found.p:.3g}",
            f"{one.found.p_holm:.3g}" if one.named else "",
            f"{one.found.p_equivalent:.3g}" if one.named else "",
            "yes" if one.named else "no",
        )
        for one in compared
    ]
    caption = "Paired differences in points of top-1 accuracy, with 95% intervals."
    return Table("differences", caption, head, rows, [one.colour for one in compared])
