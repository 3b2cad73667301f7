"""What the explorer of class relations holds: a picture of all pairs, the nearest of each class."""

import base64
import dataclasses
import functools
import io
import itertools
import json
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, Int, Real, UInt8
from markupsafe import Markup
from PIL import Image

from simsmooth_jax.errors import escaped
from simsmooth_jax.program import pictures
from simsmooth_jax.program.html.page import Table
from simsmooth_jax.study.agreement import Stability, human_agreement, superclass_agreement, upper

NEAREST = 20  # classes that are listed of each
MAX_CLASSES = 2000  # of more the page would weigh tens of megabytes
MAX_NAMES = 30  # classes whose names fit beside the map
LEVELS = 255  # of the picture: 1 is the low end of the colours, 255 the high; 0 is the diagonal
STEPS = 32  # of the deviations: the picture of half of the pairs stays small
DIVERGING = {"light": pictures.DIVERGING, "dark": "berlin"}  # around 0
SEQUENTIAL = {"light": pictures.SEQUENTIAL, "dark": "inferno"}  # where no similarity is negative
DIAGONAL = {"light": pictures.DIAGONAL, "dark": "#8a8f98"}


@dataclasses.dataclass(frozen=True)
class Explorer:
    """Classes in dendrogram order: `data` is what the script reads, `table` serves without it."""

    names: Sequence[str]
    picture: str
    low: float  # of the colours
    high: float
    words: Sequence[str]
    table: Table
    data: dict[str, Any]

    @property
    def json(self) -> Markup:
        """The data within a script element: no `<` is left that could end it."""
        text = json.dumps(self.data, separators=(",", ":"), ensure_ascii=False)
        return Markup(text.replace("<", "\\u003c"))

    @property
    def named(self) -> bool:
        """Whether names stand beside the map."""
        return len(self.names) <= MAX_NAMES

    @property
    def short(self) -> bool:
        """Whether the names fit below the map without turning them."""
        return max(map(len, self.names)) <= 2

    @property
    def schemes(self) -> dict[str, tuple[str, str, str]]:
        """For light and dark: the three channels of all levels."""
        return {name: _channels(scheme, DIAGONAL[name]) for name, scheme in self._maps.items()}

    @property
    def keys(self) -> dict[str, str]:
        """For light and dark: the colours from the low end to the high, as CSS."""
        return {name: _gradient(scheme) for name, scheme in self._maps.items()}

    @property
    def _maps(self) -> dict[str, str]:
        return DIVERGING if self.low < 0 else SEQUENTIAL


def explorer(
    found: Stability,
    seeds: int,
    class_names: Sequence[str],
    source: str,
    superclasses: Int[np.ndarray, " classes"] | None = None,
    confusions: Real[np.ndarray, "classes classes"] | None = None,
) -> Explorer | None:
    """The mean similarity `[K, K]`, and what is known beside it; None of very many classes."""
    if len(class_names) > MAX_CLASSES:
        return None
    order = np.asarray(pictures.dendrogram_order(found.mean)[1])
    ordered = found.mean[np.ix_(order, order)]
    names = [escaped(class_names[int(k)]) for k in order]
    own = np.eye(len(names), dtype=bool)
    low, high = pictures.colour_ends(ordered[~own])
    nearest = np.argsort(np.where(own, np.inf, -ordered), axis=1, kind="stable")
    nearest = nearest[:, : min(NEAREST, len(names) - 1)]
    cosines = np.take_along_axis(ordered, nearest, axis=1)
    data = {
        "names": names,
        "low": low,
        "high": high,
        "seeds": seeds,
        "nearest": nearest.tolist(),
        "cosines": np.round(1000 * cosines).astype(int).tolist(),
    }
    if superclasses is not None:
        data["superclasses"] = np.asarray(superclasses)[order].tolist()
    if confusions is not None:
        data["people"] = _people(confusions[np.ix_(order, order)])
    if found.deviation is not None:
        deviation = found.deviation[np.ix_(order, order)]
        data |= _deviations(deviation, float(ordered[upper(len(names))].std()))
    return Explorer(
        names,
        _png(_levels(ordered, low, high)),
        low,
        high,
        _words(found, seeds, source, superclasses, confusions),
        _table(names, nearest, cosines),
        data,
    )


