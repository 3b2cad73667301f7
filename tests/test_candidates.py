"""Which of a file's arrays may be the head: inner layers, odd names, long lists."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from write_checkpoints import BIAS, KERNEL, K, N

import simsmooth_jax as ss

# Layers of PyTorch's models as they are named, with the axis of the output first.
INNER: dict[str, tuple[dict[str, Any], str | None]] = {
    "squeeze and excitation": ({"layer1.0.se.fc.0": (N, N), "last_linear": (K, N)}, None),
    "an attention of 1x1": ({"stage.attn.fc": (N, N, 1, 1), "last_linear": (K, N)}, None),
    "an auxiliary head": ({"AuxLogits.fc": (K, 6), "last_linear": (K, N)}, None),
    "both called fc": ({"layer1.0.se.fc.0": (N, N), "fc": (K, N)}, "fc"),
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
    with pytest.raises(ss.InputError, match="exactly one kernel must be known by a name") as e:
        ss.restore_head(tmp_path / "model.safetensors", num_classes=None)
    for name in shapes:
        assert f"{name}.weight [" in str(e.value)
    last = [*shapes][-1]
    found = ss.restore_head(tmp_path / "model.safetensors", head=f"{last}.weight")
    assert found.kernel.shape == (N, K)


def test_an_array_called_value_is_no_box(tmp_path: Path) -> None:
    for name in ("value", "head/value"):
        np.savez(tmp_path / "x.npz", kernel=KERNEL, bias=BIAS, **{name: np.ones(3)})  # pyright: ignore[reportArgumentType]
        assert (ss.restore_head_kernel(tmp_path / "x.npz") == KERNEL).all()


def test_one_dimensional_convolution_is_no_matrix(tmp_path: Path) -> None:
    weights = {"fc.weight": KERNEL.T[..., None].copy(), "fc.bias": BIAS}
    safetensors.numpy.save_file(weights, tmp_path / "x.safetensors")
    with pytest.raises(ss.InputError, match=r"fc.weight must have shape \[N, K\], got \[4, 8, 1\]"):
        ss.restore_head(tmp_path / "x.safetensors")


def test_many_candidates_are_not_all_listed(tmp_path: Path) -> None:
    kernels: dict[str, Any] = {f"m{i}/kernel": KERNEL for i in range(30)}
    np.savez(tmp_path / "many.npz", **kernels)
    with pytest.raises(ss.InputError, match=r"m22/kernel \[8, 4\], and 22 more\. Try"):
        ss.restore_head(tmp_path / "many.npz")
