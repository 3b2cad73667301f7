"""Tables on disk, as .npz for plain `numpy.load` or as .safetensors for other frameworks."""

import dataclasses
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from simsmooth_jax.errors import InputError, first_line, listed
from simsmooth_jax.formats.stores import numpy_files, safetensors_files
from simsmooth_jax.formats.stores.arrays import Name, StoredArrays
from simsmooth_jax.formats.stores.class_names import told_apart
from simsmooth_jax.machine.files.reading import MOST_TEXT, found_at, parsed_json, refuse_size
from simsmooth_jax.machine.files.writing import write_atomically
from simsmooth_jax.method.tables.forms import as_table
from simsmooth_jax.method.tables.top_k import TopKLabels

NUMBERS = ("float", "bfloat16", "int", "uint")
SUFFIXES = (".npz", ".safetensors")
SHA256 = "content_sha256"  # of all the rest
TEXTS = ("rule", "parameters", "source", "source_sha256", SHA256)


@dataclasses.dataclass(frozen=True)
class TableFile:
    """A table, dense or top-k, with all that is needed to use it and to make it again.

    A user's own has no rule, and class names if they were given.
    """

    table: Any  # a bare array is wrapped
    class_names: tuple[str, ...] | None
    rule: str = ""
    parameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    source: str = ""
    source_sha256: str = ""

    def __post_init__(self) -> None:
        """The table as one of the forms."""
        object.__setattr__(self, "table", as_table(self.table))

    def save(self, path: Path) -> None:
        """Writes the table and, as texts, all the rest: as .safetensors or .npz, by suffix.

        `table` is float32 `[K, K]`; top-k labels are `indices` int32 and `weights` float32 `[K, k]`
        instead. In safetensors the texts are the file's metadata, `class_names` and `parameters` as
        JSON. What a table does not have, as a user's own, is left out. `content_sha256` is of
        all the rest, and the same for both endings.
        """
        known = {"rule": self.rule, "source": self.source, "source_sha256": self.source_sha256}
        texts = known | {"parameters": json.dumps(self.parameters)} if self.rule else {}
        arrays = {name: np.ascontiguousarray(array) for name, array in self.table.arrays().items()}
        texts[SHA256] = content_sha256(arrays, texts, self.class_names)
        if path.suffix == ".safetensors":
            if self.class_names is not None:
                names = json.dumps(self.class_names, ensure_ascii=False)
                if re.search(r"[\ud800-\udfff]", names):  # as of a folder's name in other bytes
                    names = json.dumps(self.class_names)
                texts["class_names"] = names
            write_atomically(path, safetensors_files.in_order(arrays, texts))
            return
        buffer = io.BytesIO()
        if self.class_names is not None:
            arrays["class_names"] = np.asarray(self.class_names, np.str_)
        np.savez(buffer, **arrays, **texts)  # type: ignore[arg-type]
        write_atomically(path, buffer.getvalue())

    @property
    def shown_names(self) -> tuple[str, ...]:
        """The class names, or numbers where there are none."""
        return self.class_names or tuple(map(str, range(self.table.num_classes)))

    def own_mass(self) -> float:
        """What the own class keeps of its label, on average."""
        return float(self.table.own_weights().mean())


def load_table(path: Path) -> TableFile:
    """Reads a table that simsmooth wrote, or anyone's matrix in a NumPy or safetensors file.

    Of an .npz or .safetensors the array `table`, or the only matrix, or `indices` and `weights`.
    Nothing is ever unpickled.
    """
    if not path.is_file():
        raise InputError(
            "`labels`",
            "be onehot, uniform, online, ols, maxsup, lspp, pskd, zipf, mbls, acls or an existing "
            ".npz, .npy or .safetensors file",
            found_at(path),
            "Make one with: simsmooth labels CHECKPOINT --out labels.npz",
        )
    try:
        stored = (safetensors_files if path.suffix == ".safetensors" else numpy_files).open_file(
            path
        )
        texts = _texts(stored)
        names = _names_of_arrays(stored)
        read = stored.read(names)
        *indices, values = (read[name] for name in names)
        table = values.astype(np.float32)
        class_names = _class_names(stored)
        refuse_other_content(stored, read)
        return TableFile(
            table=TopKLabels(indices[0], table) if indices else table,
            class_names=class_names and told_apart(f"{path}: class_names", class_names),
            rule=texts.get("rule", ""),
            parameters=_parameters(texts.get("parameters", "{}")),
            source=texts.get("source", ""),
            source_sha256=texts.get("source_sha256", ""),
        )
    except PermissionError:
        raise
    except Exception as error:  # every way in which a library fails on a damaged file
        raise InputError(
            f"{path}: it",
            "be a table of labels",
            f"one that cannot be read ({_reason(error)})",
            "Make one with: simsmooth labels CHECKPOINT --out labels.npz, or ss.save_labels.",
        ) from error


