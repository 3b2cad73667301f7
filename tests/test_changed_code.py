"""The code of a user's own model, or a setting of JAX, is not what it was: that is said."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from flax import linen as nn
from program import Forked, simsmooth, start

from simsmooth_jax.training.models.computation import computation_sha256
from simsmooth_jax.training.saved import checkpoints, made_from

pytestmark = pytest.mark.slow

MODULE = """
import flax.linen as nn
class Net(nn.Module):
    num_classes: int
    @nn.compact
    def __call__(self, x, train):
        x = nn.relu(nn.Dense(4)(x.reshape(len(x), -1)))
        return nn.Dense(self.num_classes, name="head")(x)
"""
TRAIN = ("train", "--image-size", 4, "--model", "mine:Net", "--batch-size", 496)
TRAIN += ("--learning-rate", 0.1, "--warmup-epochs", 1, "--epochs", 2, "--out", "out")
SAID = "warning: the module that --model names computes something else than when "


def stopped(out: Path) -> None:
    """As before its last step, which is the fourth."""
    shutil.rmtree(out / "checkpoints" / "4")
    for name in ("report.json", "SHA256SUMS"):
        (out / name).unlink()


def said(*command: object, cwd: Path) -> str:
    process = Forked(*command, cwd=cwd)
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    return errors


def test_own_module_that_computes_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    simsmooth(*TRAIN, "--checkpoint-every", 1, cwd=tmp_path)
    metrics = (tmp_path / "out" / "metrics.jsonl").read_bytes()
    step = tmp_path / "out" / "checkpoints" / "2"
    command = (*TRAIN, "--checkpoint-every", 1)

    stopped(tmp_path / "out")  # the same, with a comment and other names
    (tmp_path / "mine.py").write_text("# better\n" + re.sub(r"\bx\b", "images", MODULE))
    assert SAID not in said(*command, cwd=tmp_path)
    assert (tmp_path / "out" / "metrics.jsonl").read_bytes() == metrics

    stopped(tmp_path / "out")
    (tmp_path / "mine.py").write_text(MODULE.replace("relu", "leaky_relu"))
    errors = said(*command, cwd=tmp_path)
    assert errors.count(f"simsmooth: {SAID}{step} was saved: SHA-256 ") == 1
    assert (tmp_path / "out" / "metrics.jsonl").read_bytes() != metrics
    evaluate = ("evaluate", "out", "--model", "mine:Net")
    assert SAID not in said(*evaluate, cwd=tmp_path)  # the last step is of today's
    (tmp_path / "mine.py").write_text(MODULE)
    assert f"simsmooth: {SAID}out was saved" in said(*evaluate, cwd=tmp_path)


class Net(nn.Module):
    rate: float = 0.5
    scale: float = 2.0

    @nn.compact
    def __call__(self, x: Any, train: bool) -> Any:
        x = nn.Dropout(self.rate, deterministic=not train)(x.reshape(len(x), -1))
        return nn.Dense(3, name="head")(nn.relu(self.scale * x))


def test_training_and_evaluation_count_and_other_versions_do_not() -> None:
    shape = (2, 2, 1)
    digest = computation_sha256(Net(), shape)
    assert digest == computation_sha256(Net(), shape)
    others = {computation_sha256(net, shape) for net in (Net(0.4), Net(0.5, 3.0))}
    assert len({digest, *others}) == 3  # of which one is the same in evaluation
    now = {"model_sha256": "a", "versions": {"jax": "2", "flax": "1"}}
    older = {"versions": {"jax": "1", "flax": "1"}, "model_sha256": "b"}
    for noted in ({}, now, older):
        made_from.warn_of_another_model(Path("x"), noted, now)  # a warning is an error here
    with pytest.warns(UserWarning, match="x was saved: SHA-256 a, then b. Numbers differ"):
        made_from.warn_of_another_model(Path("x"), now | {"model_sha256": "b"}, now)


def test_settings_that_digits_depend_on(tmp_path: Path) -> None:
    command = (*TRAIN[:4], "linear", *TRAIN[5:], "--checkpoint-every", 1)
    simsmooth(*command, cwd=tmp_path)
    noted = checkpoints.read_metadata(tmp_path / "out" / "checkpoints" / "4")["settings"]
    assert noted["JAX_ENABLE_X64"] == "False"
    stopped(tmp_path / "out")
    variables = {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
    printed = start(*command, cwd=tmp_path, variables=variables).communicate()[0]
    line = "settings: JAX_DEFAULT_MATMUL_PRECISION highest, where the checkpoint was saved with "
    assert printed.count(f"{line}None: numbers differ by rounding\n") == 1
    assert printed.count("settings: ") == 1


def test_all_settings_that_differ_are_named() -> None:
    before = {"settings": {"JAX_ENABLE_X64": "True", "XLA_FLAGS": "--a=1"}}
    now = {"settings": {"JAX_ENABLE_X64": "False", "XLA_FLAGS": ""}}
    assert made_from.other_settings(before, now) == (
        "settings: JAX_ENABLE_X64 False, where the checkpoint was saved with True; XLA_FLAGS unset,"
        " where the checkpoint was saved with --a=1: numbers differ by rounding"
    )
    assert made_from.other_settings(now, before).count("with it unset") == 1
    for older in ({}, {"settings": None}, now):
        assert made_from.other_settings(older, now) == ""
    assert made_from.devices()["settings"].keys() >= now["settings"].keys()


def test_the_number_of_devices_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another line says it."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_b=2 --xla_force_host_platform_device_count=8 --xla_a=1")
    assert made_from.devices()["settings"]["XLA_FLAGS"] == "--xla_a=1 --xla_b=2"