def _levels(
    similarity: Float[np.ndarray, "k k"], low: float, high: float
) -> UInt8[np.ndarray, "k k"]:
    share = np.clip((similarity - low) / (high - low), 0, 1)
    levels = np.round(1 + (LEVELS - 1) * share).astype(np.uint8)
    np.fill_diagonal(levels, 0)
    return levels


def _png(pixels: UInt8[np.ndarray, "k k"]) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _deviations(deviation: Float[np.ndarray, "k k"], spread: float) -> dict[str, Any]:
    """Of each pair once, in steps; `spread` is the deviation between pairs, to judge it by."""
    pairs = upper(len(deviation))
    most = float(max(deviation[pairs].max(), 1e-6))
    steps = np.where(pairs, np.round((STEPS - 1) * deviation / most), 0).astype(np.uint8)
    return {"deviation": _png(steps), "most": most / (STEPS - 1), "spread": spread}


def _people(confusions: Real[np.ndarray, "k k"]) -> list[list[list[float]]]:
    """Of each class the most frequent wrong answers, `[class, per mille]`."""
    wrong = confusions * ~np.eye(len(confusions), dtype=bool)
    share = np.round(1000 * wrong / np.maximum(confusions.sum(axis=1, keepdims=True), 1), 1)
    order = np.argsort(-share, axis=1, kind="stable")[:, :NEAREST]
    return [
        [[int(k), float(row[k])] for k in places if row[k] > 0]
        for row, places in zip(share, order, strict=True)
    ]


def _words(
    found: Stability,
    seeds: int,
    source: str,
    superclasses: Int[np.ndarray, " classes"] | None,
    confusions: Real[np.ndarray, "classes classes"] | None,
) -> list[str]:
    over = f", mean over {seeds} seeds" if seeds > 1 else ""
    words = [f"{source}{over}. Classes that are alike stand side by side, in dendrogram order."]
    if found.correlation is not None:
        words.append(
            f"Stability: between two seeds the similarities of all pairs correlate by "
            f"{found.correlation:.2f} on average (1 would be the same relations every time)."
        )
    elif seeds == 1:
        words.append("One training: how stable it is over seeds is not known from it.")
    if superclasses is not None:
        share, chance = superclass_agreement(found.mean, superclasses)
        words.append(
            f"Superclasses: the nearest class lies in the same superclass for {share:.0%} of the "
            f"classes; a random one would for {chance:.0%}."
        )
    if confusions is not None:
        rank = human_agreement(found.mean, confusions)
        words.append(
            f"People: the rank correlation of similarity with how often people take one class for "
            f"the other is {round(rank, 2) + 0:+.2f} over all pairs."
        )
    return words


def _table(
    names: Sequence[str], nearest: Int[np.ndarray, "k n"], cosines: Float[np.ndarray, "k n"]
) -> Table:
    listed = [
        [(names[int(k)], f"{value:+.3f}") for k, value in zip(*pair, strict=True)]
        for pair in zip(nearest, cosines, strict=True)
    ]
    rows = [
        (name, " · ".join(f"{other} {value[:-1]}" for other, value in row))
        for name, row in zip(names, listed, strict=True)
    ]
    count = nearest.shape[1]
    head = [f"{what} {n}" for n in range(1, count + 1) for what in ("nearest", "cosine")]
    return Table(
        "nearest",
        f"The {count} nearest of each class with their cosines, in the order of the map.",
        ("class", "nearest classes, from the first on"),
        rows,
        file_head=("class", *head),
        file_rows=[
            (name, *itertools.chain.from_iterable(row))
            for name, row in zip(names, listed, strict=True)
        ],
        narrow=False,
    )


@functools.cache
def _colours(name: str, count: int) -> np.ndarray:
    return matplotlib.colormaps[name](np.linspace(0, 1, count))[:, :3]


def _channels(name: str, diagonal: str) -> tuple[str, str, str]:
    first = np.asarray(matplotlib.colors.to_rgb(diagonal))[None]  # type: ignore[attr-defined]
    table = np.concatenate([first, _colours(name, LEVELS)])
    red, green, blue = (" ".join(f"{v:.2f}".lstrip("0") or "0" for v in row) for row in table.T)
    return red, green, blue


def _gradient(name: str) -> str:
    stops = (matplotlib.colors.to_hex(c) for c in _colours(name, 11))  # type: ignore[attr-defined]
    return f"linear-gradient(90deg, {', '.join(stops)})"
