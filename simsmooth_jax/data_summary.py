"""What a data set holds, as `simsmooth data` shows it: counts, sizes and samples."""

from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table

from simsmooth_jax import pictures, report
from simsmooth_jax.commands import DataCommandConfig
from simsmooth_jax.config import DataConfig
from simsmooth_jax.data import Examples, cut_splits, open_source
from simsmooth_jax.files import refuse_output

MAX_ROWS = 100  # classes in the table
MAX_PICTURED = 25  # classes in the picture
SAMPLES = 12  # images of each in the picture


def show_data(config: DataCommandConfig) -> None:
    """`simsmooth data`: prints the counts of each class, and draws samples."""
    data = DataConfig(config.name, config.source)
    path = config.out or Path(f"{data.short_name}.png")
    refuse_output(path)
    source = open_source(config.name, config.source)
    found = cut_splits(source, config.source)
    parts = {name: found[name] for name in ("train", "validation", "test")}
    names = source.class_names
    labels = {part: examples.all_labels() for part, examples in parts.items()}
    counts = {part: np.bincount(found, minlength=len(names)) for part, found in labels.items()}
    height, width, channels = parts["train"].image_shape
    size = sum(len(examples) for examples in parts.values()) * height * width * channels
    colour = {1: "grey", 3: "rgb"}.get(channels, f"{channels} channels")
    print(f"{source.name}: {height}x{width} {colour}, {len(names)} classes, {_bytes(size)} decoded")
    report.console().print(_counts_table(names, counts))
    for part, found in counts.items():
        empty = [names[k] for k in np.flatnonzero(found == 0)]
        if empty:
            listed = ", ".join(empty[:5]) + (", …" if len(empty) > 5 else "")
            print(f"Warning: no image in {part} of {len(empty)} classes: {listed}")
    rows = _samples(parts["train"], labels["train"], len(names))
    pictures.draw_samples({names[k]: images for k, images in rows.items()}, path)
    print(f"samples: {path}")


def _counts_table(names: tuple[str, ...], counts: dict[str, np.ndarray]) -> Table:
    table = Table(box=box.SIMPLE)
    table.add_column("class")
    for part in counts:
        table.add_column(part, justify="right")
    for k, name in enumerate(names[:MAX_ROWS]):
        table.add_row(name, *(f"{found[k]:,}" for found in counts.values()))
    if len(names) > MAX_ROWS:
        table.add_row(f"… {len(names) - MAX_ROWS:,} more classes")
    table.add_section()
    table.add_row("all", *(f"{found.sum():,}" for found in counts.values()))
    ranges = [f"{found.min():,} to {found.max():,}" for found in counts.values()]
    table.add_row("a class", *ranges)
    return table


def _samples(examples: Examples, labels: np.ndarray, num_classes: int) -> dict[int, np.ndarray]:
    """The first images of the classes, or of evenly chosen ones where there are many."""
    chosen = np.unique(np.linspace(0, num_classes - 1, MAX_PICTURED).round().astype(int))
    places = {k: np.flatnonzero(labels == k)[:SAMPLES] for k in chosen}
    return {int(k): examples.take(found)[0] for k, found in places.items() if len(found)}


def _bytes(size: int) -> str:
    unit = min(int(np.log2(max(size, 1)) // 10), 4)
    return f"{size / 1024**unit:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[unit]}"
