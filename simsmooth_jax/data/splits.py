"""A source's splits -> train, validation and test, which share no image."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from itertools import chain, combinations
from typing import Any

import numpy as np
from jaxtyping import Int

from simsmooth_jax.config.data import SourceConfig
from simsmooth_jax.data.dataset import Examples, Source
from simsmooth_jax.data.validation_tenth import cut_validation
from simsmooth_jax.errors import InputError, first_line

NAMES = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}
ALL_NAMES = tuple(chain(*NAMES.values()))  # of a folder, and in an archive


def cut_splits(source: Source, config: SourceConfig) -> dict[str, Examples]:
    """Train, validation and test of a source, as the options or its own names say.

    Where neither names a validation split, a fixed tenth of the training split is cut out of it: no
    seed changes which, and the test split is never touched.
    """
    given = {part: getattr(config, f"{part}_split") for part in NAMES}
    texts = {
        part: _own_name(source, part, given) if given[part] is None else given[part]
        for part in NAMES
    }
    for part, text in given.items():
        if text == "":
            raise InputError(
                f"`{part}_split`",
                f"name splits of {source.name} ({_sizes(source)})",
                "an empty text",
                "Leave it out, or write train[:80%].",
            )
    for part in ("train", "test"):
        if not texts[part]:
            names = list(source.splits)
            other = names[1] if len(names) > 1 else f"{names[0]}[80%:]"
            raise InputError(
                f"data {source.name}: it",
                f"have a {part} split",
                ", ".join(names),
                f"Declare what is which: `train_split={names[0]}[:80%]` `test_split={other}`.",
            )
    found = {part: _indices(source, part, text) for part, text in texts.items() if text}
    _refuse_empty(source.name, texts, found)
    _refuse_overlap(source.name, texts, found)
    parts = {part: _select(source, part, indices) for part, indices in found.items()}
    if "validation" not in parts:
        parts |= cut_validation(source.name, parts["train"], config.validation_cut)
    return parts


def _own_name(source: Source, part: str, given: dict[str, str | None]) -> str:
    """The source's own split for this part; for validation, one that no option makes use of."""
    used = " ".join(text for text in given.values() if text) if part == "validation" else ""
    held = [name for name in NAMES[part] if name in source.splits]
    names = [name for name in held if not re.search(rf"\b{name}\b", used)]
    if len(names) > 1:
        raise InputError(
            f"data {source.name}: it",
            f"have one {part} split",
            " and ".join(names),
            (
                f"Choose one: `{part}_split={names[0]}`, or `{part}_split={'+'.join(names)}` for "
                "all of them."
            ),
        )
    return names[0] if names else ""


def _indices(source: Source, part: str, expression: str) -> dict[str, Int[np.ndarray, " n"]]:
    """The images that an expression means, in the grammar of TFDS, by the name of their split."""
    if expression in source.splits:
        return {expression: np.arange(len(source.splits[expression]))}
    # Late, as it takes half a second.
    import tensorflow_datasets as tfds

    sizes = {name: _Size(len(examples)) for name, examples in source.splits.items()}
    try:
        slices = tfds.core.ReadInstruction.from_spec(expression).to_absolute(sizes)
    except (ValueError, NotImplementedError, AttributeError) as error:
        if isinstance(error, AttributeError):  # of what TFDS asks of its own splits alone
            error = ValueError("shards are not counted here")
        reason = first_line(error).split(" See format")[0].rstrip(".")
        raise InputError(
            f"`{part}_split`",
            f"be splits of {source.name} ({_sizes(source)})",
            f"{expression!r}: {reason}",
            "Write train, train[:80%] or train[:5000]+test[-100:].",
        ) from error
    indices: dict[str, list[np.ndarray]] = {}
    for piece in slices:
        every = np.arange(sizes[piece.splitname].num_examples)
        indices.setdefault(piece.splitname, []).append(every[piece.from_ : piece.to])
    return {name: np.unique(np.concatenate(pieces)) for name, pieces in indices.items()}


class _Size:
    """What a read instruction asks of a split."""

    def __init__(self, num_examples: int) -> None:
        self.num_examples = num_examples


def _sizes(source: Source) -> str:
    return ", ".join(f"{name} {len(examples)}" for name, examples in source.splits.items())


def _refuse_empty(name: str, texts: dict[str, str], found: dict[str, dict[str, Any]]) -> None:
    for part, indices in found.items():
        if not sum(map(len, indices.values())):
            raise InputError(
                f"`{part}_split`",
                "hold one image at least",
                f"{texts[part]!r} of {name}, which holds none",
                "Widen it.",
            )


def _refuse_overlap(name: str, texts: dict[str, str], found: dict[str, dict[str, Any]]) -> None:
    for (a, left), (b, right) in combinations(found.items(), 2):
        for split in left.keys() & right.keys():
            common = len(np.intersect1d(left[split], right[split]))
            if common:
                raise InputError(
                    f"`{a}_split` and `{b}_split`",
                    f"share no image of {name}",
                    f"{texts[a]!r} and {texts[b]!r}, which share {common} of {split}",
                    "Slice them apart.",
                )


def _select(source: Source, part: str, indices: dict[str, np.ndarray]) -> Examples:
    pieces = {
        name: examples if len(wanted) == len(examples) else examples.select(wanted)
        for name, wanted in indices.items()
        for examples in (source.splits[name],)
    }
    if len(pieces) == 1:
        return next(iter(pieces.values()))
    return Joined.of(f"`{part}_split` of {source.name}", pieces)


@dataclasses.dataclass(frozen=True)
class Joined:
    """Examples of several splits, as one: `indices` counts through the pieces in their order."""

    pieces: tuple[Examples, ...]
    indices: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, where: str, pieces: Mapping[str, Examples]) -> "Joined":
        """All examples of the pieces, which are named; NumPy would broadcast grey to RGB."""
        first, *others = pieces
        shape = pieces[first].image_shape
        for name in others:
            if pieces[name].image_shape != shape:
                raise InputError(
                    where,
                    "join splits of one height, width and channels",
                    f"{shape} in {first} and {pieces[name].image_shape} in {name}",
                    "Declare one for all: `image_size` and `image_mode`.",
                )
        return cls(tuple(pieces.values()), np.arange(sum(map(len, pieces.values()))))

    def __len__(self) -> int:
        """The number of images."""
        return len(self.indices)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width, channels; of features `(D,)`."""
        return self.pieces[0].image_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The one that holds those of all pieces."""
        return np.result_type(*(piece.dtype for piece in self.pieces))

    def take(self, indices: Any) -> tuple[np.ndarray, np.ndarray]:
        """The images and labels at these indices."""
        wanted = self.indices[indices]
        images = np.empty((len(wanted), *self.image_shape), self.dtype)
        labels = np.empty(len(wanted), np.int32)
        start = 0
        for piece in self.pieces:
            here = (start <= wanted) & (wanted < start + len(piece))
            if here.any():
                images[here], labels[here] = piece.take(wanted[here] - start)
            start += len(piece)
        return images, labels

    def select(self, indices: Any) -> "Joined":
        """These examples alone, in this order."""
        return dataclasses.replace(self, indices=self.indices[indices])

    def all_labels(self) -> np.ndarray:
        """Every label."""
        return np.concatenate([piece.all_labels() for piece in self.pieces])[self.indices]

    def identity(self) -> Iterator[bytes]:
        """What each piece says, and which of their examples these are."""
        for piece in self.pieces:
            yield from piece.identity()
        yield self.indices.tobytes()
