"""Results as text: what a run, a training or an evaluation shows at its end."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

MAX_CLASSES = 20  # rows of the table of nearest classes


def results_table(metrics: dict[str, dict[str, Any]], part: str) -> Table:
    """One row for each arm; `metrics` by the title of the arm."""
    count = next(iter(metrics.values()))["count"]
    table = Table(title=f"{part} split, {count:,} images", box=box.SIMPLE, title_justify="left")
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


def nearest_table(similarity: np.ndarray, class_names: tuple[str, ...], count: int = 3) -> Table:
    """The most similar other classes of the first classes; rows `[rows, K]` of the similarity."""
    similarity = similarity[:MAX_CLASSES]
    table = Table(title="nearest classes, by cosine", box=box.SIMPLE, title_justify="left")
    table.add_column("class")
    for place in range(min(count, len(class_names) - 1)):
        table.add_column(["nearest", "second", "third"][place])
    others = np.where(np.eye(*similarity.shape, dtype=bool), -np.inf, similarity)
    for row in range(len(similarity)):
        nearest = np.argsort(-others[row], kind="stable")[: len(table.columns) - 1]
        cells = [f"{class_names[j]} ({similarity[row, j]:+.2f})" for j in nearest]
        table.add_row(class_names[row], *cells)
    if len(class_names) > MAX_CLASSES:
        table.caption = f"the first {MAX_CLASSES} of {len(class_names)} classes"
    return table


def hard_classes(parameters: Mapping[str, Any]) -> str:
    """A line about the classes that relation labels leave out, or an empty string."""
    names = parameters.get("hard_classes", [])
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"Without training images, and so with one-hot labels: {listed}." if names else ""


def console() -> Console:
    """Standard output, at most 100 columns wide; names of classes are shown as they are written."""
    plain = Console()
    return Console(width=min(plain.width, 100), markup=False, emoji=False)
