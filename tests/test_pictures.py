"""Pictures at the sizes that a user may have, and the order that they show."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image

from simsmooth_jax import pictures

TITLES = {"onehot": "first", "uniform": "uniform", "relation": "second"}


def colours(path: Path) -> int:
    """How many colours a picture has: a blank one has few."""
    pixels = image.imread(path)
    assert pixels.ndim == 3
    return len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0))


@pytest.mark.parametrize("num_classes", [2, 10, 40, 100])
def test_similarity_of_any_number_of_classes(tmp_path: Path, num_classes: int) -> None:
    kernel = np.random.RandomState(0).randn(20, num_classes)
    kernel /= np.linalg.norm(kernel, axis=0)
    names = tuple(f"class {k}" for k in range(num_classes))
    pictures.draw_similarity((kernel.T @ kernel).astype(np.float32), names, tmp_path / "a.png")
    assert colours(tmp_path / "a.png") > 20


def test_similar_classes_stand_side_by_side() -> None:
    """Two groups, given interleaved, come out one after the other."""
    groups = np.array([0, 1, 0, 1, 0, 1])
    similarity = np.where(groups[:, None] == groups, 0.8, -0.5) + 0.2 * np.eye(6)
    order = pictures.dendrogram_order(similarity)[1]
    assert sorted(order) == list(range(6))
    assert abs(np.diff(groups[order])).sum() == 1


def test_reliability_and_curves(tmp_path: Path) -> None:
    bins = {"count": [0] * 14 + [9], "confidence_sum": [0] * 14 + [8.8], "correct_sum": [0] * 14}
    bins["correct_sum"] += [9]
    arms: dict[str, Any] = {arm: {"bins": bins, "ece": 0.02} for arm in TITLES}
    pictures.draw_reliability(arms, TITLES, tmp_path / "new" / "b.png")
    assert colours(tmp_path / "new" / "b.png") > 20
    rows: list[dict[str, Any]] = []
    for arm in TITLES:
        rows += [{"arm": arm, "step": step, "loss": 1 / step} for step in range(1, 6)]
        rows += [{"arm": arm, "step": 5, "validation_accuracy": 1.0}]
    pictures.draw_curves(rows, TITLES, tmp_path / "c.png")
    assert colours(tmp_path / "c.png") > 20
