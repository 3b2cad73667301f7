"""A training that goes on with other devices says so in a line, and gives the same but rounding."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
from program import Forked

from simsmooth_jax.training.saved import checkpoints, made_from

pytestmark = pytest.mark.slow

COMMAND = ("train", "--image-size", 4, "--model", "mlp", "--width", 4, "--depth", 1)
COMMAND += ("--epochs", 3, "--batch-size", 496, "--learning-rate", 0.1, "--warmup-epochs", 1)
COMMAND += ("--checkpoint-every", 1, "--out", "out")  # what tiny_runs trains
LINE = (
    "devices: {} of kind cpu in 1 process, where the checkpoint was saved on {} of kind cpu in 1 "
    "process: the same examples in the same order, numbers differ by rounding\n"
)


def losses(out: Path) -> list[float]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


def noted(out: Path, step: str) -> dict[str, Any]:
    return checkpoints.read_metadata((out / "checkpoints" / step).absolute())["devices"]


def test_from_eight_to_one_and_back(
    tmp_path: Path, devices: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    tiny_runs.train(out)
    assert "devices: " not in capsys.readouterr().out
    eight = losses(out)
    shutil.rmtree(out / "checkpoints" / tiny_runs.LAST)  # as if it had been stopped before
    process = Forked(*COMMAND, cwd=tmp_path, variables={"JAX_NUM_CPU_DEVICES": "1"})
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    assert printed.count(LINE.format(1, 8)) == printed.count("devices: ") == 1
    np.testing.assert_allclose(losses(out), eight, rtol=1e-5)
    kept = {step: noted(out, step) for step in (tiny_runs.SPARE, tiny_runs.LAST)}
    assert [kept[step]["count"] for step in kept] == [8, 1]
    shutil.rmtree(out / "checkpoints" / tiny_runs.SPARE)
    for name in ("report.json", "SHA256SUMS"):
        (out / name).unlink()
    tiny_runs.train(out)
    assert capsys.readouterr().out.count(LINE.format(8, 1)) == 1


def test_all_that_differs_is_named() -> None:
    now = {"devices": {"count": 4, "kind": "NVIDIA H200", "processes": 2}}
    before = {"devices": {"count": 8, "kind": "TPU v5 lite", "processes": 1}}
    assert made_from.other_devices(before, now).startswith(
        "devices: 4 of kind NVIDIA H200 in 2 processes, where the checkpoint was saved on 8 of "
        "kind TPU v5 lite in 1 process: the same examples"
    )
    assert made_from.other_devices(now, now) == ""
    for older in ({}, {"devices": None}, {"devices": []}):  # which note none
        assert made_from.other_devices(older, now) == ""
    current = made_from.devices()["devices"]
    assert current == {"count": 8, "kind": "cpu", "processes": 1}
