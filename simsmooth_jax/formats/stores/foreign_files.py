"""Checkpoints that are not read: pickles, which could run code, and other programs' formats."""

from pathlib import Path

from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.stores import numpy_files
from simsmooth_jax.formats.stores.arrays import Place
from simsmooth_jax.formats.stores.flax_msgpack import starts_as_tree
from simsmooth_jax.machine.files.reading import open_input

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
OF_KERAS = (
    "Save its last layer there: kernel, bias = model.layers[-1].get_weights(); "
    'numpy.savez("head.npz", kernel=kernel, bias=bias).'
)
OF_ONNX = (
    'Save its last layer there: numpy.savez("head.npz", kernel=onnx.numpy_helper.to_array(W)) '
    "of an initializer W [features, classes] of onnx.load(FILE).graph."
)
OF_TFLITE = (
    "Its weights may be rounded to 8 bits: take the checkpoint that it was converted from, or save "
    'the tensor of tf.lite.Interpreter: numpy.savez("head.npz", kernel=weight.T).'
)
OF_EQUINOX = (
    "Its arrays have no names: load it with eqx.tree_deserialise_leaves(FILE, model), then "
    'numpy.savez("head.npz", kernel=model.head.weight.T, bias=model.head.bias).'
)
OF_TENSORFLOW = (
    "Save its last layer there: tf.train.load_checkpoint(PATH).get_tensor(NAME), "
    'then numpy.savez("head.npz", kernel=kernel, bias=bias).'
)
OF_SAVED_MODEL = (
    "Save its last layer there: tf.train.load_checkpoint(DIRECTORY/variables/variables)"
    '.get_tensor(NAME), then numpy.savez("head.npz", kernel=kernel, bias=bias).'
)
# What a suffix means where the content does not tell: the name of the kind and the way out.
BY_SUFFIX = {
    ".onnx": ("one of ONNX", OF_ONNX),
    ".tflite": ("one of TFLite", OF_TFLITE),
    ".eqx": ("one of Equinox", OF_EQUINOX),
    ".index": ("one of TensorFlow", OF_TENSORFLOW),
    ".pb": ("one of TensorFlow", OF_TENSORFLOW),
    ".h5": ("what .h5 files are, one of Keras", OF_KERAS),
    ".hdf5": ("what .hdf5 files are, one of Keras", OF_KERAS),
    ".keras": ("what .keras files are, one of Keras", OF_KERAS),
}
LFS = b"version https://git-lfs"


def refuse_file(path: Path, start: bytes) -> None:
    """Refuses a file that is known not to be readable, with the way out; its content goes first.

    Args:
      path: the file.
      start: its first bytes, 24 or more where it has them.

    Raises:
      ValueError: it is a pickle, a pointer of Git LFS, or of another program.
    """
    if start.startswith(LFS):
        raise InputError(
            f"checkpoint {path}: it",
            "be the file itself",
            "a pointer of Git LFS to it",
            "Fetch it where it was cloned: git lfs pull.",
        )
    inside = _names_in_zip(path) if start.startswith(b"PK") else []
    if any(name.endswith("data.pkl") for name in inside):
        raise pickled(path, "a file of torch.save, a pickle in a zip")
    if is_pickle(start):
        raise pickled(path, "a pickle")
    if start.startswith(b"\x89HDF") or "model.weights.h5" in inside:
        raise _of_another_tool(path, "one of Keras (HDF5)", OF_KERAS)
    if start[4:8] == b"TFL3":
        raise _of_another_tool(path, *BY_SUFFIX[".tflite"])
    if b"pytorch" in start and start[:1] == b"\x08":  # the producer's name, of the exporter
        raise _of_another_tool(path, *BY_SUFFIX[".onnx"])
    if path.suffix == ".eqx" and start.startswith(b"\x93NUMPY"):  # of which NumPy reads the first
        raise _of_another_tool(path, *BY_SUFFIX[".eqx"])
    if inside or start.startswith(b"\x93NUMPY") or start[8:9] == b"{" or starts_as_tree(start):
        return
    if path.suffix in BY_SUFFIX:
        raise _of_another_tool(path, *BY_SUFFIX[path.suffix])
    if ".data-0" in path.name:
        raise _of_another_tool(path, *BY_SUFFIX[".index"])
    if path.suffix in PICKLES and _may_be_pickle(start):
        raise pickled(path, f"what {path.suffix} files are, a pickle")


def _may_be_pickle(start: bytes) -> bool:
    """A truncated zip of torch.save, its old tar, or protocol 0, whose first byte is an opcode."""
    return start.startswith(b"PK") or start[:1] in (b"(", b"c", b"}", b"]")


def refuse_directory(path: Path) -> None:
    """Refuses TensorFlow's directories, Orbax's without a list, and sharded models by name.

    Args:
      path: a directory.

    Raises:
      ValueError: it is one of them, or holds a pickle.
    """
    names = {child.name for child in path.iterdir()}
    if "saved_model.pb" in names:
        raise _of_another_tool(path, "a SavedModel of TensorFlow", OF_SAVED_MODEL)
    if any(name.endswith(".index") for name in names):
        raise _of_another_tool(path, *BY_SUFFIX[".index"])
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
    for name in sorted(names):  # what they are is for their content to say
        if Path(name).suffix in (*PICKLES, *BY_SUFFIX) and (path / name).is_file():
            with open_input(f"checkpoint {path / name}: it", path / name) as file:
                refuse_file(path / name, file.read(64))


def is_pickle(start: bytes) -> bool:
    """Whether bytes start as pickles of protocol 2 or later do."""
    return start[:1] == b"\x80" and 2 <= start[1] <= 5 if len(start) > 1 else False


def pickled(path: Place, what: str) -> InputError:
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


def _of_another_tool(path: Path, what: str, way_out: str) -> InputError:
    return InputError(
        f"checkpoint {path}: it", "be of Orbax, Flax, safetensors or NumPy", what, way_out
    )


def _names_in_zip(path: Path) -> list[str]:
    try:
        with (
            open_input(f"checkpoint {path}: it", path) as file,
            numpy_files.open_zip(path, file) as archive,
        ):
            return archive.namelist()
    except InputError:
        raise
    except Exception:  # whatever zipfile raises: whoever reads it says so
        return []
