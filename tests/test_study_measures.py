"""What is measured of a training where data are easy, and of decisions of the least risk."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from program import simsmooth

from simsmooth_jax.metrics.temperature import LEAST
from simsmooth_jax.study.comparison import measures

LABELS = np.arange(40) % 4
EASY = (5 * np.eye(4)[LABELS] + 0.01 * np.random.RandomState(0).randn(40, 4)).astype("f")
MISLABELLED = np.where(np.arange(40) == 7, 0, LABELS)  # its class is 3


def nll(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """By extended precision: the gaps to the largest logit, whatever the size of their powers."""
    scaled = logits.astype(np.longdouble) / temperature
    above = scaled - scaled.max(axis=1, keepdims=True)
    each = np.log(np.exp(above).sum(axis=1)) - above[np.arange(len(labels)), labels]
    return float(each.mean())


@pytest.mark.parametrize("scale", [1, 50], ids=["at the least temperature", "as it is"])
def test_likelihood_is_finite_where_a_label_has_no_probability(scale: int) -> None:
    """All validation images right: T ends at its bound, and one wrong test image has p = 0."""
    logits = scale * EASY
    validation = measures.of_validation(logits, LABELS)
    assert_allclose(validation["temperature"], LEAST)
    assert_allclose(validation["nll"], nll(logits, LABELS, LEAST), atol=1e-12)
    found = measures.of_test(logits, MISLABELLED, LEAST, None, least_risk=False)
    assert_allclose(found["nll"], nll(logits, MISLABELLED, 1), rtol=1e-9)
    assert_allclose(found["nll_at_temperature"], nll(logits, MISLABELLED, LEAST), rtol=1e-9)
    assert found["nll_at_temperature"] > 10 * scale
    json.dumps(found | validation, allow_nan=False)


def test_the_risk_of_ties_is_that_of_their_mean_order() -> None:
    """Ten images, of which the first four are as sure: the expected errors of each part."""
    confidence = np.array([0.9] * 4 + [0.8, 0.75, 0.7, 0.65, 0.6, 0.55])
    logits = np.log(np.stack([confidence, 1 - confidence], axis=1)).astype("f")
    labels = np.array([1, 0, 0, 0, 1, 0, 0, 0, 0, 0])
    errors = np.cumsum([1 / 4] * 4 + [1, 0, 0, 0, 0, 0])
    expected = np.repeat(errors / np.arange(1, 11), 2)
    for order in (np.arange(10), np.arange(10)[::-1]):
        found = measures.softened(logits[order], labels[order], 1.0)
        assert_allclose(found["risk"], expected, atol=1e-5)


def test_no_mistakes_have_no_distance() -> None:
    """Rather than NaN, which no row may hold."""
    found = measures.of_test(EASY, LABELS, 1.0, np.array([0, 0, 1, 1]), least_risk=False)
    assert found["distance"] == 0
    assert "distance_of_mistakes" not in found
    json.dumps(found, allow_nan=False)


@pytest.mark.slow
def test_a_wrong_label_among_easy_images_ends_neither_run_nor_study(tmp_path: Path) -> None:
    labels = {"train": np.arange(200) % 4, "test": np.arange(40) % 4}
    arrays: dict[str, Any] = {}
    for part, each in labels.items():
        images = np.full((len(each), 4, 4), 20, np.uint8)
        images[np.arange(len(each)), each] = 230  # a bright row for each class
        arrays |= {f"{part}_images": images, f"{part}_labels": each}
    arrays["test_labels"] = MISLABELLED
    np.savez(tmp_path / "easy.npz", **arrays)
    options = ("--data", "npz:easy.npz", "--model", "linear", "--epochs", 8, "--batch-size", 20)
    options += ("--learning-rate", 0.3, "--weight-decay", 0, "--out")
    simsmooth("run", *options, "run", cwd=tmp_path)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    softened = report["at_temperature"]["onehot"]
    assert_allclose(softened["temperature"], LEAST)
    assert 1 < softened["nll_at_temperature"] < np.inf
    few = ("--arms", "onehot", "uniform", "--points", 1, "--tuning-seeds", 1, "--seeds", 2)
    simsmooth("study", *few, "--no-tune-weight-decay", *options, "study", cwd=tmp_path)
    study = json.loads((tmp_path / "study" / "study.json").read_text())
    hard = study["arms"][0]
    assert hard["name"] == "onehot"
    assert 1 < hard["means"]["nll_at_temperature"] < np.inf
