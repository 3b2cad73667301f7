"""The table of nearest classes: which classes it picks, their cosines, and its width."""

import numpy as np
import pytest
from rich.cells import cell_len

import simsmooth_jax as ss
from simsmooth_jax.config.labels import RelationConfig
from simsmooth_jax.program import report
from simsmooth_jax.study import arms, neighbours
from simsmooth_jax.study.relations import of_vectors

N, K, COUNT = 8, 60, 20
KERNEL = np.random.default_rng(0).normal(size=(N, K)).astype(np.float32)


def most_related(center: bool) -> tuple[np.ndarray, np.ndarray]:
    columns = KERNEL.astype(np.float64)
    columns -= center * columns.mean(axis=1, keepdims=True)
    unit = columns / np.linalg.norm(columns, axis=0)
    similarity = unit.T @ unit
    nearest = (similarity - 2 * np.eye(K)).max(axis=1)
    order = np.argsort(-nearest.round(6), kind="stable")  # of two equal ones the lower class
    return np.sort(order[:COUNT]), similarity


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("top_k", [None, 1, 8])  # one alone tells of no other class
def test_the_most_related_classes_of_a_dense_and_of_a_top_k_table(monkeypatch, top_k, center):
    monkeypatch.setattr(arms, "MANY_CLASSES", 2)
    found = of_vectors(KERNEL, RelationConfig(top_k=top_k, center=center).resolved())
    labels = found.labels()
    assert isinstance(labels, ss.TopKLabels) == (top_k is not None)
    shown = found.neighbours(COUNT)
    expected, similarity = most_related(center)
    assert sorted(shown.classes) == list(expected)
    np.testing.assert_allclose(shown.similarity, similarity[shown.classes], atol=1e-6)
    nearest = (similarity - 2 * np.eye(K)).max(axis=1)[shown.classes]
    assert (np.diff(nearest) <= 1e-6).all()  # the most related first


def test_few_classes_are_shown_in_their_order():
    shown = neighbours.of_similarity(most_related(False)[1][:COUNT, :COUNT], COUNT)
    assert list(shown.classes) == list(range(COUNT))


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("num_classes", [2, 3, K])
def test_long_names_stay_in_the_width_and_on_one_line(monkeypatch, width, num_classes):
    monkeypatch.setenv("COLUMNS", str(width))
    names = [f"{k:02} [red] a long name, 鳥鳥鳥鳥鳥鳥 of class {k:02}" for k in range(num_classes)]
    similarity = most_related(False)[1][:num_classes, :num_classes]
    shown = neighbours.of_similarity(similarity, COUNT)
    console = report.console()
    with console.capture() as captured:
        console.print(report.nearest_table(shown, tuple(names)))
    lines = captured.get().splitlines()
    assert max(map(cell_len, lines)) <= min(width, 100)
    rows = [line.split() for line in lines if "(" in line]
    assert len(rows) == min(num_classes, COUNT)
    for row, line in zip(shown.classes, [line for line in lines if "(" in line], strict=True):
        others = similarity[row] - 2 * (np.arange(num_classes) == row)
        assert f"({others.max():+.2f})" in line
        assert line.split("…")[0].strip().startswith(f"{row:02}")
        assert f"{others.argmax():02}" in line
    if num_classes > COUNT:
        assert "the 20 most related of 60 classes" in lines[-2:][0] + lines[-1]


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [("tench", 5, "tench"), ("goldfish", 5, "go…sh"), ("goldfish", 6, "gol…sh"), ("鳥", 5, "鳥")],
)
def test_a_longer_name_keeps_both_ends(name, cells, expected):
    assert report.shortened(name, cells) == expected
    assert cell_len(report.shortened("鳥鳥鳥鳥" + name, cells)) <= cells
