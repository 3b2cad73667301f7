"""restore_head: the head out of every kind of checkpoint, read on another number of devices."""

import os
import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
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


@pytest.mark.parametrize("tree", stored.TREES)
@pytest.mark.parametrize("place", stored.PLACES)
def test_every_way_of_orbax_to_save(files: Path, place: str, tree: str) -> None:
    dtype = ml_dtypes.bfloat16 if tree == "bfloat16" else np.float32
    parts = {"train_state": "params/head/kernel", "boxed": "params/head/kernel/value"}
    parts |= {"convolution": "params/head/kernel", "nnx": "head/kernel/value"}
    for name in stored.ORBAX:
        found = ss.restore_head(files / name / place / tree)
        assert_head(found, dtype)
        assert found.path == parts.get(tree, "head/kernel"), name


@pytest.mark.parametrize("name", ["v1_training", "manager_default", "manager_state"])
def test_root_step_and_item_are_the_same_checkpoint(files: Path, name: str) -> None:
    root = files / name / "two" / "params"
    (step,) = root.iterdir()
    (item,) = (child for child in step.iterdir() if (child / "_METADATA").exists())
    for path in (root, step, item, os.path.relpath(item)):
        assert_head(ss.restore_head(path))


@pytest.mark.parametrize("tree", [tree for tree in stored.TREES if "nnx" not in tree])
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


