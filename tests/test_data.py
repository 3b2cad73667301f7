"""The digits and their fixed split, and what a data set refuses."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from sklearn import datasets

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.data.dataset import Dataset, Split
from simsmooth_jax.data.load import load_dataset


def test_digits_are_scikit_learns_each_in_one_part() -> None:
    bunch: Any = datasets.load_digits()
    digits: Any = load_dataset(DataConfig())
    parts = [digits.train, digits.validation, digits.test]
    assert [len(part) for part in parts] == [1000, 297, 500]
    images = np.concatenate([part.images for part in parts])[..., 0] * (16 / 255)
    labels = np.concatenate([part.labels for part in parts])
    found = np.column_stack([labels, images.reshape(-1, 64).round()])
    true = np.column_stack([bunch.target, bunch.images.reshape(-1, 64)])
    assert sorted(found.tolist()) == sorted(true.tolist())


def test_split_never_changes() -> None:
    digits: Any = load_dataset(DataConfig())
    firsts = [part.labels[:8].tolist() for part in (digits.train, digits.validation, digits.test)]
    assert firsts == [
        [2, 8, 2, 6, 6, 7, 1, 9],
        [2, 1, 9, 2, 3, 1, 7, 7],
        [0, 9, 6, 9, 8, 4, 5, 8],
    ], "published figures belong to the old split"


def test_every_class_is_in_every_part() -> None:
    digits: Any = load_dataset(DataConfig())
    for part in (digits.train, digits.validation, digits.test):
        assert set(part.labels) == set(range(10))


def test_channel_statistics_are_of_the_training_images() -> None:
    digits: Any = load_dataset(DataConfig())
    mean, deviation = digits.channel_statistics()
    assert mean == pytest.approx([(digits.train.images / 255).mean()])
    assert deviation == pytest.approx([(digits.train.images / 255).std()])


def part(**changes: np.ndarray) -> Split:
    images, labels = np.zeros((3, 2, 2, 1), np.uint8), np.array([0, 1, 1], np.int32)
    return dataclasses.replace(Split(images, labels), **changes)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (part(images=np.zeros((3, 2, 2, 1))), "test split must hold images uint8 .* got float64"),
        (part(images=np.zeros((3, 2, 2), np.uint8)), r"got uint8\[3, 2, 2\]"),
        (part(images=np.zeros((3, 4, 2, 1), np.uint8)), r"training images' shape .* got \(4, 2, 1"),
        (part(labels=np.array([0, 1], np.int32)), r"one int32 label .* got int32\[2\] for 3"),
        (part(labels=np.array([0, 1, 1.0])), "got float64"),
        (part(labels=np.array([0, 1, 2], np.int32)), "labels from 0 to 1, got 2"),
        (part(labels=np.array([0, -1, 1], np.int32)), "labels from 0 to 1, got -1"),
        (Split(np.zeros((0, 2, 2, 1), np.uint8), np.zeros(0, np.int32)), "one image at least"),
    ],
)
def test_refused_splits(test: Split, message: str) -> None:
    with pytest.raises(ss.InputError, match=message):
        Dataset("tiny", ("a", "b"), train=part(), validation=part(), test=test)


def test_one_class_is_refused() -> None:
    one = part(labels=np.zeros(3, np.int32))
    with pytest.raises(ss.InputError, match="data cats: it must have two classes or more, got 1"):
        Dataset("cats", ("cat",), train=one, validation=one, test=one)
