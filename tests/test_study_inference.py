"""Paired differences: intervals, tests and sentences, against formulas written out by hand."""

import dataclasses
import itertools

import numpy as np
import pytest
import scipy.special
from numpy.testing import assert_allclose

from simsmooth_jax.study.comparison.inference import (
    Difference,
    difference,
    holm,
    in_words,
    least_p,
    least_seeds,
    verdict,
)

MARGIN = 0.3
RANDOM = np.random.RandomState(0)
SKEWED = np.array([0.1, 0.2, 0.15, 0.3, 0.25, 2.0])
NORMAL = RANDOM.randn(6)


def of(paired: np.ndarray, margin: float | None = MARGIN) -> Difference:
    others = 90 + RANDOM.rand(len(paired))
    return difference("a", "b", others + paired, others, margin)


def bca_by_hand(x: np.ndarray) -> tuple[float, float]:
    """Efron 1987, on the exact bootstrap distribution: all n^n resamples."""
    n = len(x)
    means = np.sort(x[np.array(list(itertools.product(range(n), repeat=n)))].mean(axis=1))
    below = ((means < x.mean() - 1e-12).mean() + (means <= x.mean() + 1e-12).mean()) / 2
    bias = scipy.special.ndtri(below)
    left_out = np.array([np.delete(x, i).mean() for i in range(n)])
    gaps = left_out.mean() - left_out
    skew = (gaps**3).sum() / (6 * (gaps**2).sum() ** 1.5)
    ends = []
    for z in scipy.special.ndtri([0.025, 0.975]):
        level = scipy.special.ndtr(bias + (bias + z) / (1 - skew * (bias + z)))
        ends.append(means[int(level * len(means))])
    return ends[0], ends[1]


@pytest.mark.parametrize("x", [SKEWED, NORMAL, -SKEWED], ids=["skewed", "normal", "to the left"])
def test_interval_is_efrons_bca(x: np.ndarray) -> None:
    """Within what 9,999 of the resamples tell of all; a percentile interval is further away."""
    found, (low, high) = of(x), bca_by_hand(x)
    assert_allclose((found.low, found.high), (low, high), atol=0.03 * (high - low))
    assert_allclose(found.mean, x.mean(), atol=1e-9)
    if x is not NORMAL:
        resamples = x[np.random.RandomState(1).randint(0, 6, (20_000, 6))].mean(axis=1)
        plain = np.quantile(resamples, [0.025, 0.975])
        assert np.abs(plain - (low, high)).max() > 0.1 * (high - low)


def flips_by_hand(x: np.ndarray) -> float:
    signs = np.array(list(itertools.product((-1, 1), repeat=len(x))))
    return float((np.abs(signs @ x) >= np.abs(x.sum()) - 1e-9).mean())


@pytest.mark.parametrize("n", [2, 3, 5, 8, 12])
def test_p_is_that_of_all_flips_of_signs(n: int) -> None:
    for shift in (0.0, 0.5, 3.0):
        x = RANDOM.randn(n) + shift
        assert_allclose(of(x).p, flips_by_hand(x), rtol=1e-12)


@pytest.mark.parametrize("steps", [[1, 1, -1], [2, 0, 1, 1, -1], [1, -1, 1, 1, 0, 0, 1, 2]])
def test_ties_of_counts_stay_ties(steps: list[int]) -> None:
    """Shares of 500 test images, in points: their rounding must not part what is equal."""
    others = np.array([451, 452, 447, 455, 449, 460, 443, 457])[: len(steps)]
    right = others + np.array(steps)
    found = difference("a", "b", right / 500 * 100, others / 500 * 100, None)
    assert_allclose(found.p, flips_by_hand(np.array(steps, np.float64)), rtol=1e-12)


def test_many_seeds_are_flipped_at_random_and_the_same_each_time() -> None:
    x = RANDOM.randn(20) + 0.4
    others = 90 + RANDOM.rand(20)
    found = difference("a", "b", others + x, others, None)
    assert found == difference("a", "b", others + x, others, None)
    signs = np.random.RandomState(5).choice([-1, 1], (200_000, 20))
    assert_allclose(found.p, (np.abs(signs @ x) >= abs(x.sum())).mean(), atol=0.02)


def test_equivalence_is_two_one_sided_t_tests() -> None:
    for shift in (0.0, 0.25, -0.25, 1.0):
        x = 0.2 * RANDOM.randn(9) + shift
        error = x.std(ddof=1) / 3
        tails = []
        for t in ((x.mean() + MARGIN) / error, (MARGIN - x.mean()) / error):
            tail = scipy.special.betainc(8 / 2, 1 / 2, 8 / (8 + t * t)) / 2  # beyond |t|
            tails.append(tail if t > 0 else 1 - tail)
        assert_allclose(of(x).p_equivalent or 0.0, max(tails), rtol=1e-5)
    assert of(NORMAL, None).p_equivalent is None