def _names_of_arrays(stored: StoredArrays) -> list[Name]:
    """Of the table, or of indices and weights."""
    found = [name for name in (("indices",), ("weights",)) if name in stored.arrays]
    if len(found) < 2:
        matrices = [name for name, info in stored.arrays.items() if len(info.shape) == 2]
        found = [("table",)] if ("table",) in stored.arrays else matrices
    if len(found) != 1 and ("weights",) not in found:
        held = listed("/".join(name) for name in stored.arrays) or "no array"
        raise ValueError(f"neither a table nor a single matrix: {held}")
    for name in found:
        dtype = stored.arrays[name].dtype
        if dtype == "object":
            raise ValueError("pickled objects, which are never loaded")
        if not dtype.startswith(NUMBERS):
            raise ValueError(f"{name[-1]} is of {dtype}, not of real numbers")
    return found


def refuse_other_content(stored: StoredArrays, read: dict[Name, np.ndarray]) -> None:
    """Compares what was read of a file of labels with its own digest; others' files have none.

    Raises:
      ValueError: an array, a name or a text is not what was written.
    """
    texts = _texts(stored)
    if SHA256 not in texts:
        return
    names, dense = _class_names(stored), {name[-1]: array for name, array in read.items()}
    if content_sha256(dense, texts, names) != texts[SHA256]:
        raise ValueError("its content is not what was written: its SHA-256 is another one")


def content_sha256(
    arrays: dict[str, np.ndarray], texts: dict[str, str], class_names: tuple[str, ...] | None
) -> str:
    """SHA-256 of all that a file of labels holds, whatever its format."""
    said = {name: text for name, text in texts.items() if name != SHA256}
    digest = hashlib.sha256(json.dumps([class_names, said], sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f" {name} {array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _texts(stored: StoredArrays) -> dict[str, str]:
    """What is noted of a table: in a safetensors file its metadata, in an archive arrays."""
    held = [(name,) for name in TEXTS if (name,) in stored.arrays]
    refuse_size("its texts", sum(stored.arrays[name].nbytes for name in held), MOST_TEXT)
    noted = {name[0]: str(array) for name, array in stored.read(held).items()} if held else {}
    return {name: str(stored.metadata[name]) for name in TEXTS if name in stored.metadata} | noted


def _parameters(text: str) -> dict[str, Any]:
    values = parsed_json("parameters", text)
    if not isinstance(values, dict):
        raise ValueError("parameters are no JSON object")
    return values


def _class_names(stored: StoredArrays) -> tuple[str, ...] | None:
    names = stored.metadata.get("class_names")
    if names is None and numpy_files.NAMES not in stored.arrays:
        return None
    if not isinstance(names, list) or {type(name) for name in names} != {str}:
        raise ValueError("class_names is not a list of texts")
    return tuple(names)


def _reason(error: BaseException) -> str:
    text = error.got if isinstance(error, InputError) else first_line(error)
    return text.removeprefix("a damaged one (").removesuffix(")")


def array_sha256(array: Any) -> str:
    """SHA-256 of an array's float32 values in row-major order."""
    return hashlib.sha256(np.ascontiguousarray(array, "<f4").tobytes()).hexdigest()


def table_sha256(table: Any) -> str:
    """SHA-256 of a table of labels in any form; of a dense one that of its values."""
    parts = [array_sha256(array) for array in as_table(table).arrays().values()]
    return parts[0] if len(parts) == 1 else hashlib.sha256(" ".join(parts).encode()).hexdigest()
