"""Which step is meant: never an older one in place of a damaged one, never another training's."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import write_checkpoints as stored

import simsmooth_jax as ss
from simsmooth_jax.formats.stores.opening import open_stored
from simsmooth_jax.training.saved import checkpoints

pytestmark = pytest.mark.slow


@pytest.fixture
def step(shared_directory: Path) -> Path:
    files = stored.written(shared_directory)
    return files / "manager_default" / "one" / "params" / "9"


def refusal(function: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(ss.InputError) as error:
        function(path)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("lost", ["default/_METADATA", "default"])
def test_damaged_last_step_is_refused_not_replaced_by_an_older_one(
    step: Path, tmp_path: Path, lost: str
) -> None:
    for name in ("9", "10"):
        shutil.copytree(step, tmp_path / name)
    path = tmp_path / "10" / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    message = refusal(open_stored, tmp_path)
    assert f"checkpoint {tmp_path}/10: it must be whole, got a damaged one (the last" in message
    assert message == refusal(checkpoints.resolve, tmp_path)
    assert refusal(open_stored, tmp_path / "10").startswith(
        f"checkpoint {tmp_path}/10: it must be whole, got a damaged one (a step without _METADATA"
    )
    assert open_stored(tmp_path / "9").format == "Orbax, step 9, item default"


def test_every_command_takes_the_same_step(step: Path, tmp_path: Path) -> None:
    for name in ("0009", "0010"):
        shutil.copytree(step, tmp_path / name)
    assert open_stored(tmp_path).format == "Orbax, step 10, item default"
    assert checkpoints.resolve(tmp_path) == tmp_path / "0010"
    assert checkpoints.resolve(tmp_path / "0009") == tmp_path / "0009"


@pytest.mark.parametrize("name", ["checkpoint", "manifest.ocdbt"])
def test_orbax_without_a_list_of_its_arrays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    message = refusal(open_stored, tmp_path)
    assert f"checkpoint {tmp_path}: it must list its arrays in _METADATA, got one of Or" in message


def test_directory_of_several_trainings_is_refused(step: Path, tmp_path: Path) -> None:
    for seed in ("seed_1", "seed_2"):
        shutil.copytree(step, tmp_path / "roots" / seed / "9")
        shutil.copytree(step, tmp_path / "same" / seed.replace("seed", f"{seed}_9"))
        shutil.copytree(step / "default", tmp_path / "bare" / seed)
        shutil.copytree(step / "default", tmp_path / "steps" / seed.replace("seed", "step"))
    shutil.copytree(step, tmp_path / "twice" / "9")
    shutil.copytree(step, tmp_path / "twice" / "09")
    message = refusal(open_stored, tmp_path / "roots")
    assert message.startswith(
        "`checkpoint` must be an Orbax checkpoint or a directory of its steps"
    )
    assert "which holds seed_1, seed_2." in message
    assert open_stored(tmp_path / "steps").format == "Orbax, step 2"
    assert open_stored(tmp_path / "bare" / "seed_1").format == "Orbax, step 1"
    for name in ("same", "twice", "bare"):
        message = refusal(open_stored, tmp_path / name)
        assert message.startswith("`checkpoint` must be a directory of one training's steps, got")


def test_later_file_of_another_writer_is_not_passed_over(step: Path, tmp_path: Path) -> None:
    shutil.copytree(step / "default", tmp_path / "checkpoint_5")
    (tmp_path / "checkpoint_4").write_bytes(b"of before")
    assert open_stored(tmp_path).format == "Orbax, step 5"
    (tmp_path / "checkpoint_9").write_bytes(b"of later")
    message = refusal(open_stored, tmp_path)
    assert message.endswith("which holds checkpoint_9 and checkpoint_5. Name one of them.")
