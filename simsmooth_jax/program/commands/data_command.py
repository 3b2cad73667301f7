"""What a data set holds, as `simsmooth data` shows it: counts, sizes, samples or norms."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich import box

from simsmooth_jax.config.commands import DataCommandConfig
from simsmooth_jax.config.data import DataConfig, SourceConfig
from simsmooth_jax.data.dataset import Examples, Source
from simsmooth_jax.data.features import are_features
from simsmooth_jax.data.kinds import Kind, kinds_of_files
from simsmooth_jax.data.load import open_source
from simsmooth_jax.data.splits import cut_splits
from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.files.writing import refuse_output
from simsmooth_jax.machine.terminal import tell
from simsmooth_jax.program import pictures, report

MAX_ROWS = 100  # classes in the table
MAX_KINDS = 5  # sizes and modes of files that are listed
MAX_PICTURED = 25  # classes in the picture
SAMPLES = 12  # images of each in the picture
USUAL_SIDE = 224  # nothing larger is proposed for photos of many sizes


def show_data(config: DataCommandConfig) -> None:
    """`simsmooth data`: prints the counts of each class, and draws samples of images."""
    if config.out is not None:
        _refuse_picture(config.name, config.out)
        refuse_output(config.out)
    source, parts = _open(config.name, config.source)
    if are_features(parts["train"].image_shape):
        _show_features(config, source, parts)
        return
    path = config.out or _default_picture(config.name)
    kinds = kinds_of_files(source)
    names, note = source.class_names, ""
    if len(kinds) > 1:
        alike = _options_that_make_alike(kinds)
        shown = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in alike.items())
        source, parts = _open(config.name, dataclasses.replace(config.source, **alike))
        note = f", as {shown} makes them"
        tell(f"{source.name}: images of {len(kinds):,} sizes or modes, {len(names)} classes")
        _print_kinds(kinds, shown)
    else:
        tell(
            f"{source.name}: {_size(parts['train'])}, {len(names)} classes, {_bytes(parts)} decoded"
        )
        _warn_of_other_sizes(parts)
    labels = {part: examples.all_labels() for part, examples in parts.items()}
    _print_counts(names, labels)
    rows = _samples(parts["train"], labels["train"], len(names))
    pictures.draw_samples({names[k]: images for k, images in rows.items()}, path)
    tell(f"samples: {path}{note}")


def _open(name: str, options: SourceConfig) -> tuple[Source, dict[str, Examples]]:
    source = open_source(name, options)
    found = cut_splits(source, DataConfig(name, options).resolved_source)
    return source, {part: found[part] for part in ("train", "validation", "test")}


def _show_features(config: DataCommandConfig, source: Source, parts: dict[str, Examples]) -> None:
    """Their number and type, the counts of each class, and how long the training vectors are."""
    if config.out is not None:
        then = "Leave it out: features are no images."
        raise InputError("`out`", f"be left out for {source.name}", config.out, then)
    train, labels = parts["train"], {part: found.all_labels() for part, found in parts.items()}
    names, size = source.class_names, _bytes(parts)
    tell(
        f"{source.name}: {train.dtype} features {list(train.image_shape)}, {len(names)} classes, "
        f"{size}"
    )
    _print_counts(names, labels)
    vectors = train.take(np.arange(len(train)))[0].astype(np.float32)
    norms, mean = np.linalg.norm(vectors, axis=1), np.linalg.norm(vectors.mean(axis=0))
    tell(
        f"training vectors have norms from {norms.min():.3g} to {norms.max():.3g}, median "
        f"{np.median(norms):.3g}; their mean vector has {mean:.3g}"
    )
    tell("no picture of samples: features are no images")


def _default_picture(name: str) -> Path:
    """Where samples are drawn without --out; one that was drawn here before is replaced."""
    path = Path(f"{DataConfig(name).short_name}-samples.png")
    _refuse_picture(name, path)
    if path.is_symlink() or not path.is_file() or not pictures.is_drawn_here(path):
        refuse_output(path)
    return path


def _refuse_picture(name: str, path: Path) -> None:
    """Refuses a picture of another format, and one that would lie among the folder's images."""
    if path.suffix.lower() != ".png":
        raise InputError("--out", "end with .png", path, "The picture is a PNG file.")
    kind, _, where = name.partition(":")
    folder = Path(where).resolve()
    if kind == "folder" and path.resolve().is_relative_to(folder):
        raise InputError(
            "--out",
            "lie outside of the folder of images",
            f"{path} in {folder}",
            f"Try --out {folder.parent / path.name}.",
        )


def _size(examples: Examples) -> str:
    height, width, channels = examples.image_shape
    return f"{height}x{width} {'grey' if channels == 1 else 'rgb'}"


def _bytes(parts: dict[str, Examples]) -> str:
    size = sum(
        len(examples) * math.prod(examples.image_shape) * examples.dtype.itemsize
        for examples in parts.values()
    )
    unit = min(int(np.log2(size) // 10), 4)
    return f"{size / 1024**unit:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[unit]}"


def _warn_of_other_sizes(parts: dict[str, Examples]) -> None:
    """Says early what every training on these parts would refuse."""
    for part, examples in parts.items():
        if examples.image_shape != parts["train"].image_shape:
            tell(f"Warning: {part} is {_size(examples)}. Declare one: --image-size, --image-mode.")


def _options_that_make_alike(kinds: list[Kind]) -> dict[str, str]:
    """The conversion that leaves most of the files as they are, but for large photos."""
    usual, options = kinds[0], {}
    if len({(kind.height, kind.width) for kind in kinds}) > 1:
        height, width = min(usual.height, USUAL_SIDE), min(usual.width, USUAL_SIDE)
        options["image_size"] = f"{height}x{width}"
    if len({kind.mode for kind in kinds}) > 1:
        options["image_mode"] = "grey" if usual.mode == "grey" else "rgb"
    return options


def _print_kinds(kinds: list[Kind], options: str) -> None:
    listed = [f"{kind} {kind.count:,}" for kind in kinds[:MAX_KINDS]]
    others = kinds[MAX_KINDS:]
    if others:
        listed.append(f"{len(others):,} others {sum(kind.count for kind in others):,}")
    tell(f"sizes  {', '.join(listed)}")
    odd = min(kinds[1:], key=lambda kind: kind.first)
    tell(f"Warning: {odd.first} is {odd}. Declare what all images become, as {options}.")


def _print_counts(names: tuple[str, ...], labels: dict[str, np.ndarray]) -> None:
    counts = {part: np.bincount(found, minlength=len(names)) for part, found in labels.items()}
    report.console().print(_counts_table(names, counts))
    for part, found in counts.items():
        empty = [names[k] for k in np.flatnonzero(found == 0)]
        if empty:
            listed = ", ".join(empty[:5]) + (", …" if len(empty) > 5 else "")
            tell(f"Warning: no image in {part} of {len(empty)} of the classes: {listed}")


def _counts_table(names: tuple[str, ...], counts: dict[str, np.ndarray]) -> report.Table:
    table = report.Table(box=box.SIMPLE)
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


def _samples(
    examples: Examples, labels: np.ndarray, num_classes: int
) -> dict[int, Iterator[np.ndarray]]:
    """The first images of the classes, or of evenly chosen ones where there are many."""

    def read(place: int) -> np.ndarray:
        return examples.take(np.array([place]))[0][0]

    chosen = np.unique(np.linspace(0, num_classes - 1, MAX_PICTURED).round().astype(int))
    places = {k: np.flatnonzero(labels == k)[:SAMPLES] for k in chosen}
    return {int(k): map(read, found) for k, found in places.items() if len(found)}
