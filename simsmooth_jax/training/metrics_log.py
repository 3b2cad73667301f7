"""metrics.jsonl: one row a step and one a validation, none missing and none twice."""

import json
import os
from pathlib import Path
from typing import Any

from simsmooth_jax.distributed import is_writer
from simsmooth_jax.errors import InputError
from simsmooth_jax.files import write_atomically


class MetricsLog:
    """Rows are durable before a checkpoint of the same step is, and cut back to it on resume.

    Every process has the same rows; one of them writes.
    """

    def __init__(self, path: Path) -> None:
        """Opens nothing yet."""
        self.path = path
        self._pending: list[str] = []

    def append(self, row: dict[str, Any]) -> None:
        """Adds a row, in memory until `flush`."""
        self._pending.append(json.dumps(row))

    def flush(self) -> None:
        """Writes what was added and waits until the disk has it."""
        lines, self._pending = self._pending, []
        if not is_writer():
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())

    def rewind(self, arm: str, step: int) -> None:
        """Drops the rows of an arm after a step, and a line that a kill has torn."""
        if not is_writer():
            return
        kept = [row for row in self.rows() if row["arm"] != arm or row["step"] <= step]
        write_atomically(self.path, "".join(json.dumps(row) + "\n" for row in kept).encode())

    def rows(self) -> list[dict[str, Any]]:
        """All complete rows on disk."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")
        try:
            return [json.loads(line) for line in lines[:-1]]  # the rest, if any, is torn
        except ValueError as error:
            raise InputError(
                f"{self.path}: every line must be JSON, got {error}. Start anew with --overwrite."
            ) from error
