"""What the seeds of a study train on: exact counts, wrong labels, and nothing of validation."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.study import Noise, StudyConfig
from simsmooth_jax.config.training import TrainingConfig
from simsmooth_jax.data.dataset import Dataset, Split
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.errors import InputError
from simsmooth_jax.study.comparison.draws import Draws
from simsmooth_jax.study.comparison.superclasses import read_superclasses

CLASSES, M = 6, 7
TREE = np.array([0, 0, 0, 1, 1, 2])
MATES = np.array([0, 0, 0, 1, 1, 1])


def numbered(first: int, counts: list[int]) -> Split:
    """Images in a mixed order, each with a number of its own, and the true class in it."""
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    labels = np.random.RandomState(first).permutation(labels)
    numbers = first + np.arange(len(labels))
    pixels = np.stack([numbers // 256, numbers % 256, labels], axis=1)
    return Split(pixels.astype(np.uint8).reshape(-1, 1, 1, 3), labels)


def number_and_class(split: Any) -> tuple[np.ndarray, np.ndarray]:
    pixels = split.images.reshape(-1, 3).astype(int)
    return pixels[:, 0] * 256 + pixels[:, 1], pixels[:, 2]


COUNTS = [9, 10, 20, 11, 12, 30]
DATA = Dataset(
    "numbered",
    tuple("abcdef"),
    numbered(0, COUNTS),
    numbered(1000, [3] * CLASSES),
    numbered(2000, [4] * CLASSES),
)


def draws(
    noise: float = 0.0,
    kind: Noise = "symmetric",
    m: int | None = M,
    tree: np.ndarray | None = None,
    data: Dataset = DATA,
) -> Draws:
    config = StudyConfig(images_per_class=m, label_noise=noise, noise=kind)
    return Draws.of(data, config, tree)


def test_so_many_of_each_class_none_twice_and_none_of_validation_or_test() -> None:
    numbers, classes = number_and_class(draws().train(3))
    np.testing.assert_array_equal(np.bincount(classes), [M] * CLASSES)
    assert len({*numbers}) == M * CLASSES
    assert max(numbers) < sum(COUNTS)
    others = [number_and_class(part)[0] for part in (DATA.validation, DATA.test)]
    assert not {*numbers} & {*np.concatenate(others)}


def test_labels_are_those_of_the_images() -> None:
    split = draws().train(3)
    np.testing.assert_array_equal(split.labels, number_and_class(split)[1])
    assert split.labels.dtype == DATA.train.all_labels().dtype


def test_a_seed_is_the_same_for_ever_and_another_one_differs() -> None:
    first, again, other = (draws(0.3).train(seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert {*number_and_class(first)[0]} != {*number_and_class(other)[0]}
    assert (first.labels != other.labels).any()


def test_a_larger_subset_of_a_seed_holds_the_smaller_one() -> None:
    small, large = (number_and_class(draws(m=m).train(1))[0] for m in (3, M))
    assert {*small} < {*large}


def test_all_images_where_no_number_is_given() -> None:
    numbers = number_and_class(draws(m=None).train(0))[0]
    np.testing.assert_array_equal(numbers, number_and_class(DATA.train)[0])


def test_every_image_is_drawn_as_often() -> None:
    """Of 9 images 7, over 300 seeds: each within five standard deviations."""
    drawn = [number_and_class(draws().train(seed)) for seed in range(300)]
    counts = np.bincount(np.concatenate([numbers[classes == 0] for numbers, classes in drawn]))
    counts = counts[counts > 0]
    share = M / COUNTS[0]
    deviation = np.sqrt(300 * share * (1 - share))
    assert len(counts) == COUNTS[0]
    assert np.abs(counts - 300 * share).max() < 5 * deviation


@pytest.mark.parametrize(("noise", "wrong"), [(0.0, 0), (0.2, 8), (0.5, 21), (0.9, 38)])
def test_exactly_that_share_of_the_labels_is_wrong(noise: float, wrong: int) -> None:
    for seed in range(3):
        split = draws(noise).train(seed)
        numbers, true = number_and_class(split)
        assert (split.labels != true).sum() == wrong
        assert split.labels.min() >= 0
        assert split.labels.max() < CLASSES
        np.testing.assert_array_equal(numbers, number_and_class(draws().train(seed))[0])


def test_the_data_themselves_stay_clean() -> None:
    draws(0.9).train(0)
    for part in (DATA.train, DATA.validation, DATA.test):
        np.testing.assert_array_equal(part.all_labels(), number_and_class(part)[1])


def wrong_pairs(kind: Noise, tree: np.ndarray | None) -> np.ndarray:
    """How often a class was labelled as another one, over 200 seeds."""
    found = np.zeros((CLASSES, CLASSES), int)
    for seed in range(200):
        split = draws(0.5, kind, tree=tree).train(seed)
        np.add.at(found, (number_and_class(split)[1], split.labels), 1)
    return found * (1 - np.eye(CLASSES, dtype=int))


def test_symmetric_noise_takes_every_other_class_as_often() -> None:
    found = wrong_pairs("symmetric", None)
    others = found[~np.eye(CLASSES, dtype=bool)]
    expected = 200 * 21 / (CLASSES * (CLASSES - 1))
    assert np.abs(others - expected).max() < 5 * np.sqrt(expected)


def test_superclass_noise_stays_inside_the_superclass() -> None:
    found = wrong_pairs("superclass", MATES)
    inside = (MATES[:, None] == MATES) & ~np.eye(CLASSES, dtype=bool)
    assert found[~inside].sum() == 0
    expected = 200 * 21 / CLASSES / 2
    assert np.abs(found[inside] - expected).max() < 5 * np.sqrt(expected)


def test_digits_leave_validation_and_test_alone() -> None:
    """Real images: whoever of a training subset equals one of validation was there before."""
    digits = load_dataset(DataConfig())
    assert isinstance(digits.validation, Split)
    subset = draws(m=20, data=digits).train(0)
    np.testing.assert_array_equal(np.bincount(subset.labels), [20] * 10)
    rows = {image.tobytes() for image in subset.images}
    assert not rows & {image.tobytes() for image in digits.validation.images}


@pytest.mark.parametrize(
    ("refused", "text"),
    [
        (
            lambda: draws(m=10),
            "`images_per_class` must be at most 9, what class 'a' has to train on, got 10. Take "
            "fewer.",
        ),
        (
            lambda: draws(0.1, "superclass"),
            "`noise=superclass` must be given with superclasses, got none. Add "
            "`superclasses=FILE`.",
        ),
        (
            lambda: draws(0.1, "superclass", tree=TREE),
            "`noise=superclass` must find another class in every superclass, got 'f' alone in its "
            "own. Use `noise=symmetric`.",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(refused: Callable[[], Any], text: str) -> None:
    with pytest.raises(InputError) as error:
        refused()
    assert str(error.value) == text


def test_streamed_images_are_refused() -> None:
    with pytest.raises(InputError) as error:
        draws(data=dataclasses.replace(DATA, streamed=True))
    assert str(error.value) == (
        "data numbered must fit into memory, got a streamed set. Use `input=memory`."
    )


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
