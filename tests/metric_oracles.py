"""Metrics by their definitions, one example at a time in float64 and fractions; no JAX."""

from fractions import Fraction
from typing import Any

import numpy as np

Array = np.ndarray


def accuracy(p: Array, y: Array) -> float:
    return float(np.mean([max(range(len(row)), key=row.__getitem__) for row in p.tolist()] == y))


def top_k_accuracy(p: Array, y: Array, k: int) -> float:
    """The first classes of a sort by probability, then by index."""
    ordered = [sorted(range(len(row)), key=lambda j: (-row[j], j))[:k] for row in p.tolist()]
    return float(np.mean([label in named for named, label in zip(ordered, y, strict=True)]))


def negative_log_likelihood(p: Array, y: Array) -> float:
    with np.errstate(divide="ignore"):
        return float(np.mean([-np.log(row[label]) for row, label in zip(p, y, strict=True)]))


def brier_score(p: Array, y: Array) -> float:
    return float(((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1).mean())


def binned(values: Array, hits: Array, num_bins: int) -> float:
    """`Σ_b |Σ value - Σ hit| / n`; histograms are closed on the left, so of the negatives."""
    edges = -np.arange(num_bins, -1, -1) / num_bins
    sums = [np.histogram(-values, edges, weights=w)[0] for w in (values, hits)]
    assert np.histogram(-values, edges)[0].sum() == len(values)
    return float(np.abs(sums[0] - sums[1]).sum() / len(values))


def expected_calibration_error(p: Array, y: Array, num_bins: int = 15) -> float:
    return binned(p.max(axis=1), (p.argmax(axis=1) == y).astype(float), num_bins)


def classwise_calibration_error(p: Array, y: Array, num_bins: int = 15) -> float:
    classes = range(p.shape[1])
    return float(np.mean([binned(p[:, k], (y == k).astype(float), num_bins) for k in classes]))


def adaptive_calibration_error(p: Array, y: Array, num_bins: int = 15) -> float:
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    tied = np.array([right[confidence == c].mean() for c in confidence])
    parts = np.array_split(np.argsort(confidence, kind="stable"), num_bins)
    gaps = [abs(confidence[part].sum() - tied[part].sum()) for part in parts]
    return float(sum(gaps) / len(y))


def risks(p: Array, y: Array) -> list[Fraction]:
    """Risk of the k most confident; within a tie each place has the group's mean error."""
    confidence, wrong = p.max(axis=1), p.argmax(axis=1) != y
    curve, errors = [], Fraction(0)
    for value in sorted(set(confidence), reverse=True):
        group = wrong[confidence == value]
        for _ in group:
            errors += Fraction(int(group.sum()), len(group))
            curve.append(errors / (len(curve) + 1))
    return curve


def aurc(p: Array, y: Array) -> float:
    return float(sum(risks(p, y)) / len(y))


def excess_aurc(p: Array, y: Array) -> float:
    wrong = sorted(p.argmax(axis=1) != y)
    best = [Fraction(int(sum(wrong[:k])), k) for k in range(1, len(y) + 1)]
    return float((sum(risks(p, y)) - sum(best)) / len(y))


def coverage_at_risk(p: Array, y: Array, risk: float) -> float:
    borne = [k for k, value in enumerate(risks(p, y), 1) if value <= Fraction(risk)]
    return max(borne) / len(y) if borne else np.nan


def hierarchical_distance(p: Array, y: Array, distance: Array) -> tuple[float, float]:
    pairs = list(zip(y.tolist(), p.argmax(axis=1).tolist(), strict=True))
    far = [distance[label, predicted] for label, predicted in pairs]
    missed = [distance[label, predicted] for label, predicted in pairs if label != predicted]
    return float(np.mean(far)), float(np.mean(missed)) if missed else np.nan


def random_cases(count: int, n: int, seed: int = 0) -> tuple[Any, Any, Any]:
    """Distributions, labels and masks: smooth, sharp, with many ties, and of zeros and ones alone.

    One example counts, or some, or all; none of them is right, or half, or most, or all.
    """
    random = np.random.default_rng(seed)
    tied = np.array([[8, 0, 0, 0, 0], [4, 2, 2, 0, 0], [2, 2, 2, 2, 0], [6, 2, 0, 0, 0]]) / 8
    kinds = []
    for kind in range(4):
        shape = (count // 4, n)
        if kind < 2:
            drawn = random.dirichlet([(1, 0.05)[kind]] * 5, shape)
        else:
            rows = tied[random.integers(0, 4, shape) * (kind == 2)]
            drawn = random.permuted(rows, axis=-1)
        kinds.append(drawn)
    p = np.concatenate(kinds).astype(np.float32)
    p = np.where(p < 1e-37, 0, p)  # to which XLA rounds numbers that are not normal
    right = random.random((count, n)) < random.choice([0, 0.5, 0.9, 1], (count, 1))
    y = np.where(right, p.argmax(axis=-1), random.integers(0, 5, (count, n)))
    chosen = random.choice([1, n // 3, n - 1, n], (count, 1))
    where = random.permuted(np.arange(n) < chosen, axis=1)
    return p, y.astype(np.int32), where
