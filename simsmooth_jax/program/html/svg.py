"""Charts by hand: marks between two axes, as SVG that takes the width it is given."""

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

LINE = 14  # of text, in units of the view box
LETTER = 6.2  # the mean width of one of them


def minus(text: str) -> str:
    """With true minus signs before numbers."""
    return re.sub(r"(?<![\w-])-(?=[\d.])", "−", text)


class Scale(NamedTuple):
    """From values to places: `low` stands at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """A place, to a tenth of a unit."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values inside."""
        found = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        slack = 1e-9 * (self.high - self.low)
        return [float(t) for t in found if self.low - slack <= t <= self.high + slack]


def around(
    values: Iterable[float], share: float = 0.06, least: float = 1e-3
) -> tuple[float, float]:
    """From the smallest to the largest with some room; never nothing."""
    listed = list(values)
    low, high = min(listed), max(listed)
    room = max(share * (high - low), least)
    return low - room, high + room


def apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places of labels, each as near to its own as the gap between them allows."""
    order = sorted(range(len(places)), key=lambda k: places[k])
    blocks: list[list[int]] = []  # labels that touch, and stand around the mean of their own places

    def start(block: list[int]) -> float:
        middle = sum(places[k] for k in block) / len(block)
        length = gap * (len(block) - 1)
        return min(max(middle - length / 2, low), max(high - length, low))

    for k in order:
        blocks.append([k])
        while len(blocks) > 1 and start(blocks[-1]) < start(blocks[-2]) + gap * len(blocks[-2]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    found = dict(
        itertools.chain.from_iterable(
            ((k, start(block) + gap * place) for place, k in enumerate(block)) for block in blocks
        )
    )
    return [round(found[k], 1) for k in range(len(places))]


class Chart:
    """One picture; text that is put into it is escaped."""

    def __init__(self, width: float, height: float, says: str) -> None:
        """An empty one; `says` is read aloud in its place."""
        self.width, self.height, self._says = width, height, says
        self._marks: list[Markup] = []

    def add(self, template: str, **values: object) -> None:
        """A mark: SVG with {names} for the values."""
        self._marks.append(Markup(template).format(**values))

    def text(self, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> None:
        """A line of text."""
        template = '<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{text}</text>'
        self.add(template, x=x, y=y, text=text, kind=kind, anchor=anchor)

    def rule(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line."""
        template = '<line x1="{:g}" y1="{:g}" x2="{:g}" y2="{:g}" class="{}"/>'
        self._marks.append(Markup(template).format(x1, y1, x2, y2, kind))

    def line(self, points: Iterable[tuple[float, float]], colour: str, kind: str = "line") -> None:
        """A line through places."""
        shown = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.add(
            '<polyline points="{p}" class="arm {k}" style="--c:{c}"/>', p=shown, k=kind, c=colour
        )

    def dot(
        self, x: float, y: float, colour: str, radius: float, kind: str = "", says: str = ""
    ) -> None:
        """A dot, which says more where a pointer rests on it."""
        template = '<circle cx="{x:g}" cy="{y:g}" r="{r:.1f}" class="arm dot {k}" style="--c:{c}">'
        template += "<title>{says}</title></circle>" if says else "</circle>"
        self.add(template, x=x, y=y, r=radius, k=kind, c=colour, says=says)

    def across(self, x: Scale, y: Scale, title: str, unit: float = 1, count: int = 5) -> None:
        """The horizontal axis: ticks below `y`, with values times `unit`."""
        for value in x.ticks(count):
            self.rule(x(value), y.start, x(value), y.end, "grid")
            self.text(x(value), y.start + LINE, minus(f"{unit * value:.6g}"), "tick", "middle")
        self.text((x.start + x.end) / 2, y.start + 2 * LINE + 3, title, "title", "middle")

    def upward(self, x: Scale, y: Scale, title: str, unit: float = 1, count: int = 5) -> None:
        """The vertical axis, its title above it."""
        for value in y.ticks(count):
            self.rule(x.start, y(value), x.end, y(value), "grid")
            self.text(x.start - 5, y(value) + 4, f"{unit * value:.6g}", "tick", "end")
        self.text(0, y.end - 9, title, "title")

    def svg(self) -> Markup:
        """The whole of it."""
        head = '<svg viewBox="0 0 {w:g} {h:g}" role="img" aria-label="{says}">'
        opened = Markup(head).format(w=self.width, h=self.height, says=self._says)
        return opened + Markup("").join(self._marks) + Markup("</svg>")
