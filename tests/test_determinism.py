"""Deterministic operations: a self-test that refuses wrong values, and equal bits on a GPU."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest
from program import simsmooth

import simsmooth_jax as ss
from simsmooth_jax.config.commands import RunConfig, TrainConfig
from simsmooth_jax.machine import devices
from simsmooth_jax.program.commands import run_command, train_command

PLUGINS = [name for name in ("jax_cuda12_plugin", "jax_cuda13_plugin") if find_spec(name)]
ASKED = "--xla_gpu_deterministic_ops=true"


def first_is_lost(table: Any, labels: Any, values: Any) -> Any:
    """What jax-ml/jax#27796 reports: the first element stays 0."""
    return devices.scatter(table, labels, values).at[0].set(0)


def last_one_wins(table: Any, labels: Any, values: Any) -> Any:
    return jnp.zeros_like(table).at[labels].set(values)


def rounded(table: Any, labels: Any, values: Any) -> Any:
    return devices.gather(table + 0.001, labels, values)


WRONG = {
    "gather": rounded,
    "gradient of a gather": last_one_wins,
    "scatter": first_is_lost,
    "scatter-add": last_one_wins,
}


@pytest.mark.parametrize(
    ("flags", "requested"),
    [
        ("", False),
        (ASKED, True),
        ("--xla_gpu_deterministic_ops", True),
        (f"--xla_dump_to=/tmp/x {ASKED} --xla_gpu_autotune_level=0", True),
        (f"{ASKED} --xla_gpu_deterministic_ops=false", False),
        ("--xla_gpu_deterministic_ops_of_another=true", False),
    ],
)
def test_the_flag_is_found(flags: str, requested: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", flags)
    assert devices.is_requested() == requested


def test_this_device_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", ASKED)
    assert set(WRONG) == set(devices.PROGRAMS)
    devices.self_test()


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = dict(devices.PROGRAMS) | {name: WRONG[name]}
    monkeypatch.setenv("XLA_FLAGS", ASKED)
    with pytest.raises(ss.InputError, match=f"wrong values of a {name}. Leave the flag out") as it:
        devices.self_test(programs)
    assert "\n" not in str(it.value)
    monkeypatch.delenv("XLA_FLAGS")
    devices.self_test(programs)  # nobody asked


@pytest.mark.parametrize("command", ["run", "train"])
def test_nothing_is_trained_on_a_device_that_is_wrong(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise ss.InputError("XLA_FLAGS", "be without it", "wrong values", "Leave it out.")

    monkeypatch.setattr(devices, "self_test", refuse)
    out = tmp_path / "out"
    with pytest.raises(ss.InputError, match="wrong values"):
        run_command.run(RunConfig(out=out)) if command == "run" else train_command.train(
            TrainConfig(out=out)
        )
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.skipif(
    not (PLUGINS and Path("/dev/nvidiactl").exists()),
    reason="needs an NVIDIA GPU and JAX's CUDA plugin, of which one is missing here",
)
def test_a_gpu_gives_the_same_bits_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setenv("XLA_FLAGS", ASKED)
    options = ("--model", "resnet", "--depth", 8, "--epochs", 2, "--dtype", "bfloat16")
    for name in ("once", "again"):
        simsmooth("train", *options, "--steps-per-dispatch", 5, "--out", name, cwd=tmp_path)
    once, again = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("once", "again"))
    assert once == again
