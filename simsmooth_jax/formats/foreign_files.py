"""Checkpoints that are not read: pickles, which could run code, and other programs' formats."""

import zipfile
from pathlib import Path

from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.flax_msgpack import starts_as_tree

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
KERAS = (".h5", ".hdf5", ".keras")
SAVE_HEAD = 'Save its last layer there: numpy.savez("head.npz", kernel=kernel, bias=bias).'


def refuse_file(path: Path, start: bytes) -> None:
    """Refuses a file that is known not to be readable, with the way out.

    Args:
      path: the file.
      start: its first bytes, eight or more where it has them.

    Raises:
      ValueError: it is a pickle, or of Keras or TensorFlow.
    """
    inside = _names_in_zip(path) if start.startswith(b"PK") else []
    if any(name.endswith("data.pkl") for name in inside) or is_pickle(start):
        raise pickled(path, "a pickle")
    if start.startswith(b"\x89HDF") or "model.weights.h5" in inside:
        raise _of_another_tool(path, "one of Keras (HDF5)")
    if path.name.endswith((".index", ".pb")) or ".data-0" in path.name:
        raise _of_another_tool(path, "one of TensorFlow")
    known = bool(inside) or start.startswith(b"\x93NUMPY") or start[8:9] == b"{"
    known = known or starts_as_tree(start)
    if path.suffix in PICKLES and not known:  # also a truncated one, or one of protocol 0
        raise pickled(path, f"what {path.suffix} files are, a pickle")
    if path.suffix in KERAS and not known:
        raise _of_another_tool(path, f"what {path.suffix} files are, one of Keras")


def refuse_directory(path: Path) -> None:
    """Refuses TensorFlow's directories, Orbax's without a list, and sharded models by name.

    Args:
      path: a directory.

    Raises:
      ValueError: it is one of them, or holds a pickle.
    """
    names = {child.name for child in path.iterdir()}
    if "saved_model.pb" in names:
        raise _of_another_tool(path, "a SavedModel of TensorFlow")
    if any(name.endswith(".index") for name in names):
        raise _of_another_tool(path, "one of TensorFlow")
    if names & {"checkpoint", "manifest.ocdbt"}:  # what Orbax has written beside it, or before it
        raise InputError(
            f"checkpoint {path}: it",
            "list its arrays in _METADATA",
            "one of Orbax without it",
            "Restore it from a copy, or load it with the Orbax that saved it and save it again.",
        )
    shards = sorted(name for name in names if name.endswith(".safetensors"))
    if len(shards) > 1:
        raise InputError(
            f"checkpoint {path}: it",
            "hold one .safetensors file",
            f"{len(shards)}, as {shards[-1]}",
            "Give the path of the file that holds the head.",
        )
    pickles = sorted(name for name in names if Path(name).suffix in PICKLES)
    if pickles:
        raise pickled(path / pickles[0], "a pickle")


def is_pickle(start: bytes) -> bool:
    """Whether bytes start as pickles of protocol 2 or later do."""
    return start[:1] == b"\x80" and 2 <= start[1] <= 5 if len(start) > 1 else False


def pickled(path: Path, what: str) -> InputError:
    """The error for anything that only unpickling could read."""
    return InputError(
        f"checkpoint {path}: it",
        "hold arrays alone",
        f"{what}, which is never loaded because loading it can run any program",
        (
            "Convert it where you trust it, as with PyTorch: "
            'safetensors.torch.save_file(model.state_dict(), "model.safetensors").'
        ),
    )


def _of_another_tool(path: Path, what: str) -> InputError:
    return InputError(
        f"checkpoint {path}: it", "be of Orbax, Flax, safetensors or NumPy", what, SAVE_HEAD
    )


def _names_in_zip(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except zipfile.BadZipFile:
        return []  # whoever reads it says so
