"""A training's state on disk: whole, compared strictly, on any number of devices."""

import os
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.training import TrainingConfig
from simsmooth_jax.formats.stores import orbax_steps
from simsmooth_jax.training.saved import checkpoints


def state(devices: list[Any], seed: int = 3, **changes: Any) -> dict[str, Any]:
    sharding = NamedSharding(jax.sharding.Mesh(devices, ("data",)), P())
    random = np.random.RandomState(seed)
    tree = {
        "step": np.int32(seed),
        "params": {"Dense_9": random.randn(2, 3), "Dense_10": random.randn(3, 2)},
        "opt_state": [random.randn(4)],
    }
    return jax.tree.map(lambda x: jax.device_put(jnp.asarray(x), sharding), tree | changes)


@pytest.mark.parametrize(("saved_on", "restored_on"), [(1, 1), (8, 1), (1, 8)])
def test_restored_bits_are_the_saved_ones(
    tmp_path: Path, devices: list[Any], saved_on: int, restored_on: int
) -> None:
    saved, like = state(devices[:saved_on]), state(devices[:restored_on], seed=5)
    checkpoints.save(tmp_path / "a", 3, saved, {"name": "dög"})
    restored = checkpoints.restore_state(tmp_path / "a", like)
    assert restored is not None
    pairs = [jax.tree.leaves(tree) for tree in (restored, saved, like)]
    for found, expected, place in zip(*pairs, strict=True):
        assert (np.asarray(found) == np.asarray(expected)).all()
        assert found.dtype == expected.dtype
        assert found.sharding == place.sharding


def test_last_two_steps_are_kept_and_the_last_is_read(tmp_path: Path, devices: list[Any]) -> None:
    for step in (8, 9, 10):
        checkpoints.save(tmp_path, step, state(devices[:1], step), {"step": step})
    assert sorted(os.listdir(tmp_path)) == ["10", "9"]
    for path in (tmp_path, tmp_path / "10"):
        parts, metadata = checkpoints.read(path, ("params",))
        assert metadata == {"step": 10}
        assert set(parts) == {"params"}
        expected = state(devices[:1], 10)["params"]["Dense_9"]
        assert (np.asarray(parts["params"]["Dense_9"]) == np.asarray(expected)).all()


@pytest.mark.parametrize("read", [checkpoints.read, ss.restore_head])
def test_a_step_that_a_training_removes_meanwhile(
    tmp_path: Path, devices: list[Any], monkeypatch: pytest.MonkeyPatch, read: Any
) -> None:
    """Is no damaged one: the last one is taken, or the one that was named is not there."""
    verify = orbax_steps.verify

    def save(step: int) -> None:
        head = {"head": {"kernel": jnp.full((2, 3), float(step)), "bias": jnp.zeros(3)}}
        checkpoints.save(tmp_path / "a", step, state(devices[:1], step, params=head), {})

    def verify_late(step: Path) -> None:
        if step.name == "1":
            [save(each) for each in (2, 3)]
        verify(step)

    for module in (checkpoints, orbax_steps):
        monkeypatch.setattr(module, "verify", verify_late)
    save(1)
    if read is checkpoints.read:
        kernel = read(tmp_path / "a", ("params",))[0]["params"]["head"]["kernel"]
    else:
        kernel = read(tmp_path / "a").kernel
    assert np.asarray(kernel).tolist() == [[3] * 3] * 2
    assert sorted(os.listdir(tmp_path / "a")) == ["2", "3"]
    with pytest.raises(ss.InputError, match="`checkpoint` must be an existing directory"):
        read(tmp_path / "a" / "1", *[("params",)] * (read is checkpoints.read))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"params": {"Dense_9": np.zeros((2, 3)), "Dense_10": np.zeros((2, 3))}},
            r"params/Dense_10 must be float32\[2, 3\], got float32\[3, 2\]. It is of another",
        ),
        (
            {"params": {"Dense_9": np.zeros((2, 3))}},
            r"params/Dense_10 must be absent, got float32\[3, 2\]",
        ),
        (
            {"params": {n: np.zeros((2, 3)) for n in ("Dense_10", "Dense_9", "Dense_8")}},
            r"params/Dense_10 must be float32\[2, 3\]",
        ),
        ({"step": np.zeros((), np.float32)}, r"step must be float32\[\], got int32\[\]"),
        ({"extra": np.zeros(1)}, r"extra must be float32\[1\], got nothing"),
    ],
)
def test_one_wrong_leaf_is_an_error(
    tmp_path: Path, devices: list[Any], changes: dict[str, Any], message: str
) -> None:
    checkpoints.save(tmp_path, 3, state(devices[:1]), {})
    with pytest.raises(ss.InputError, match=message):
        checkpoints.restore_state(tmp_path, state(devices[:1], **changes))


def test_reading_creates_nothing(tmp_path: Path, devices: list[Any]) -> None:
    assert checkpoints.restore_state(tmp_path / "none", state(devices[:1])) is None
    assert checkpoints.restore_state(tmp_path, state(devices[:1])) is None
    with pytest.raises(ss.InputError, match="an existing directory, got"):
        checkpoints.read(tmp_path / "none", ("params",))
    assert os.listdir(tmp_path) == []


def test_what_a_kill_leaves_of_a_save_is_no_checkpoint(tmp_path: Path, devices: list[Any]) -> None:
    """Orbax's temporary directories, of this version and those before, and ours without a name."""
    checkpoints.save(tmp_path, 3, state(devices[:1]), {})
    for name in ("8.orbax-checkpoint-tmp-1", "7.simsmooth-unfinished.orbax-checkpoint-tmp"):
        (tmp_path / name / "state").mkdir(parents=True)
    shutil.copytree(tmp_path / "3", tmp_path / "8.simsmooth-unfinished")
    restored = checkpoints.restore_state(tmp_path, state(devices[:1], seed=5))
    assert restored is not None
    assert int(restored["step"]) == 3
    checkpoints.save(tmp_path, 8, state(devices[:1], 8), {})
    assert checkpoints.latest_step(tmp_path) == tmp_path / "8"
    assert sorted(os.listdir(tmp_path)) == ["3", "8"]


def test_data_of_a_checkpoint_are_found_from_any_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, absolute in (("npz:x.npz", f"npz:{tmp_path}/x.npz"), ("digits", "digits")):
        config = TrainingConfig(data=DataConfig(name))
        assert TrainingConfig.from_json(config.to_json()).data.data == absolute


def test_checkpoint_without_the_part(tmp_path: Path, devices: list[Any]) -> None:
    checkpoints.save(tmp_path, 3, state(devices[:1]), {})
    with pytest.raises(ss.InputError, match="must hold batch_stats, got opt_state, params, step"):
        checkpoints.read(tmp_path, ("batch_stats",))


# Orbax's threads leave errors of their own behind, which pytest finds later.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_damaged_checkpoint_is_refused_by_name(tmp_path: Path, devices: list[Any]) -> None:
    checkpoints.save(tmp_path / "a", 3, state(devices[:1]), {})
    data = [path for path in (tmp_path / "a").rglob("*") if path.parent.name == "d"]
    for path in data:
        path.write_bytes(path.read_bytes()[:20])
    message = "checkpoint .*a/3: it must be whole, got a damaged one .* Restore it from a copy"
    with pytest.raises(ss.InputError, match=message):
        checkpoints.read(tmp_path / "a", ("params",))
    with pytest.raises(ss.InputError, match=message):
        checkpoints.restore_state(tmp_path / "a", state(devices[:1]))
