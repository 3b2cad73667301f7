"""What random calls should give: the formulas in NumPy and float64, and what must be refused."""

from typing import Any

import numpy as np
import scipy.optimize
import scipy.special

REFUSED = "refused"  # what an oracle gives where a value must be
EITHER = "either"  # and where rounding decides


def cosines(kernel: np.ndarray, center: bool) -> Any:
    x = kernel.astype(np.float64)
    if not np.isfinite(x).all():
        return REFUSED
    noise = 0.0
    if center:
        noise = 8 * np.finfo(np.float32).eps * np.abs(x - x.max(axis=1, keepdims=True)).max()
        x = x - x.mean(axis=1, keepdims=True)
    largest, length = np.abs(x).max(axis=0), np.linalg.norm(x, axis=0)
    if (length < 1e-30).any():
        return REFUSED
    if center and (largest <= 300 * max(noise, np.abs(kernel).max() * 1e-7)).any():
        return EITHER  # what is left of such a column is rounding
    unit = x / length
    return np.clip(unit.T @ unit, -1, 1)


def relation(s: Any, rule: str, tau: float, own_in: bool) -> Any:
    """Relation rows of float64 cosines."""
    if isinstance(s, str):
        return s
    if rule == "neighbours":
        return neighbours(s, tau)
    if rule == "literal" and (s < 1e-5).any():
        least = s.min()
        return REFUSED if least < -1e-5 else EITHER
    mass = {"literal": s, "clip": np.maximum(s, 0), "shift": 1 + s}.get(rule)
    if mass is None:
        mass = np.exp((s - s.max(axis=1, keepdims=True)) / tau)
    if not own_in:
        mass = np.where(np.eye(len(s), dtype=bool), 0, mass)
        if (mass.sum(axis=1) < 1e-4).any():
            return EITHER
    return mass / mass.sum(axis=1, keepdims=True)


def neighbours(s: np.ndarray, perplexity: float) -> Any:
    """Softmax over the others, each row as sharp as its perplexity says."""
    rows = np.zeros_like(s)
    for i, row in enumerate(s):
        others = np.flatnonzero(np.arange(len(s)) != i)
        x = row[others] - row[others].max()

        def excess(log_beta: float, x: np.ndarray = x) -> float:
            p = scipy.special.softmax(np.exp(log_beta) * x)
            return np.exp(scipy.special.entr(p).sum()) - perplexity

        if excess(np.log(300)) > 0 or excess(np.log(1e-3)) < 0:
            return EITHER  # others as near as each other, as far as float32 knows
        log_beta: Any = scipy.optimize.brentq(excess, np.log(1e-3), np.log(300), xtol=1e-12)
        rows[i, others] = scipy.special.softmax(np.exp(log_beta) * x)
    return rows


def labels_of(r: Any, epsilon: float) -> Any:
    if isinstance(r, str):
        return r
    q = (1 - epsilon) * np.eye(len(r)) + epsilon * r
    below = (np.diag(q)[:, None] < q - 1e-5).any()
    near = (np.diag(q)[:, None] < q + 1e-5 - 1e-5 * np.eye(len(q))).sum() > 0
    return REFUSED if below else EITHER if near and not np.allclose(q, np.eye(len(q))) else q


def expected_losses(z: np.ndarray, y: np.ndarray, rows: np.ndarray, where: Any) -> Any:
    if np.isnan(rows).any():
        return REFUSED
    num_classes = len(rows)
    with np.errstate(invalid="ignore", over="ignore"):
        log_p = z - scipy.special.logsumexp(z, axis=1, keepdims=True)
        t = rows[np.where(y < num_classes, y, 0).astype(int)]
        losses = -np.where(t == 0, 0, t * log_p).sum(axis=1)
    losses = np.where(y < num_classes, losses, np.nan)
    return losses if where is None else np.where(where, losses, 0)
