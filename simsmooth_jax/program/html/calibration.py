"""Reliability diagrams before and after temperature, and risk against coverage."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from simsmooth_jax.metrics.exact import calibration_error
from simsmooth_jax.program.html.page import Figure, Picture, Table
from simsmooth_jax.program.html.svg import LETTER, LINE, Chart, Scale, apart, around

SIDE = 200  # of a panel
Bins = Mapping[str, Any]


class Measured(NamedTuple):
    """What the test images have shown of an arm, one entry a seed."""

    title: str
    colour: str
    tests: Sequence[Mapping[str, Any]]

    def bins(self, name: str) -> dict[str, list[float]] | None:
        """Those of all seeds together."""
        if any(name not in test for test in self.tests):
            return None
        keys = self.tests[0][name]
        return {k: np.sum([test[name][k] for test in self.tests], axis=0).tolist() for k in keys}

    def risk(self) -> Float[np.ndarray, " points"] | None:
        """Its mean over the seeds, which have as many test images."""
        if any("risk" not in test for test in self.tests):
            return None
        return np.mean([test["risk"] for test in self.tests], axis=0)


def reliability(arms: Sequence[Measured]) -> Figure:
    """A panel for each arm: accuracy against confidence, raw and at the temperature."""
    pictures, rows, colours = [], [], []
    softened = all(arm.bins("bins_at_temperature") for arm in arms)
    for arm in arms:
        raw, at = arm.bins("bins"), arm.bins("bins_at_temperature")
        assert raw is not None
        errors = [f"{calibration_error(bins):.1%}" for bins in (raw, at) if bins]
        line = "ECE " + " → ".join(errors)
        pictures.append(Picture(_panel(arm, raw, at, line), arm.title, line, arm.colour))
        for state, bins in (("raw", raw), ("at temperature", at)):
            found = _rows(arm.title, state, bins) if bins else []
            rows += found
            colours += [arm.colour] * len(found)
    words = [
        "How often an answer is right, against how sure it is: on the diagonal the two agree, "
        "below it a classifier is over-confident. The area of a dot is the share of the images."
    ]
    if softened:
        words.append("Hollow, dashed: as trained. Filled: at the temperature that validation gave.")
    else:
        words.append("As trained; temperatures are not in this report.")
    head = ("arm", "state", "bin", "images", "confidence %", "accuracy %")
    caption = "Bins of the reliability diagrams, all seeds together."
    table = Table("reliability", caption, head, rows, colours)
    return Figure("reliability", "Reliability", words, pictures, table)


def _panel(arm: Measured, raw: Bins, at: Bins | None, line: str) -> Any:
    chart = Chart(SIDE, SIDE + 18, f"Reliability of {arm.title}: {line}")
    x, y = Scale(0, 1, 27, SIDE - 9), Scale(0, 1, SIDE - 14, 22)
    chart.across(x, y, "confidence, %", 100, 2)
    chart.upward(x, y, "accuracy, %", 100, 2)
    chart.rule(x(0), y(0), x(1), y(1), "ideal")
    _curve(chart, x, y, raw, arm.colour, "raw" if at else "line", "hollow" if at else "")
    if at:
        _curve(chart, x, y, at, arm.colour, "line", "")
    return chart.svg()


def _curve(chart: Chart, x: Scale, y: Scale, bins: Bins, colour: str, line: str, dot: str) -> None:
    count, confidence, accuracy = _used(bins)
    chart.line([(x(a), y(b)) for a, b in zip(confidence, accuracy, strict=True)], colour, line)
    for size, a, b in zip(count, confidence, accuracy, strict=True):
        radius = 1.3 + 9 * (size / count.sum()) ** 0.5
        says = f"confidence {a:.1%}, accuracy {b:.1%}, {size:,.0f} images"
        chart.dot(x(a), y(b), colour, radius, dot, says)


def _used(bins: Bins) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count, confidence, correct = (
        np.asarray(bins[key], float) for key in ("count", "confidence_sum", "correct_sum")
    )
    used = count > 0
    return count[used], confidence[used] / count[used], correct[used] / count[used]


def _rows(title: str, state: str, bins: Bins) -> list[tuple[str, ...]]:
    numbers = np.flatnonzero(np.asarray(bins["count"]) > 0)
    total = len(bins["count"])
    return [
        (title, state, f"{b / total:.2f} to {(b + 1) / total:.2f}", f"{n:.0f}", *shown)
        for b, n, *shown in (
            (int(b), n, f"{100 * c:.2f}", f"{100 * a:.2f}")
            for b, n, c, a in zip(numbers, *_used(bins), strict=True)
        )
    ]


def risk_coverage(arms: Sequence[Measured]) -> Figure | None:
    """Errors among the most confident part of the images, against the size of that part."""
    curves = [(arm, risk) for arm in arms if (risk := arm.risk()) is not None]
    if not curves:
        return None
    coverage = np.arange(1, len(curves[0][1]) + 1) / len(curves[0][1])
    letters = max(len(arm.title) for arm, _ in curves)
    width, height = 480, max(320, 90 + LINE * len(curves))
    chart = Chart(width, height, "Error against coverage of each arm; the table holds the figures.")
    x = Scale(0, 1, 34, width - min(10 + LETTER * letters, 200))
    y = Scale(0, around([r for _, risk in curves for r in risk])[1], height - 40, 24)
    chart.across(x, y, "coverage: images that are answered, %", 100)
    chart.upward(x, y, "errors among them, %", 100)
    places = apart([y(risk[-1]) for _, risk in curves], LINE, y.end + 4, y.start)
    for (arm, risk), place in zip(curves, places, strict=True):
        chart.line([(x(c), y(r)) for c, r in zip(coverage, risk, strict=True)], arm.colour)
        chart.rule(x.end + 1, y(risk[-1]), x.end + 7, place, "leader")
        chart.add(
            '<text x="{x:g}" y="{y:g}" class="arm own" style="--c:{c}">{text}</text>',
            x=x.end + 10,
            y=place + 4,
            c=arm.colour,
            text=arm.title,
        )
    words = [
        "A classifier that answers only where it is surest makes fewer errors: lower is better. "
        "Confidence is the largest probability at the temperature that validation gave; means over "
        "the seeds."
    ]
    shares = (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    kept = [k for k, c in enumerate(coverage) if any(abs(c - share) < 1e-9 for share in shares)]
    rows = [(arm.title, *(f"{100 * risk[k]:.2f}" for k in kept)) for arm, risk in curves]
    file_rows = [(arm.title, *(f"{100 * r:.3f}" for r in risk)) for arm, risk in curves]
    table = Table(
        "risk-coverage",
        "Errors in % among the most confident part of the test images.",
        ("arm", *(f"{coverage[k]:.0%}" for k in kept)),
        rows,
        [arm.colour for arm, _ in curves],
        file_head=("arm", *(f"{c:.0%}" for c in coverage)),
        file_rows=file_rows,
    )
    return Figure("risk-coverage", "Risk against coverage", words, [Picture(chart.svg())], table)
