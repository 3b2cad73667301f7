"""Tables on disk: similarity.npz and labels.npz, readable with plain `numpy.load`."""

import dataclasses
import hashlib
import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from simsmooth_jax import checks
from simsmooth_jax.errors import InputError
from simsmooth_jax.files import write_atomically

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError)
UNREADABLE += (NotImplementedError, zipfile.BadZipFile, zlib.error)


@dataclasses.dataclass(frozen=True)
class TableFile:
    """A table `[K, K]` with all that is needed to use it and to make it again."""

    table: Float[np.ndarray, "classes classes"]
    class_names: tuple[str, ...]
    rule: str
    parameters: dict[str, Any]
    kernel_sha256: str

    def save(self, path: Path) -> None:
        """Writes the keys `table`, `class_names`, `rule`, `parameters` (JSON), `kernel_sha256`."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            table=np.asarray(self.table, np.float32),
            class_names=np.asarray(self.class_names, np.str_),
            rule=np.asarray(self.rule),
            parameters=np.asarray(json.dumps(self.parameters)),
            kernel_sha256=np.asarray(self.kernel_sha256),
        )
        write_atomically(path, buffer.getvalue())


def load_table(path: Path) -> TableFile:
    """Reads a table file; never unpickles."""
    if not path.is_file():
        raise InputError(
            f"--labels must be onehot, uniform or the path of an existing .npz file, got {path}. "
            "Make one with: simsmooth labels CHECKPOINT --out labels.npz"
        )
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            fields = {field.name: file[field.name] for field in dataclasses.fields(TableFile)}
        kinds = (fields["table"].dtype.kind, fields["class_names"].dtype.kind)
        if kinds != ("f", "U") or fields["class_names"].ndim != 1:
            raise ValueError("table is not of floats, or class_names not a list of texts")
        return TableFile(
            table=fields["table"].astype(np.float32),
            class_names=tuple(map(str, fields["class_names"])),
            rule=str(fields["rule"]),
            parameters=json.loads(str(fields["parameters"])),
            kernel_sha256=str(fields["kernel_sha256"]),
        )
    except UNREADABLE as error:
        raise InputError(
            f"{path}: it must be a table that simsmooth wrote, got one that cannot be read "
            f"({_reason(error)}). "
            "Make one with: simsmooth labels CHECKPOINT --out labels.npz"
        ) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"no {str(error.args[0]).split()[0]}"
    if "allow_pickle" in str(error):
        return "no NumPy archive, or pickled objects, which are never loaded"
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def load_labels(path: Path, class_names: tuple[str, ...]) -> TableFile:
    """Reads a table to train on, and refuses one of other classes or of another order."""
    file = load_table(path)
    checks.label_table(f"--labels {path}", file.table, len(class_names))
    if file.class_names != class_names:
        pairs = zip(file.class_names, class_names, strict=False)
        row = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if row is None:
            raise InputError(
                f"--labels {path}: class_names must be the {len(class_names)} of the data, got "
                f"{len(file.class_names)}. Make the table from a classifier of these data."
            )
        raise InputError(
            f"--labels {path}: class_names must be those of the data in the same order, got "
            f"{file.class_names[row]!r} in row {row} where the data have {class_names[row]!r}. "
            "Permute table's rows and columns, or make the table from a classifier of these data."
        )
    return file


def array_sha256(array: Any) -> str:
    """SHA-256 of an array's float32 values in row-major order."""
    return hashlib.sha256(np.ascontiguousarray(array, "<f4").tobytes()).hexdigest()
