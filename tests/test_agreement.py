"""Relations over seeds, against a hierarchy and against people: NumPy loops and SciPy's ranks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from simsmooth_jax.errors import InputError
from simsmooth_jax.study.agreement import (
    human_agreement,
    read_confusions,
    stability,
    superclass_agreement,
)

K, SEEDS = 7, 4
RANDOM = np.random.default_rng(3)
VECTORS = RANDOM.normal(size=(5, K)) + 0.4 * RANDOM.normal(size=(SEEDS, 5, K))
UNIT = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
SIMILARITIES = [unit.T @ unit for unit in UNIT]
PAIRS = [(i, j) for i in range(K) for j in range(i + 1, K)]


def test_mean_deviation_and_correlation_over_seeds() -> None:
    found = stability(SIMILARITIES)
    assert found.deviation is not None
    for i, j in PAIRS:
        values = [similarity[i, j] for similarity in SIMILARITIES]
        mean = sum(values) / SEEDS
        spread = (sum((v - mean) ** 2 for v in values) / (SEEDS - 1)) ** 0.5
        np.testing.assert_allclose(found.mean[i, j], mean, rtol=1e-12)
        np.testing.assert_allclose(found.deviation[[i, j], [j, i]], spread, rtol=1e-9)
    lists = [[similarity[i, j] for i, j in PAIRS] for similarity in SIMILARITIES]
    each: list[Any] = [
        stats.pearsonr(lists[a], lists[b])[0] for a in range(SEEDS) for b in range(a)
    ]
    assert found.correlation == pytest.approx(sum(each) / len(each), rel=1e-12)


def test_one_seed_says_nothing_of_stability() -> None:
    found = stability(SIMILARITIES[:1])
    np.testing.assert_array_equal(found.mean, SIMILARITIES[0])
    assert found.deviation is None
    assert found.correlation is None


def test_two_classes_and_constant_similarities_have_no_correlation() -> None:
    assert stability([s[:2, :2] for s in SIMILARITIES]).correlation is None
    assert stability([np.eye(K), SIMILARITIES[0]]).correlation is None


def test_nearest_in_the_same_superclass() -> None:
    tree = np.array([0, 0, 1, 1, 1, 2, 2])
    hits, chances = [], []
    for i in range(K):
        others = [j for j in range(K) if j != i]
        nearest = max(others, key=lambda j, i=i: SIMILARITIES[0][i, j])
        hits.append(tree[nearest] == tree[i])
        chances.append(np.mean([tree[j] == tree[i] for j in others]))
    found = superclass_agreement(SIMILARITIES[0], tree)
    assert found.nearest == np.mean(hits)
    np.testing.assert_allclose(found.chance, np.mean(chances))


def test_people_by_ranks_of_the_shares_of_both_directions() -> None:
    counts = RANDOM.integers(0, 9, size=(K, K)) + 40 * np.eye(K, dtype=int)
    counts[2] *= 10  # shares: a class that was shown more often counts as much
    share = counts / counts.sum(axis=1, keepdims=True)
    ours = stats.rankdata([SIMILARITIES[0][i, j] for i, j in PAIRS])
    theirs = stats.rankdata([share[i, j] + share[j, i] for i, j in PAIRS])
    expected = np.corrcoef(ours, theirs)[0, 1]
    np.testing.assert_allclose(human_agreement(SIMILARITIES[0], counts), expected, rtol=1e-12)


def test_confusions_are_read(tmp_path: Path) -> None:
    assert read_confusions(None, K) is None
    np.save(tmp_path / "c.npy", np.eye(K, dtype=np.int32))
    found = read_confusions(tmp_path / "c.npy", K)
    assert found is not None
    np.testing.assert_array_equal(found, np.eye(K))


@pytest.mark.parametrize(
    ("given", "must", "got"),
    [
        (np.eye(3), "hold counts [7, 7], each 0 or more", r"float64\[3, 3\]"),
        (-np.eye(K), "hold counts [7, 7], each 0 or more", "a negative or infinite one"),
        (np.full((K, K), np.nan), "hold counts [7, 7], each 0 or more", "a negative or infinite"),
        (np.full((K, K), "x"), "hold counts [7, 7], each 0 or more", "<U1"),
        (b"no array", "be an .npy file", ""),
    ],
)
def test_wrong_confusions_are_refused(
    tmp_path: Path, given: np.ndarray | bytes, must: str, got: str
) -> None:
    path = tmp_path / "c.npy"
    if isinstance(given, bytes):
        path.write_bytes(given)
    else:
        np.save(path, given)
    with pytest.raises(InputError, match=rf"`confusions=.*c.npy` must .*got {got}") as error:
        read_confusions(path, K)
    assert f"must {must}, got" in str(error.value)
    assert str(error.value).endswith("Save an array .npy with numpy.save.")
