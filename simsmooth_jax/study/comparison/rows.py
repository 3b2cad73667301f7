"""The rows of a study, one a training: whole lines of JSON, durable before the next training."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simsmooth_jax.errors import InputError, first_line
from simsmooth_jax.machine.files import write_atomically

ROWS = "rows"  # a file for each shard: rows-1-of-2.jsonl

Row = dict[str, Any]
Key = tuple[str, str, int, int]  # phase, arm, point, seed


def key_of(row: Row) -> Key:
    """What tells a row from all others of its study."""
    return row["phase"], row["arm"], row["point"], row["seed"]


class Rows:
    """The rows of all shards, of which this process adds to one."""

    def __init__(self, directory: Path, shard: tuple[int, int]) -> None:
        """Reads what is there; drops the end of a line that a kill tore, in its own file alone."""
        self.directory = directory
        number, count = shard
        self._own = directory / f"{ROWS}-{number}-of-{count}.jsonl"
        if self._own.exists():
            whole = self._own.read_bytes()
            kept = whole[: whole.rfind(b"\n") + 1]
            if kept != whole:
                write_atomically(self._own, kept)
        self.read()

    def read(self) -> None:
        """Takes in what other shards have written meanwhile."""
        files = sorted(self.directory.glob(f"{ROWS}-*.jsonl"))
        self._rows = {key_of(row): row for file in files for row in _read(file)}

    def __contains__(self, key: Key) -> bool:
        """Whether that training is done."""
        return key in self._rows

    def __getitem__(self, key: Key) -> Row:
        """The row of a training."""
        return self._rows[key]

    def __iter__(self) -> Iterator[Row]:
        """All of them, in a fixed order."""
        return iter([self._rows[key] for key in sorted(self._rows)])

    def add(self, row: Row) -> None:
        """Writes it to the disk."""
        self._rows[key_of(row)] = row
        with self._own.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _read(file: Path) -> list[Row]:
    lines = file.read_text(encoding="utf-8").split("\n")[:-1]  # the rest, if any, is torn
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise InputError(
            f"{file}: every line",
            "be JSON",
            first_line(error),
            "Delete that line: its training is done again.",
        ) from error
