"""Pictures at the sizes that a user may have, and the order that they show."""

import tracemalloc
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib import image
from PIL import Image

from simsmooth_jax.program import pictures
from simsmooth_jax.study.arms import ARM


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


def test_similarities_of_one_sign_are_told_apart(tmp_path: Path) -> None:
    """All between .65 and .98: by both ends of the colours, and by their names at the scale."""
    ends = pictures.colour_ends(np.array([0.65, 0.7, 0.98]))
    assert ends == (0.65, 0.98)
    assert pictures.colour_ends(np.array([-0.1, 0.7])) == (-0.7, 0.7)
    low, high = pictures.colour_ends(np.zeros(2))
    assert (low, 0 < high < 0.01) == (0, True)
    similarity = np.array([[1, 0.98, 0.65], [0.98, 1, 0.7], [0.65, 0.7, 1]], np.float32)
    pictures.draw_similarity(similarity, ("a", "b", "c"), tmp_path / "a.png")
    drawn = image.imread(tmp_path / "a.png")[..., :3]
    for end in (0.0, 1.0):  # each fills two cells, and not one line of the scale
        colour = np.array(matplotlib.colormaps[pictures.SEQUENTIAL](end)[:3])
        assert (np.abs(drawn - colour).max(axis=-1) < 0.01).sum() > 5000


def test_names_are_drawn_as_they_are_written(tmp_path: Path) -> None:
    """Neither as formulas, of which one here is none, nor at any length."""
    names = ("$\\foo$", "a_{b", "x" * 5000)
    pictures.draw_similarity(np.eye(3, dtype=np.float32), names, tmp_path / "a.png", "$\\foo$")
    image_of_one = [np.zeros((8, 8, 3), np.uint8)]
    pictures.draw_samples(dict.fromkeys(names, image_of_one), tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        assert max(image.imread(tmp_path / name).shape) < 1000


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
    arms: dict[str, Any] = {arm: {"bins": bins, "ece": 0.02} for arm in ARM}
    pictures.draw_reliability(arms, tmp_path / "new" / "b.png")
    assert colours(tmp_path / "new" / "b.png") > 20
    rows: list[dict[str, Any]] = []
    for arm in ARM:
        rows += [{"arm": arm, "step": step, "loss": 1 / step} for step in range(1, 6)]
        rows += [{"arm": arm, "step": 5, "validation_accuracy": 1.0}]
    pictures.draw_curves(rows, tmp_path / "c.png")
    assert colours(tmp_path / "c.png") > 20


def samples(path: Path, *rows: Any) -> np.ndarray:
    """The pixels of a sheet of samples."""
    pictures.draw_samples({f"class {k}": row for k, row in enumerate(rows)}, path)
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize(("side", "exact"), [(8, True), (64, True), (65, False), (500, False)])
def test_samples_are_shrunk_where_they_are_large(tmp_path: Path, side: int, exact: bool) -> None:
    dots = np.full((side, side, 3), 99, np.uint8)
    dots[1::2, 1::2] = 255, 0, 0
    drawn = samples(tmp_path / "a.png", [dots] * 3, [dots])
    assert (drawn == (255, 0, 0)).all(axis=-1).any() == exact
    assert max(drawn.shape) < 700


@pytest.mark.parametrize("shape", [(900, 9, 1), (9, 900, 3), (1, 4000, 3)])
def test_samples_of_any_proportions(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    drawn = samples(tmp_path / "a.png", [np.full(shape, 77, np.uint8)] * 12)
    assert (drawn == 77).all(axis=-1).any()
    assert max(drawn.shape) < 2000


def test_samples_are_held_one_at_a_time(tmp_path: Path) -> None:
    """24 photos of 3 MB, made when they are asked for."""
    photos = [(np.full((1000, 1000, 3), k, np.uint8) for k in range(12)) for _ in range(2)]
    samples(tmp_path / "warm.png", [np.zeros((8, 8, 3), np.uint8)])
    tracemalloc.start()
    samples(tmp_path / "a.png", *photos)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
