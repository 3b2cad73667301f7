"""Tables on disk, as .npz for plain `numpy.load` or as .safetensors for other frameworks."""

import dataclasses
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from simsmooth_jax.errors import InputError, first_line
from simsmooth_jax.machine.files import write_atomically
from simsmooth_jax.method.tables import as_table, trainable_table
from simsmooth_jax.method.top_k import TopKLabels

ARRAYS = ("table", "indices", "weights")
TEXTS = ("rule", "parameters", "source", "source_sha256")


@dataclasses.dataclass(frozen=True)
class TableFile:
    """A table, dense or top-k, with all that is needed to use it and to make it again."""

    table: Any  # a bare array is wrapped
    class_names: tuple[str, ...]
    rule: str
    parameters: dict[str, Any]
    source: str
    source_sha256: str

    def __post_init__(self) -> None:
        """The table as one of the forms."""
        object.__setattr__(self, "table", as_table("labels", self.table))

    def save(self, path: Path) -> None:
        """Writes the table and, as texts, all the rest: as .safetensors or .npz, by suffix.

        `table` is float32 `[K, K]`; top-k labels are `indices` int32 and `weights` float32 `[K, k]`
        instead. In safetensors the texts are the file's metadata, `class_names` and `parameters` as
        JSON.
        """
        texts = {
            "rule": self.rule,
            "parameters": json.dumps(self.parameters),
            "source": self.source,
            "source_sha256": self.source_sha256,
        }
        arrays = {name: np.ascontiguousarray(array) for name, array in self.table.arrays().items()}
        if path.suffix == ".safetensors":
            texts["class_names"] = json.dumps(self.class_names, ensure_ascii=False)
            write_atomically(path, safetensors.numpy.save(arrays, texts))
            return
        buffer = io.BytesIO()
        names = np.asarray(self.class_names, np.str_)
        np.savez(buffer, class_names=names, **arrays, **texts)  # type: ignore[arg-type]
        write_atomically(path, buffer.getvalue())

    def own_mass(self) -> float:
        """What the own class keeps of its label, on average."""
        return float(self.table.own_weights().mean())


def load_table(path: Path) -> TableFile:
    """Reads a table file of either kind; never unpickles."""
    if not path.is_file():
        raise InputError(
            "`labels`",
            "be onehot, uniform, online, ols, maxsup or an existing .npz or .safetensors file",
            path,
            "Make one with: simsmooth labels CHECKPOINT --out labels.npz",
        )
    read = _read_safetensors if path.suffix == ".safetensors" else _read_npz
    try:
        arrays, class_names, texts = read(path)
        values = arrays["weights" if "weights" in arrays else "table"]
        kinds = {type(name) for name in class_names}
        if values.dtype.kind != "f" or kinds - {str}:
            raise ValueError("table is not of floats, or class_names not a list of texts")
        table = values.astype(np.float32)
        return TableFile(
            table=TopKLabels(arrays["indices"], table) if "weights" in arrays else table,
            class_names=tuple(class_names),
            rule=texts["rule"],
            parameters=json.loads(texts["parameters"]),
            source=texts["source"],
            source_sha256=texts["source_sha256"],
        )
    except PermissionError:
        raise
    except Exception as error:  # every way in which a library fails on a damaged file
        raise InputError(
            f"{path}: it",
            "be a table that simsmooth wrote",
            f"one that cannot be read ({_reason(error)})",
            "Make one with: simsmooth labels CHECKPOINT --out labels.npz",
        ) from error


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], list[Any], dict[str, str]]:
    with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
        texts = {name: str(file[name]) for name in TEXTS}
        names = file["class_names"]
        arrays = {name: file[name] for name in ARRAYS if name in file}
        return arrays, names.tolist() if names.ndim == 1 else [None], texts


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], list[Any], dict[str, str]]:
    with safetensors.safe_open(path, "np") as file:
        texts = file.metadata() or {}
        arrays = {name: file.get_tensor(name) for name in {*ARRAYS} & {*file.keys()}}
        return arrays, json.loads(texts["class_names"]), texts


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"no {str(error.args[0]).split()[0]}"
    if "allow_pickle" in str(error):
        return "no NumPy archive, or pickled objects, which are never loaded"
    return first_line(error)


def load_labels(path: Path, class_names: tuple[str, ...]) -> TableFile:
    """Reads a table to train on, and refuses one of other classes or of another order."""
    file = load_table(path)
    trainable_table(f"`labels={path}`", file.table, len(class_names))
    if file.class_names != class_names:
        pairs = zip(file.class_names, class_names, strict=False)
        row = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if row is None:
            raise InputError(
                f"`labels={path}`: class_names",
                f"be the {len(class_names)} of the data",
                len(file.class_names),
                "Make the table from a classifier of these data.",
            )
        raise InputError(
            f"`labels={path}`: class_names",
            "be those of the data in the same order",
            f"{file.class_names[row]!r} in row {row} where the data have {class_names[row]!r}",
            "Permute table's rows and columns, or make the table from a classifier of these data.",
        )
    return file


def array_sha256(array: Any) -> str:
    """SHA-256 of an array's float32 values in row-major order."""
    return hashlib.sha256(np.ascontiguousarray(array, "<f4").tobytes()).hexdigest()


def table_sha256(table: Any) -> str:
    """SHA-256 of a table of labels in any form; of a dense one that of its values."""
    parts = [array_sha256(array) for array in as_table("labels", table).arrays().values()]
    return parts[0] if len(parts) == 1 else hashlib.sha256(" ".join(parts).encode()).hexdigest()