BY_OTHER = "If it is stored the other way: layout="
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "several": (
        {"a/head/kernel": KERNEL, "b/head/kernel": KERNEL},
        {},
        "exactly one kernel must fit a module named head (or PyTorch's fc or classifier), got 2: "
        "a/head/kernel [8, 4], b/head/kernel [8, 4]. Name one with head=PATH (--head PATH).",
    ),
    "none of that name": (
        {"top/kernel": KERNEL},
        {"head": "../x"},
        "exactly one kernel must fit head='../x', got none of: top/kernel [8, 4]. Name one with",
    ),
    "no matrix": (
        {"a/b": KERNEL, "head/kernel": BIAS},
        {},
        "it must hold an array named kernel or weight with two dimensions, got none among 2 "
        "arrays. List them with: simsmooth inspect",
    ),
    "[K, N] as Flax's kernel": (
        {"head/kernel": KERNEL.T, "head/bias": BIAS},
        {},
        "the bias must be of the 8 classes that features-classes means, got kernel head/kernel "
        f"[4, 8], bias [4]. {BY_OTHER}classes-features (--layout classes-features).",
    ),
    "num_classes on the other axis": (
        {"head/weight": KERNEL.T, "head/bias": BIAS},
        {"num_classes": N},
        f"num_classes=8 must be of the 4 classes that classes-features means, got kernel "
        f"head/weight [4, 8], bias [4]. {BY_OTHER}features-classes (--layout features-classes).",
    ),
    "a bias of another length": (
        {"head/kernel": KERNEL, "head/bias": np.zeros(5)},
        {},
        "the bias must be of the 4 classes that features-classes means, got kernel head/kernel "
        "[8, 4], bias [5]. Name another kernel with head=PATH (--head PATH).",
    ),
    "a weight of no known program": (
        {"head/weight": KERNEL},
        {},
        "the axis of the classes must be known, got kernel head/weight [8, 4], which does not say "
        "it. Add layout=classes-features, as PyTorch's weights, or layout=features-classes "
        "(--layout).",
    ),
    "a square weight": (
        {"head/weight": SQUARE, "head/bias": BIAS},
        {"num_classes": K},
        "the axis of the classes must be known, got kernel head/weight [4, 4], bias [4], which",
    ),
    "three dimensions": (
        {"head/kernel": np.stack([KERNEL] * 2), "head/bias": BIAS},
        {},
        "the kernel head/kernel must have shape [N, K], got [2, 8, 4]. A leading axis of 2 is one "
        "copy per device only where all the arrays beside it have it too: save one copy.",
    ),
    "copies that differ": (
        {"head/kernel": np.stack([KERNEL, KERNEL + 1]), "head/bias": np.stack([BIAS] * 2)},
        {},
        "the 2 copies of head/kernel must be equal, got another in copy 1. Save the one that is",
    ),
    "a 3x3 convolution": (
        {"head/kernel": np.ones((3, 3, N, K))},
        {},
        "the kernel head/kernel must have shape [N, K], got [3, 3, 8, 4]. A convolution is a "
        "classifier only where it is 1x1.",
    ),
    "integers": (
        {"head/kernel": KERNEL.astype(np.int8)},
        {},
        "head/kernel must hold floating-point numbers, got int8. Save it as float32.",
    ),
    "bfloat16 that NumPy has not kept": (
        {"head/kernel": KERNEL.astype(ml_dtypes.bfloat16)},
        {},
        "head/kernel must hold floating-point numbers, got void16. NumPy's files lose bfloat16: "
        "save it as float32.",
    ),
    "a bias of objects": (
        {"head/kernel": KERNEL, "head/bias": np.full(K, None)},
        {},
        "it must hold arrays alone, got head/bias as an array of objects, a pickle, which is never",
    ),
    "no copies": (
        {"head/kernel": np.zeros((0, N, K)), "head/bias": np.zeros((0, K))},
        {},
        "the kernel head/kernel must hold one number at least, got [0, 8, 4]. Save the classifier",
    ),
    "no features": (
        {"head/kernel": np.zeros((0, K))},
        {},
        "the kernel head/kernel must hold one number at least, got [0, 4].",
    ),
    "one class": (
        {"head/kernel": KERNEL},
        {"num_classes": 1},
        "num_classes must be an integer >= 2, got 1. It is the number of columns",
    ),
    "classes that are no number": (
        {"head/kernel": KERNEL},
        {"num_classes": "4"},
        "num_classes must be an integer >= 2, got '4'. It is",
    ),
    "a path that is no text": (
        {"head/kernel": KERNEL},
        {"head": 3},
        "head must be a text, got 3. Write the kernel's path.",
    ),
    "a layout that does not exist": (
        {"kernel": KERNEL},
        {"layout": "KN"},
        "layout must be features-classes or classes-features, got 'KN'. Leave it out to have it",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(tmp_path: Path, case: str) -> None:
    arrays, options, message = REFUSED[case]
    path = tmp_path / "head.npz"
    np.savez(path, **arrays)
    with pytest.raises(ss.InputError, match=f"^checkpoint {re.escape(f'{path}: {message}')}") as e:
        ss.restore_head(path, **options)
    assert "\n" not in str(e.value)


# Layers of PyTorch's models as they are named, with the axis of the output first.
INNER: dict[str, tuple[dict[str, Any], str | None]] = {
    "squeeze and excitation": ({"layer1.0.se.fc.0": (N, N), "last_linear": (K, N)}, None),
    "an attention of 1x1": ({"stage.attn.fc": (N, N, 1, 1), "last_linear": (K, N)}, None),
    "an auxiliary head": ({"AuxLogits.fc": (K, 6), "last_linear": (K, N)}, None),
    "both called fc": ({"layer1.0.se.fc.0": (N, N), "fc": (K, N)}, None),
    "a deep head alone": ({"vit.blocks.0.mlp": (N, N), "model.head.fc": (K, N)}, "model.head.fc"),
    "a head in a Sequential": (
        {"encoder.0.attn.q": (N, N), "classifier.1": (K, N)},
        "classifier.1",
    ),
    "a second head of DeiT": ({"head_dist": (K, N), "head": (K, N)}, "head"),
    "a tower called as a moment": ({"v.fc": (K, N)}, "v.fc"),
}


@pytest.mark.parametrize("case", INNER)
def test_inner_layers_of_pytorch_are_not_taken_for_the_head(tmp_path: Path, case: str) -> None:
    shapes, taken = INNER[case]
    weights: dict[str, Any] = {"embedding.weight": np.ones((99, N))}
    for name, shape in shapes.items():
        weights |= {f"{name}.weight": np.ones(shape), f"{name}.bias": np.ones(shape[0])}
    safetensors.numpy.save_file(weights, tmp_path / "model.safetensors")
    if taken:
        assert ss.restore_head(tmp_path / "model.safetensors").path == f"{taken}.weight"
        return
    with pytest.raises(ss.InputError, match="exactly one kernel must fit a module named head") as e:
        ss.restore_head(tmp_path / "model.safetensors", num_classes=None)
    for name in shapes:
        assert f"{name}.weight [" in str(e.value)
    last = [*shapes][-1]
    found = ss.restore_head(tmp_path / "model.safetensors", head=f"{last}.weight")
    assert found.kernel.shape == (N, K)


def test_an_array_called_value_is_no_box(tmp_path: Path) -> None:
    for name in ("value", "head/value"):
        np.savez(tmp_path / "x.npz", kernel=KERNEL, bias=BIAS, **{name: np.ones(3)})  # pyright: ignore[reportArgumentType]
        assert_head(ss.restore_head(tmp_path / "x.npz"))


def test_one_dimensional_convolution_is_no_matrix(tmp_path: Path) -> None:
    weights = {"fc.weight": KERNEL.T[..., None].copy(), "fc.bias": BIAS}
    safetensors.numpy.save_file(weights, tmp_path / "x.safetensors")
    with pytest.raises(ss.InputError, match=r"fc.weight must have shape \[N, K\], got \[4, 8, 1\]"):
        ss.restore_head(tmp_path / "x.safetensors")


def test_many_candidates_are_not_all_listed(tmp_path: Path) -> None:
    kernels: dict[str, Any] = {f"m{i}/kernel": KERNEL for i in range(30)}
    np.savez(tmp_path / "many.npz", **kernels)
    with pytest.raises(ss.InputError, match=r"m11/kernel \[8, 4\], and 18 more\. Name one"):
        ss.restore_head(tmp_path / "many.npz")
