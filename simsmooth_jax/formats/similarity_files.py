"""Similarities out of a user's own file: embeddings of the classes, or a finished table."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from simsmooth_jax.errors import InputError, listed
from simsmooth_jax.formats.label_files import refuse_other_content
from simsmooth_jax.formats.stores.arrays import refusing_damage
from simsmooth_jax.formats.stores.class_names import told_apart
from simsmooth_jax.formats.stores.numpy_files import NAMES
from simsmooth_jax.formats.stores.opening import StoredArrays, open_stored

TOLERANCE = 1e-5


def read_class_vectors(
    text: str,
) -> tuple[Float[np.ndarray, "features classes"], tuple[str, ...] | None]:
    """The vectors of `vectors:FILE`, whose rows are classes, `[K, D]`, as columns `[D, K]`.

    Label embeddings, attributes, or anything else whose cosines are to be the similarity.
    """
    values, names = _read("vectors", text)
    return values.T, names


def read_similarity(
    text: str,
) -> tuple[Float[np.ndarray, "classes classes"], tuple[str, ...] | None]:
    """The similarity of `table:FILE`, `[K, K]`: of a hierarchy, of people's confusions, of a run.

    It must be symmetric, in [-1, 1] and 1 on the diagonal, as cosines are.
    """
    values, names = _read("table", text)
    where = f"`similarity={text}`"
    if values.shape[0] != values.shape[1]:
        raise InputError(
            f"{where}: it",
            "hold a table [K, K]",
            list(values.shape),
            "Vectors of the classes [K, D] are: `similarity=vectors:FILE`.",
        )
    flaws = {
        "1 on the diagonal": np.abs(np.diagonal(values) - 1).max(),
        "symmetric": np.abs(values - values.T).max(),
        "in [-1, 1]": np.abs(values).max() - 1,
    }
    for rule, flaw in flaws.items():
        if not flaw <= TOLERANCE:
            raise InputError(
                f"{where}: a similarity",
                f"be {rule}",
                f"one that differs by {flaw:.4g}",
                "Rows that are vectors of the classes are: `similarity=vectors:FILE`.",
            )
    symmetric = np.clip((values + values.T) / 2, -1, 1)
    np.fill_diagonal(symmetric, 1)
    return symmetric.astype(np.float32), names


def _read(kind: str, text: str) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """The array of that name, or the only matrix of a file, and its class_names if it has some."""
    path = Path(text.partition(":")[2])
    if path == Path() or not path.exists():
        raise InputError(
            f"`similarity={kind}:FILE`",
            "name an existing file",
            text,
            f"Save it with numpy.savez(FILE, {kind}=matrix).",
        )
    try:
        stored = open_stored(path)
    except InputError as error:
        raise error.under(f"`similarity={text}`") from error
    matrices = [name for name, info in stored.arrays.items() if len(info.shape) == 2]
    found = [name for name in matrices if name[-1] == kind] or matrices
    if len(found) != 1:
        held = listed("/".join(name) for name in stored.arrays) or "nothing"
        raise InputError(
            f"`similarity={text}`: it",
            f"hold one matrix, or one named {kind}",
            held,
            f"Save it alone: numpy.savez(FILE, {kind}=matrix).",
        )
    dtype = stored.arrays[found[0]].dtype
    if not dtype.startswith(("float", "bfloat16", "int", "uint")):
        what = "objects, which are a pickle" if dtype == "object" else dtype
        raise InputError(
            f"`similarity={text}`: it", "hold finite real numbers", what, "Save them as float32."
        )
    read = stored.read(found)
    with refusing_damage(path):
        refuse_other_content(stored, read)
    values = read[found[0]]
    if values.shape[0] < 2 or values.shape[1] < 1:
        raise InputError(
            f"`similarity={text}`: it",
            "hold a row for each of two classes or more",
            list(values.shape),
            f"Save {kind} [K, {'K' if kind == 'table' else 'D'}].",
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite and refused
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(
            f"`similarity={text}`: it",
            "hold finite real numbers",
            "NaN or infinity as float32",
            "Leave such rows out, or mend them.",
        )
    return values, _class_names(f"`similarity={text}`", stored, len(values))


def _class_names(where: str, stored: StoredArrays, num_classes: int) -> tuple[str, ...] | None:
    """The names of the rows, where a file holds an array of them, or notes them."""
    names = stored.metadata.get("class_names")
    if names is None and NAMES in stored.arrays:
        dtype = stored.arrays[NAMES].dtype
        what = "objects, which are a pickle" if dtype == "object" else dtype
        raise InputError(
            f"{where}: class_names", "be texts [K]", what, "Save them with numpy.array(names, str)."
        )
    if names is None:
        return None
    if not isinstance(names, list) or {type(name) for name in names} != {str}:
        raise InputError(
            f"{where}: class_names", "be texts [K]", f"{names!r:.40}", "Save a name for each row."
        )
    if len(names) != num_classes:
        raise InputError(
            f"{where}: class_names",
            f"be {num_classes}, one for each row",
            len(names),
            "Save a name for each row.",
        )
    return told_apart(f"{where}: class_names", names)
