"""Results as text: what a run, a training or an evaluation shows at its end."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table

from simsmooth_jax.study.neighbours import Neighbours

MAX_CLASSES = 20  # rows of the table of nearest classes


def results_table(metrics: dict[str, dict[str, Any]], part: str, examples: str) -> Table:
    """One row for each arm; `metrics` by the title of the arm, of `examples` as images."""
    count = next(iter(metrics.values()))["count"]
    table = Table(title=f"{part} split, {count:,} {examples}", box=box.SIMPLE, title_justify="left")
    table.add_column("classifier")
    for column in ("top-1 %", "NLL", "ECE %", "Brier", "AURC"):
        table.add_column(column, justify="right")
    for title, row in metrics.items():
        table.add_row(
            title,
            f"{100 * row['accuracy']:.2f}",
            f"{row['nll']:.4f}",
            f"{100 * row['ece']:.2f}",
            f"{row['brier']:.4f}",
            f"{row['aurc']:.5f}",
        )
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
    return Console(width=min(plain.width, 100), markup=False, emoji=False)
