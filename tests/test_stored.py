"""Files that are no whole checkpoint: refused in one line, never loaded, never created."""

import os
import pickle
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.serialization
import msgpack
import numpy as np
import pytest
import safetensors.numpy
import write_checkpoints as stored
from write_checkpoints import BIAS, KERNEL

import simsmooth_jax as ss

pytestmark = pytest.mark.slow
LAYER = {"kernel": KERNEL, "bias": BIAS}
WAY_OUT = 'with PyTorch: safetensors.torch.save_file(model.state_dict(), "model.safetensors").'


@pytest.fixture(scope="module")
def files(shared_directory: Path) -> Path:
    return stored.written(shared_directory)


def refused(path: Path) -> str:
    """The one line, after everything was read that can be."""
    with pytest.raises(ss.InputError) as error:
        ss.restore_head(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


class Bomb:
    """Pickled, it creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_nothing_there(tmp_path: Path) -> None:
    assert refused(tmp_path / "none").startswith(
        "`checkpoint` must be an existing directory or file"
    )
    (tmp_path / "7").mkdir()
    assert f"got {tmp_path / '7'}, an empty directory." in refused(tmp_path / "7")
    (tmp_path / "empty.npz").touch()
    assert "got a damaged one (an empty file). Restore it" in refused(tmp_path / "empty.npz")
    assert sorted(os.listdir(tmp_path)) == ["7", "empty.npz"]


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        assert refused(path).startswith(f"checkpoint {path}: it must be a regular file, got a ")
    long = tmp_path / ("x" * 5000)
    assert refused(long).startswith("`checkpoint` must be an existing directory or file, got")
    (tmp_path / "model" / "x.safetensors").mkdir(parents=True)
    assert refused(tmp_path / "model").endswith("are in its first, uniform and second.")


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    bomb = Bomb(tmp_path / "loaded")
    for protocol, name in ((0, "model.pkl"), (2, "model.pt"), (5, "model")):
        (tmp_path / name).write_bytes(pickle.dumps(bomb, protocol))
        assert refused(tmp_path / name).endswith(WAY_OUT)
    with zipfile.ZipFile(tmp_path / "model.safetensors", "w") as archive:  # torch.save, renamed
        archive.writestr("archive/data.pkl", pickle.dumps(bomb))
    assert refused(tmp_path / "model.safetensors").endswith(WAY_OUT)
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "pytorch_model.bin").write_bytes(pickle.dumps(bomb))
    assert refused(tmp_path / "directory").endswith(WAY_OUT)
    objects = np.full((3, 2), bomb)
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "objects.npz", kernel=objects)
    for name in ("objects.npy", "objects.npz"):
        message = refused(tmp_path / name)
        assert "an array of objects, a pickle, which is never loaded because" in message
        assert message.endswith(WAY_OUT)
    np.savez(tmp_path / "names.npz", kernel=KERNEL, class_names=np.full(4, bomb))
    assert (ss.restore_head_kernel(tmp_path / "names.npz") == KERNEL).all()
    assert not (tmp_path / "loaded").exists()


# What it is, and how its way out starts; the content goes before the name.
ONNX = b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\xd0"
OTHER_TOOLS = {
    "model.h5": (b"\x89HDF\r\n\x1a\n more", "one of Keras (HDF5)", "model.layers[-1].get_weights"),
    "weights.keras": (b"no zip", "what .keras files are, one of Keras", "model.layers[-1].get_w"),
    "model.index": (b"\0\0\1\2\3\4\5\6\7", "one of TensorFlow", "tf.train.load_checkpoint(PATH)"),
    "saved/saved_model.pb": (b"x", "a SavedModel of TensorFlow", "load_checkpoint(DIRECTORY/var"),
    "tf/model-7.index": (b"x", "one of TensorFlow", "tf.train.load_checkpoint(PATH)"),
    "model.onnx": (b"\x08\x07\x12\x07tf2onnx", "one of ONNX", "onnx.load(FILE)"),
    "export": (ONNX, "one of ONNX", "onnx.load(FILE)"),
    "model.bin": (ONNX, "one of ONNX", "onnx.load(FILE)"),
    "hub/model.onnx": (ONNX, "one of ONNX", "onnx.load(FILE)"),
    "model.tflite": (b"\x1c\0\0\0TFL3", "one of TFLite", "tf.lite.Interpreter"),
    "lite.bin": (b"\x1c\0\0\0TFL3", "one of TFLite", "tf.lite.Interpreter"),
    "model.eqx": (b"\x93NUMPY\1\0", "one of Equinox", "eqx.tree_deserialise_leaves"),
    "sized.eqx": (b'{"width": 3}\n\x93NUMPY\1\0', "one of Equinox", "eqx.tree_deserialise"),
}


@pytest.mark.parametrize("name", OTHER_TOOLS)
def test_other_tools_with_their_way_out(tmp_path: Path, name: str) -> None:
    content, kind, way_out = OTHER_TOOLS[name]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    message = refused(path if path.parent == tmp_path else path.parent)
    assert f"must be of Orbax, Flax, safetensors or NumPy, got {kind}. " in message
    assert way_out in message.split(kind)[1]
    assert "pickle" not in message


def test_pointers_of_git_lfs(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    for name in ("model.safetensors", "pytorch_model.bin", "model.npz", "model.h5", "x/model.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(pointer)
        message = refused(tmp_path / name)
        assert "it must be the file itself, got a pointer of Git LFS to it. Fetch it" in message
        assert message.endswith(": git lfs pull.")
    assert refused(tmp_path / "x").endswith(": git lfs pull.")


def test_nothing_is_called_a_pickle_that_is_none(tmp_path: Path) -> None:
    """`.bin` is what many programs call their bytes."""
    for name in ("model.bin", "model.ckpt", "model.pt"):
        (tmp_path / name).write_bytes(bytes(64))
        assert "got a file of another kind, which starts with b'" in refused(tmp_path / name)
        assert "pickle" not in refused(tmp_path / name)


def test_other_kinds_of_file(tmp_path: Path) -> None:
    contents = {"notes.txt": b"accuracy 0.98", "a.png": b"\x89PNG\r\n\x1a\n....", "short": b"\xdf"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        kind = f"a file of another kind, which starts with {content[:8]!r}. Give an Orbax check"
        assert f"it must be of a kind that can be read, got {kind}" in refused(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("model.weights.h5", b"")
    assert "got one of Keras (HDF5)." in refused(tmp_path / "model.keras")
    for shard in ("a.safetensors", "b.safetensors"):
        safetensors.numpy.save_file(LAYER, tmp_path / shard)
    message = refused(tmp_path)
    assert "must hold one .safetensors file, got 2, as b.safetensors. Give the path" in message


WRITERS: dict[str, Callable[[Path], Any]] = {
    "head.npz": lambda path: np.savez(path, **LAYER),  # pyright: ignore[reportArgumentType]
    "head.npy": lambda path: np.save(path, KERNEL),
    "head.safetensors": lambda path: safetensors.numpy.save_file(LAYER, path),
    "head.msgpack": lambda path: path.write_bytes(
        flax.serialization.to_bytes({"mean": np.zeros(99), "head": LAYER})
    ),
    "checkpoint_3": lambda path: path.write_bytes(flax.serialization.to_bytes({"head": LAYER})),
}


@pytest.mark.parametrize("name", WRITERS)
def test_truncated_anywhere(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    whole = path.read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        message = refused(path)
        assert "it must be whole, got a damaged one (" in message or length < 10, message


# What to replace in a file of LAYER so that its header claims more than it holds.
CLAIMS = {
    "head.npz": (b"'shape': (8, 4)", b"'shape': (9, 4)"),
    "head.npy": (b"'shape': (8, 4)", b"'shape': (8,99)"),
    "head.safetensors": (b'"shape":[8,4]', b'"shape":[9,9]'),
    "head.msgpack": (b"\x92\x08\x04\xa7float32", b"\x92\x08\x05\xa7float32"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_header_that_claims_more_than_there_is(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    whole, (true, claim) = path.read_bytes(), CLAIMS[name]
    assert whole.count(true) == 1
    path.write_bytes(whole.replace(true, claim))
    assert "it must be whole, got a damaged one (" in refused(path)


@pytest.mark.parametrize("shape", [(-8, -4), (1 << 62, 0, 3), (8.0, 4), ("8", 4)])
def test_shapes_that_are_none(tmp_path: Path, shape: Any) -> None:
    """As Flax's extension type has it: the shape, the dtype's name and the bytes."""
    array = msgpack.packb((shape, "float32", KERNEL.tobytes()))
    tree = {"head": {"kernel": msgpack.ExtType(1, array)}}
    (tmp_path / "x.msgpack").write_bytes(bytes(msgpack.packb(tree) or b""))
    assert "it must be " in refused(tmp_path / "x.msgpack")


def test_long_lists_are_stepped_over(tmp_path: Path) -> None:
    tree = {"history": [None] * 200_000 + [True, 5, -3], "head": LAYER}
    (tmp_path / "x.msgpack").write_bytes(flax.serialization.msgpack_serialize(tree))
    tracemalloc.start()
    assert (ss.restore_head_kernel(tmp_path / "x.msgpack") == KERNEL).all()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_names_that_are_nested_without_end(files: Path, tmp_path: Path) -> None:
    """JSON that no parser follows to its end is no names of classes, and no reason to fail."""
    nested = "[" * 200_000
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file({"fc.weight": KERNEL.T.copy()}, path, {"class_names": nested})
    assert (ss.restore_head_kernel(path) == KERNEL).all()
    step = Path(shutil.copytree(files / "v1_training" / "one" / "params" / "9", tmp_path / "9"))
    (step / "_CHECKPOINT_METADATA").write_text(nested)
    assert (ss.restore_head_kernel(step) == KERNEL).all()


def test_suffixes_do_not_hide_what_is_readable(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(flax.serialization.to_bytes({"head": LAYER}))
    safetensors.numpy.save_file(LAYER, tmp_path / "model.bin")
    np.savez(tmp_path / "model.npz", **LAYER)  # pyright: ignore[reportArgumentType]
    (tmp_path / "model.npz").rename(tmp_path / "model.pt")
    for name in ("model.ckpt", "model.bin", "model.pt"):
        assert (ss.restore_head_kernel(tmp_path / name) == KERNEL).all()
