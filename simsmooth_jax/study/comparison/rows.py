"""The rows of a study, one a training: whole lines of JSON, durable before the next training."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from simsmooth_jax.errors import InputError, first_line
from simsmooth_jax.machine.files.reading import read_input
from simsmooth_jax.machine.files.writing import append, write_atomically

Row = dict[str, Any]
# Of the row without it; of what all rows of its study have in common.
SHA256, STUDY = "sha256", "study_sha256"
MOST = 2**30  # bytes of a file of rows: of some 300,000 trainings


class Shard(NamedTuple):
    """Part `number` of `count`, from 1 on."""

    number: int = 1
    count: int = 1

    @classmethod
    def of(cls, text: str | None) -> "Shard":
        """`1/2` is the first of two; None is all."""
        if text is None:
            return cls()
        parts = text.split("/")
        if len(parts) != 2 or not all(part.isdecimal() for part in parts):
            raise InputError("`shard`", "be as 1/2", repr(text), "Number the parts from 1.")
        shard = cls(*map(int, parts))
        if not 1 <= shard.number <= shard.count:
            must = f"be from 1/{max(1, shard.count)} to {max(1, shard.count)}/{max(1, shard.count)}"
            raise InputError("`shard`", must, repr(text), "Number the parts from 1.")
        return shard

    def __str__(self) -> str:
        """As it is part of a file's name."""
        return f"{self.number}-of-{self.count}"


class Key(NamedTuple):
    """What tells a row from all others of its study."""

    phase: str  # tune or test
    arm: str
    point: int
    seed: int
    first: float = 0.0  # weight decay of the first models that its labels are made from, if any


class Rows:
    """The rows of all shards, of which this process adds to one."""

    def __init__(self, directory: Path, shard: Shard, study: str = "") -> None:
        """Reads what is there; drops the end of a line that a kill tore, in its own file alone.

        Rows of another study than `study`, a SHA-256, are refused; those of before have none.
        """
        self.directory, self._study = directory, study
        self._own = directory / f"rows-{shard}.jsonl"
        if self._own.exists():
            whole = _content(self._own)
            kept = whole[: whole.rfind(b"\n") + 1]
            if kept != whole:
                write_atomically(self._own, kept)
        self.read()

    def read(self) -> None:
        """Takes in what other shards have written meanwhile."""
        self._rows: dict[Key, Row] = {}
        for file in sorted(self.directory.glob("rows-*.jsonl")):
            for number, row in enumerate(_read(file), 1):
                of, key = row.pop(STUDY, self._study), _key_of(row)
                if self._study and of != self._study:
                    raise _other(file, number, of, self._study)
                if self._rows.setdefault(key, row) != row:
                    raise _twice(file, number, key)

    def __contains__(self, key: Key) -> bool:
        """Whether that training is done."""
        return key in self._rows

    def __getitem__(self, key: Key) -> Row:
        """The row of a training."""
        return self._rows[key]

    def __iter__(self) -> Iterator[Row]:
        """All of them, in a fixed order."""
        return iter([self._rows[key] for key in sorted(self._rows)])

    def add(self, key: Key, found: Row) -> None:
        """Writes it to the disk."""
        row = key._asdict() | found
        self._rows[key] = row
        noted = {STUDY: self._study} if self._study else {}
        append(self._own, (json.dumps(_signed(row | noted), allow_nan=False) + "\n").encode())


def _key_of(row: Row) -> Key:
    return Key(row["phase"], row["arm"], row["point"], row["seed"], row["first"])


def _signed(row: Row) -> Row:
    """With the SHA-256 of the rest, by which a row that was changed on the disk is known."""
    return row | {SHA256: hashlib.sha256(json.dumps(row).encode()).hexdigest()}


def _content(file: Path) -> bytes:
    return read_input(f"{file}: it", file, MOST)


def _read(file: Path) -> list[Row]:
    lines = _content(file).split(b"\n")[:-1]  # the rest, if any, is torn
    try:
        rows = [json.loads(line) for line in lines]
        for number, row in enumerate(rows, 1):
            digest = row.pop(SHA256, None)  # which rows of before have not
            if digest is not None and _signed(row)[SHA256] != digest:
                raise ValueError(f"line {number} is not what was written: its SHA-256 is another")
            _key_of(row)
        return rows
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}: every line",
            "be JSON, and as it was written",
            first_line(error),
            "Delete that line: its training is done again.",
        ) from error


def _other(file: Path, number: int, study: Any, expected: str) -> InputError:
    return InputError(
        f"{file}: every line",
        f"be of this study, SHA-256 {expected[:16]}…",
        f"line {number} of another one, {study!s:.16}…",
        "Put its own rows back, or move it away: its trainings are done again.",
    )


def _twice(file: Path, number: int, key: Key) -> InputError:
    what = f"{key.arm}, seed {key.seed}, point {key.point}, phase {key.phase}"
    return InputError(
        f"{file}: every line",
        "be the only one of its training",
        f"line {number}, another one of {what}",
        "Delete one of the two.",
    )