@pytest.mark.parametrize(
    ("constant", "p", "p_equivalent"),
    [(0.0, 1.0, 1 / 16), (0.2, 1 / 16, 1 / 16), (-0.4, 1 / 16, 1.0)],
)
def test_differences_that_are_all_the_same(constant: float, p: float, p_equivalent: float) -> None:
    found = of(np.full(5, constant))
    assert_allclose((found.mean, found.low, found.high), [constant] * 3, atol=1e-9)
    assert (found.p, found.p_equivalent) == (p, p_equivalent)
    assert p == flips_by_hand(np.full(5, constant))


@pytest.mark.parametrize(("seeds", "kind"), [(2, "too few seeds"), (6, "no difference")])
def test_so_few_seeds_that_are_equal_are_no_proof(seeds: int, kind: str) -> None:
    (found,) = holm([of(np.zeros(seeds))])
    assert verdict(found, 1) == kind


def with_p(*values: float) -> list[Difference]:
    return [dataclasses.replace(of(SKEWED), p=p) for p in values]


@pytest.mark.parametrize(
    "p",
    [(0.01, 0.04, 0.03, 0.005), (0.5,), (0.02, 0.02, 0.02), (0.9, 0.001, 0.6), (0.2, 0.4, 0.3)],
)
def test_holm_rejects_what_its_procedure_rejects(p: tuple[float, ...]) -> None:
    """Holm 1979: from the smallest p on, reject while `p <= alpha / (m + 1 - k)`."""
    adjusted = [one.p_holm for one in holm(with_p(*p))]
    for alpha in np.linspace(0.0005, 0.9995, 1000):
        rejected = set()
        for k, i in enumerate(np.argsort(p, kind="stable"), 1):
            if p[i] > alpha / (len(p) + 1 - k):
                break
            rejected.add(int(i))
        assert rejected == {i for i, value in enumerate(adjusted) if value <= alpha}, alpha
    assert max(adjusted) <= 1


def test_absence_of_differences_is_adjusted_alike() -> None:
    """Where there is a margin: the same procedure on the other tests' own p."""
    values = (0.01, 0.04, 0.03, 0.005)
    raw = [dataclasses.replace(one, p_equivalent=one.p, p=0.5) for one in with_p(*values)]
    expected = [one.p_holm for one in holm(with_p(*values))]
    assert [one.p_equivalent for one in holm(raw)] == expected
    without = [dataclasses.replace(one, p_equivalent=None) for one in raw]
    assert [one.p_equivalent for one in holm(without)] == [None] * 4


def test_holm_by_hand() -> None:
    """What statsmodels' multipletests gives: `max over the smaller ones of (m + 1 - k) p_k`."""
    found = [one.p_holm for one in holm(with_p(0.01, 0.04, 0.03, 0.005))]
    assert_allclose(found, [0.03, 0.06, 0.06, 0.02])


def test_so_few_seeds_cannot_tell() -> None:
    """The smallest p is that of differences of one sign, times the contrasts."""
    for n in range(2, 9):
        assert least_p(n, 1) == of(np.arange(1.0, n + 1)).p
    assert least_p(4, 3) == 3 / 8
    assert least_p(2, 6) == 1
    assert [least_seeds(m) for m in range(1, 7)] == [6, 7, 7, 8, 8, 8]
    for m in range(1, 7):
        adjusted = holm(with_p(*[least_p(least_seeds(m), 1)] * m))
        assert max(one.p_holm for one in adjusted) <= 0.05
        short = holm(with_p(*[least_p(least_seeds(m) - 1, 1)] * m))
        assert min(one.p_holm for one in short) > 0.05


FOUND = Difference("a", "b", 10, 0.5, 0.2, 0.8, 0.001, 0.004, 0.6)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "Ann: better than Bob by 0.50 points (0.20 to 0.80), p 0.004."),
        (
            {"mean": -0.5, "low": -0.8, "high": -0.2},
            "Ann: worse than Bob by 0.50 points (0.20 to 0.80), p 0.004.",
        ),
        (
            {"mean": 0.1, "low": 0.05, "high": 0.15, "p_equivalent": 0.01},
            "Ann: better than Bob by 0.10 points (0.05 to 0.15), less than 0.3, p 0.004.",
        ),
        (
            {"p_holm": 0.4, "mean": 0.05, "low": -0.1, "p_equivalent": 0.01},
            "Ann: no difference from Bob larger than 0.3 points, +0.05 points (-0.10 to +0.80), "
            "p 0.01.",
        ),
        (
            {"p_holm": 0.4, "low": -0.2},
            "Ann: not told apart from Bob by 10 seeds, +0.50 points (-0.20 to +0.80), p 0.4.",
        ),
        (
            {"p_holm": 0.5, "seeds": 4, "p_equivalent": 0.001},
            "Ann: 4 seeds are too few to tell it from Bob, +0.50 points (+0.20 to +0.80).",
        ),
        (
            {"p_holm": 1.0, "p_equivalent": None},
            "Ann: not told apart from Bob by 10 seeds, +0.50 points (+0.20 to +0.80), p 1.",
        ),
    ],
)
def test_sentences(changes: dict[str, float], sentence: str) -> None:
    found = dataclasses.replace(FOUND, **changes)  # type: ignore[arg-type]
    assert in_words(found, {"a": "Ann", "b": "Bob"}, MARGIN, 4) == sentence
