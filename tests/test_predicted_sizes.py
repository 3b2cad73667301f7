"""Sizes that are given as numbers: refused by the bytes that they would take, before any is."""

import resource
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import simsmooth_jax as ss
from simsmooth_jax.machine import memory

FEATURES, LABELS = np.ones((3, 2), np.float32), np.array([0, 1, 2])
P = np.full((4, 2), 0.5, np.float32)
Y = np.array([0, 1, 0, 1])
FIT = "must fit into the memory of"
CASES: dict[str, tuple[Callable[[int], Any], str]] = {
    "class_means": (lambda k: ss.class_means(FEATURES, LABELS, k), "Give the number of classes."),
    "onehot_labels": (ss.onehot_labels, "Use top_k_labels(kernel, 32)"),
    "uniform_labels": (lambda k: ss.uniform_labels(k, 0.1), "Use top_k_labels(kernel, 32)"),
    "label_smoothing_plus_plus": (ss.objectives.label_smoothing_plus_plus, ""),
    "expected_calibration_error": (
        lambda k: ss.metrics.expected_calibration_error(P, Y, k),
        "15 bins are usual.",
    ),
    "adaptive_calibration_error": (
        lambda k: ss.metrics.adaptive_calibration_error(P, Y, k),
        "15 bins are usual.",
    ),
    "classwise_calibration_error": (
        lambda k: ss.metrics.classwise_calibration_error(P, Y, k),
        "15 bins are usual.",
    ),
}


def peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [10**9, 2**31 - 1])
def test_more_than_there_is(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 2**33)
    call, then = CASES[name]
    before = peak()
    with pytest.raises(ss.InputError, match=f"^{name}: .* {FIT} 8.0 GiB, got .* GiB for ") as error:
        call(size)
    assert str(size) in error.value.got
    assert then in error.value.then
    assert peak() - before < 500_000_000


def test_predicted_bytes_are_those_of_sums_means_and_counts() -> None:
    assert memory.means_bytes(2, 10) == 3 * 10 * (2 + 1) * np.float32().nbytes


@pytest.mark.parametrize("name", CASES)
def test_numbers_that_nothing_has_so_many_of(name: str) -> None:
    call, _ = CASES[name]
    for number in (2**31, 10**400, 10**5000):  # the last one has no text in Python
        with pytest.raises(ss.InputError, match=f"must be at most {2**31 - 1}, got a number of "):
            call(number)


def test_classes_without_examples_are_named_before_there_are_arrays_for_them() -> None:
    before = peak()
    with pytest.raises(
        ss.InputError, match="every class must have an example, got none of class 3"
    ):
        ss.class_means(FEATURES, LABELS, 10**7)  # 360 MB, which there is
    assert peak() - before < 100_000_000


def test_labels_of_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = np.random.RandomState(0).randn(3, 40).astype(np.float32)
    monkeypatch.setattr(memory, "available_memory", lambda: 8 * 40 * 30)
    assert ss.top_k_labels(kernel, 30).indices.shape == (40, 30)
    with pytest.raises(ss.InputError, match=rf"top_k_labels: labels \[K, k\] {FIT}"):
        ss.top_k_labels(kernel, 31)


def test_under_a_transformation_the_prediction_holds_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 2**33)
    with pytest.raises(ss.InputError, match=FIT):
        jax.jit(lambda x: ss.class_means(x, LABELS, 10**9))(FEATURES)
