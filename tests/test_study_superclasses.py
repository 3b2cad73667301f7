"""The superclass of each class: out of a file, out of the data, or refused in one line."""

from pathlib import Path

import numpy as np
import pytest

from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.config.training import TrainingConfig
from simsmooth_jax.data.dataset import Dataset, Split
from simsmooth_jax.errors import InputError
from simsmooth_jax.study.comparison.superclasses import read_superclasses

TREE = np.array([0, 0, 0, 1, 1, 2])
ONE_EACH = Split(np.zeros((6, 1, 1, 3), np.uint8), np.arange(6, dtype=np.int32))
DATA = Dataset("six", tuple("abcdef"), ONE_EACH, ONE_EACH, ONE_EACH)


def superclasses_of(path: Path | None, data: str = "digits") -> np.ndarray | None:
    training = TrainingConfig(DataConfig(data))
    return read_superclasses(StudyConfig(training, superclasses=path), DATA)


def test_superclasses_from_a_file_or_the_data_are_counted_from_0(tmp_path: Path) -> None:
    np.save(tmp_path / "tree.npy", 10 * TREE + 5)
    np.savez(tmp_path / "data.npz", fine_to_coarse=TREE, other=np.ones(3))
    np.savez(tmp_path / "without.npz", other=np.ones(3))
    for found in (
        superclasses_of(tmp_path / "tree.npy"),
        superclasses_of(tmp_path / "data.npz"),
        superclasses_of(None, f"npz:{tmp_path}/data.npz"),
    ):
        np.testing.assert_array_equal(found, TREE)
    assert superclasses_of(None) is None
    assert superclasses_of(None, f"npz:{tmp_path}/without.npz") is None


@pytest.mark.parametrize(
    ("array", "must"),
    [
        (np.zeros(5, int), "hold 6 integers, one for each class, got int64[5]."),
        (np.zeros(6), "hold 6 integers, one for each class, got float64[6]."),
        (np.ones(6, int), "tell two superclasses or more apart, got one."),
    ],
)
def test_superclasses_that_are_none_are_refused(
    tmp_path: Path, array: np.ndarray, must: str
) -> None:
    np.save(tmp_path / "tree.npy", array)
    with pytest.raises(InputError) as error:
        superclasses_of(tmp_path / "tree.npy")
    then = "Save an array .npy, or fine_to_coarse in an .npz."
    assert str(error.value) == f"`superclasses={tmp_path}/tree.npy` must {must} {then}"


def test_a_file_that_is_no_array_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree.txt").write_text("1 2 3")
    with pytest.raises(InputError, match="must be an .npy or .npz file, got "):
        superclasses_of(tmp_path / "tree.txt")
    with pytest.raises(InputError, match="must be an .npy or .npz file, got .*No such file"):
        superclasses_of(tmp_path / "none.npy")
