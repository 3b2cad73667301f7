"""restore_head: the head out of every kind of checkpoint, read on another number of devices."""

import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import write_checkpoints as stored
from write_checkpoints import BIAS, KERNEL, K, N

import simsmooth_jax as ss

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(shared_directory: Path) -> Path:
    return stored.written(shared_directory)


def assert_head(found: Any, dtype: Any = np.float32) -> None:
    assert isinstance(found.kernel, np.ndarray)
    assert found.kernel.dtype == found.bias.dtype == dtype
    assert found.kernel.shape == (N, K)
    assert (found.kernel == KERNEL.astype(dtype)).all()
    assert (found.bias == BIAS.astype(dtype)).all()


@pytest.mark.parametrize(("place", "tree"), stored.FEW)
def test_every_way_of_orbax_to_save(files: Path, place: str, tree: str) -> None:
    dtype = ml_dtypes.bfloat16 if tree == "bfloat16" else np.float32
    parts = {"train_state": "params/head/kernel", "boxed": "params/head/kernel/value"}
    parts |= {"convolution": "params/head/kernel", "nnx": "head/kernel/value"}
    for name in stored.ORBAX:
        found = ss.restore_head(files / name / place / tree)
        assert_head(found, dtype)
        assert found.path == parts.get(tree, "head/kernel"), name


@pytest.mark.heavy
@pytest.mark.parametrize(("place", "tree"), stored.EVERY)
def test_every_tree_in_every_place(shared_directory: Path, place: str, tree: str) -> None:
    test_every_way_of_orbax_to_save(stored.written(shared_directory, "every"), place, tree)


@pytest.mark.parametrize("name", ["v1_training", "manager_default", "manager_state"])
def test_root_step_and_item_are_the_same_checkpoint(files: Path, name: str) -> None:
    root = files / name / "two" / "params"
    (step,) = root.iterdir()
    (item,) = (child for child in step.iterdir() if (child / "_METADATA").exists())
    for path in (root, step, item, os.path.relpath(item)):
        assert_head(ss.restore_head(path))


@pytest.mark.parametrize("name", stored.MORE)
def test_model_beside_its_optimizer(files: Path, name: str) -> None:
    assert_head(ss.restore_head(files / "more" / name))


@pytest.mark.parametrize("tree", [tree for tree in stored.TREES if tree != "nnx"])
def test_flax_msgpack(files: Path, tree: str) -> None:
    dtype = ml_dtypes.bfloat16 if tree == "bfloat16" else np.float32
    for place in ("one", "pmap"):
        assert_head(ss.restore_head(files / "flax" / f"{place}-{tree}.msgpack"), dtype)


def test_flax_msgpack_in_chunks_and_as_steps(files: Path) -> None:
    assert_head(ss.restore_head(files / "flax" / "chunked.msgpack"))
    steps = files / "flax" / "steps"
    for path in (steps, steps / "checkpoint_10"):
        assert_head(ss.restore_head(path))
    assert (ss.restore_head_kernel(steps / "checkpoint_9") == KERNEL + 1).all()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", [name for name, _ in stored.torch_names()])
def test_pytorch_weights_are_transposed_by_their_name(files: Path, name: str, dtype: str) -> None:
    found = ss.restore_head(files / "others" / f"{name}-{dtype}.safetensors")
    assert_head(found, np.dtype(getattr(ml_dtypes, dtype, dtype)))
    assert found.path == ("fc" if name == "convolution" else name) + ".weight"


def test_files_of_arrays(files: Path, tmp_path: Path) -> None:
    others = files / "others"
    for name in ("flax.safetensors", "flax.npz", "torch.npz", "bare.npz"):
        assert_head(ss.restore_head(others / name))
    by_size = ss.restore_head_kernel(others / "bare.npy", num_classes=K)
    by_layout = ss.restore_head_kernel(others / "bare.npy", layout="features-classes")
    assert (by_size == KERNEL).all()
    assert (by_layout == KERNEL).all()
    np.save(tmp_path / "x.npy", KERNEL.astype(">f8"))  # as a machine of the other order of bytes
    swapped = ss.restore_head_kernel(tmp_path / "x.npy", layout="features-classes")
    assert swapped.dtype == np.dtype("float64")
    assert swapped.dtype.isnative
    assert (swapped == KERNEL).all()
    (tmp_path / "model.safetensors").symlink_to(others / "fc-float32.safetensors")
    assert_head(ss.restore_head(tmp_path))


SQUARE = np.arange(16.0).reshape(4, 4)
FOUND: dict[str, tuple[dict[str, Any], dict[str, Any], np.ndarray]] = {
    "a given layout goes before the name": (
        {"kernel": KERNEL.T, "bias": BIAS},
        {"layout": "classes-features"},
        KERNEL,
    ),
    "num_classes where nothing else says it": ({"x": KERNEL.T}, {"num_classes": K}, KERNEL),
    "a square matrix by its name": ({"head.kernel": SQUARE}, {}, SQUARE),
    "a square matrix by its layout": ({"x": SQUARE}, {"layout": "classes-features"}, SQUARE.T),
    "an EMA copy that is named": (
        {"params/head/kernel": KERNEL, "ema/head/kernel": KERNEL + 1},
        {"head": "ema"},
        KERNEL + 1,
    ),
    "optax's fields outside of opt_state": (
        {"params/head/kernel": KERNEL} | {f"o/0/{f}/head/kernel": KERNEL for f in ("mu", "nu")},
        {},
        KERNEL,
    ),
    "a module that is named as optax's field": (
        {"params/mu/head/kernel": KERNEL, "params/v/kernel": KERNEL + 1},
        {"head": "mu/head"},
        KERNEL,
    ),
    "dots and slashes in names": (
        {"block.0/head.1/kernel": KERNEL, "block.0/head.10/kernel": KERNEL + 1},
        {"head": "head.1"},
        KERNEL,
    ),
    "Haiku's names": (
        {"net/~/linear/w": KERNEL + 1, "net/~/logits/w": KERNEL, "net/~/logits/b": BIAS},
        {},
        KERNEL,
    ),
    "Haiku's last of its layers": (
        {"mlp/~/linear_0/w": np.ones((9, N)), "mlp/~/linear_1/w": KERNEL},
        {"num_classes": K},
        KERNEL,
    ),
    "a convolution in three dimensions": (
        {"classifier.1.weight": KERNEL.T.reshape(K, N, 1, 1, 1), "classifier.1.bias": BIAS},
        {"layout": "classes-features"},
        KERNEL,
    ),
    "the number of classes by their names": (
        {"body/kernel": np.ones((9, N)), "out/kernel": KERNEL, "class_names": np.array([*"abcd"])},
        {},
        KERNEL,
    ),
    "a whole name before parts of others": (
        {"a/kernel": KERNEL, "b/a/kernel": KERNEL + 1},
        {"head": "a/kernel"},
        KERNEL,
    ),
}


@pytest.mark.parametrize("case", FOUND)
def test_the_kernel_that_is_meant(tmp_path: Path, case: str) -> None:
    arrays, options, expected = FOUND[case]
    np.savez(tmp_path / "head.npz", **arrays)
    found = ss.restore_head_kernel(tmp_path / "head.npz", **options)
    assert found.shape == expected.shape
    assert (found == expected).all()
