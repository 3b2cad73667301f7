"""Results as text: what a run, a training or an evaluation shows at its end."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from simsmooth_jax.errors import escaped
from simsmooth_jax.formats.label_files import TableFile
from simsmooth_jax.study.neighbours import Neighbours

RECOMMENDED = (
    "Recommended: uniform smoothing. In studies of other data, over many seeds and with all arms "
    "tuned alike, relation labels were more accurate in one of fourteen. One run cannot tell; "
    "simsmooth study asks your own data."
)
MAX_CLASSES = 20  # rows of the table of nearest classes
COLUMNS = {  # title, scale, digits
    "accuracy": ("top-1 %", 100, 2),
    "nll": ("NLL", 1, 4),
    "nll_at_temperature": ("NLL at T", 1, 4),
    "ece": ("ECE %", 100, 2),
    "ece_at_temperature": ("ECE % at T", 100, 2),
    "brier": ("Brier", 1, 4),
    "aurc": ("AURC", 1, 5),
}
WIDE = ("ece_at_temperature", "brier")  # with those at a temperature, too many for a terminal


class Table(RichTable):
    """A table of which no cell can do more to a terminal than to be read there."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        """A row of texts, plain or styled in one way each."""
        super().add_row(*map(_harmless, cells), **options)


class _Printed(Console):
    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*map(_harmless, objects), **options)


def _harmless(shown: Any) -> Any:
    """The same with its text escaped; a table has done that, but for its title."""
    if isinstance(shown, RichTable) and isinstance(shown.title, str):
        shown.title = escaped(shown.title)
    if isinstance(shown, Text):
        return Text(escaped(shown.plain), style=shown.style)
    return escaped(shown) if isinstance(shown, str) else shown


def results_table(metrics: dict[str, dict[str, Any]], part: str, examples: str) -> Table:
    """One row for each arm; `metrics` by the title of the arm, of `examples` as images."""
    rows = list(metrics.values())
    known = {key: one for key, one in COLUMNS.items() if all(key in row for row in rows)}
    if "nll_at_temperature" in known:
        known = {key: one for key, one in known.items() if key not in WIDE}
    title = f"{part} split, {rows[0]['count']:,} {examples}"
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    table.add_column("classifier")
    for column, _, _ in known.values():
        table.add_column("at T" if column == "NLL at T" else column, justify="right")
    for title, row in metrics.items():
        cells = (f"{scale * row[key]:.{digits}f}" for key, (_, scale, digits) in known.items())
        table.add_row(title, *cells)
    return table


def nearest_table(shown: Neighbours, class_names: tuple[str, ...], count: int = 3) -> Table:
    """The most similar other classes of some classes, in the width of the console."""
    count = min(count, len(class_names) - 1)
    table = Table(title="nearest classes, by cosine", box=box.SIMPLE, title_justify="left")
    table.add_column("class")
    for place in range(count):
        table.add_column(["nearest", "second", "third"][place])
    # Of each column's cells three are around it, and eight for a cosine.
    cells = max(5, (console().width - 1 - 3 * (count + 1) - 8 * count) // (count + 1))
    for row, similarity in zip(shown.classes, shown.similarity, strict=True):
        others = np.where(np.arange(len(class_names)) == row, -np.inf, similarity)
        nearest = np.argsort(-others, kind="stable")[:count]
        related = [f"{shortened(class_names[j], cells)} ({similarity[j]:+.2f})" for j in nearest]
        table.add_row(shortened(class_names[row], cells), *related)
    if len(class_names) > len(shown.classes):
        table.caption = f"the {len(shown.classes)} most related of {len(class_names)} classes"
    return table


def settings(labels: TableFile) -> str:
    """The rule of relation labels with its numbers, as "rule mean, temperature 6, epsilon 0.2"."""
    named = ("temperature", "perplexity", "top_k", "epsilon")
    given = {name: labels.parameters.get(name) for name in named}
    shown = (f"{name} {value:g}" for name, value in given.items() if value is not None)
    return ", ".join((f"rule {labels.rule}", *shown))


def hard_classes(parameters: Mapping[str, Any]) -> str:
    """A line about the classes that relation labels leave out, or an empty string."""
    names = parameters.get("hard_classes", [])
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"Without training images, and so with one-hot labels: {listed}." if names else ""


def shortened(name: str, cells: int) -> str:
    """A name in so many cells of the terminal: of a longer one both ends, which may tell it."""
    if cell_len(name) <= cells:
        return name
    end = (cells - 1) // 2
    return f"{set_cell_size(name, cells - 1 - end)}…{set_cell_size(name[::-1], end)[::-1]}"


def console() -> Console:
    """Standard output, at most 100 columns wide; names of classes are shown as they are written."""
    plain = Console()
    return _Printed(width=min(plain.width, 100), markup=False, emoji=False)
