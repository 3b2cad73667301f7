"""One temperature for all logits, fitted on the host in float64."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.arrays import checks, operands
from simsmooth_jax.metrics.arguments import for_rows, rows

LEAST, GREATEST = 1e-2, 1e2


def fit_temperature(
    logits: Float[jax.Array | np.ndarray, "examples classes"],
    labels: Int[jax.Array | np.ndarray, " examples"],
    *,
    where: Bool[jax.Array | np.ndarray, " examples"] | None = None,
) -> float:
    """The temperature of the logits at which the labels are likeliest.

    `argmin_T -Σ_i log softmax(z_i / T)_y` for T from 0.01 to 100, by bounded scalar minimisation
    over log T, in which the loss has one minimum. Fit it on validation examples, and use it on
    others: `jax.nn.softmax(logits / T)`. Predictions do not change, their confidence does.

    Args:
      logits: `[n, K]` float, finite, what the model gives before softmax.
      labels: `[n]` integer class indices from 0 to K - 1.
      where: `[n]` bool; examples with False are left out.

    Returns:
      T, found in float64. Where all predictions are right it is the least, 0.01; where they are no
      better than chance, the greatest.

    Raises:
      ValueError: logits are not finite, a label is no class, no example counts, shapes do not
        match, or a transformation traces the arguments.

    Source: Guo et al. 2017 (arXiv:1706.04599).

    Example:
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> logits = np.log([[0.9, 0.1]] * 4)  # nine of ten, it says; three of four are right
      >>> print(f"{ss.metrics.fit_temperature(logits, np.array([0, 0, 0, 1])):.3f}")
      2.000
    """
    function = "fit_temperature"
    if checks.is_traced(logits, labels, where):
        advice = "Fit it outside of jit and other transformations."
        raise InputError(f"{function}: logits", "be known", "a traced array", advice)
    advice = "Pass what the model gives before softmax, a row for each example."
    narrow = operands.floats(function, "logits", logits, "[n, K]", advice)
    rows(function, "logits", narrow, advice)
    labels, where = for_rows(function, narrow, "logits", labels, where)
    # The narrow form is for the checks: logits of 64 bits are fitted with all their digits.
    exact = np.asarray(operands.as_array(function, "logits", logits), np.float64)
    return _fit(*_selected(function, exact, np.asarray(labels), np.asarray(where)))


def _selected(
    function: str, logits: np.ndarray, labels: np.ndarray, where: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    def refuse(which: np.ndarray, who: str, must: str, advice: str) -> None:
        if which.any():
            got = f"another in row {which.argmax()}"
            raise InputError(f"{function}: {who}", must, got, advice)

    num_classes = logits.shape[1]
    if not where.any():
        advice = "Skip a batch of padding alone."
        raise InputError(f"{function}: where", "select an example", "none", advice)
    advice = "Leave that example out with where."
    refuse(where & ~np.isfinite(logits).all(axis=1), "every row of logits", "be finite", advice)
    advice = "Labels count from 0; leave padding out with where."
    outside = where & ((labels < 0) | (labels >= num_classes))
    refuse(outside, "labels", f"be from 0 to {num_classes - 1}", advice)
    return logits[where], labels[where]


def _fit(logits: np.ndarray, labels: np.ndarray) -> float:
    above = logits - logits[np.arange(len(labels)), labels][:, None]  # of the label's logit

    def loss(log_temperature: Any) -> float:
        return float(np.mean(logsumexp(above / np.exp(log_temperature), axis=1)))

    bounds = np.log([LEAST, GREATEST])
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    return float(np.exp(min(*bounds, found.x, key=loss)))  # the search does not reach its ends
