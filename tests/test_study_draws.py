"""What the seeds of a study train on: exact counts, wrong labels, and nothing of validation."""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.study import Noise, StudyConfig
from simsmooth_jax.data.dataset import Dataset, Split
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.errors import InputError
from simsmooth_jax.study.comparison.draws import Draws

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

NINE = numbered(0, [9] * 10)
TEN = Dataset("ten", tuple("abcdefghij"), NINE, NINE, NINE)


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


@pytest.mark.parametrize(("noise", "wrong"), [(0.0, 0), (0.2, 8), (0.5, 21), (0.8, 34)])
def test_exactly_that_share_of_the_labels_is_wrong(noise: float, wrong: int) -> None:
    for seed in range(3):
        split = draws(noise).train(seed)
        numbers, true = number_and_class(split)
        assert (split.labels != true).sum() == wrong
        assert split.labels.min() >= 0
        assert split.labels.max() < CLASSES
        np.testing.assert_array_equal(numbers, number_and_class(draws().train(seed))[0])


def test_the_data_themselves_stay_clean() -> None:
    draws(0.8).train(0)
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


SHA256 = {  # of the labels of digits at 40% noise, by seed and kind, as they have always been
    (0, "symmetric"): "ff60855b94b8282f",
    (10_000, "symmetric"): "7ece13fbff760ff2",
    (0, "superclass"): "2e9af2a4f0bfd0bd",
    (10_000, "superclass"): "a5a99a1e4e73524c",
}


@pytest.mark.parametrize(("seed", "kind"), SHA256)
def test_draws_that_leave_every_class_a_label_stay_as_they_were(seed: int, kind: Noise) -> None:
    digits = load_dataset(DataConfig())
    split = draws(0.4, kind, m=20, tree=np.arange(10) // 2, data=digits).train(seed)
    found = hashlib.sha256(split.labels.astype("<i4").tobytes()).hexdigest()
    assert found[:16] == SHA256[seed, kind]


def drawn_once(labels: np.ndarray, seed: int) -> np.ndarray:
    """Half of them wrong, as this module's first line says it, whatever is left of a class."""
    random = np.random.default_rng([seed, 1])
    found = labels.copy()
    for i in random.permutation(len(labels))[: len(labels) // 2]:
        found[i] = random.choice([k for k in range(CLASSES) if k != labels[i]])
    return found


def test_labels_are_drawn_again_where_a_class_would_have_none() -> None:
    again = 0
    for seed in range(60):
        clean, found = (draws(noise, m=2).train(seed) for noise in (0.0, 0.5))
        assert {*found.labels} == {*range(CLASSES)}
        assert (found.labels != clean.labels).sum() == CLASSES  # half of two images a class
        np.testing.assert_array_equal(found.images, clean.images)
        first = drawn_once(clean.all_labels(), seed)
        again += len({*first}) < CLASSES
        assert np.array_equal(first, found.labels) == (len({*first}) == CLASSES)
        repeated = draws(0.5, m=2).train(seed)
        np.testing.assert_array_equal(repeated.labels, found.labels)
    assert 10 < again < 50


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
        (
            lambda: draws(0.8, m=1, data=TEN),
            "`label_noise` must leave every class a training label, got a class without one in "
            "each of 100 draws of 0.8. Take less of it, or more `images_per_class`.",
        ),
        (
            lambda: draws(data=dataclasses.replace(DATA, train=numbered(0, [9, 0, 9, 9, 9, 0]))),
            "data numbered: every class must be learned from images in a study, got b, f, which "
            "have no training image. Give images or leave the class out.",
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
