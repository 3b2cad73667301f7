"""Metrics of predictions that come in batches: values of a batch on the devices, then all."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.arrays import checks, meshes, operands
from simsmooth_jax.method.tables import targets
from simsmooth_jax.metrics import exact
from simsmooth_jax.metrics.arguments import for_rows, label_flaw, rows
from simsmooth_jax.metrics.calibration import NUM_BINS, class_gaps, edges
from simsmooth_jax.metrics.scores import top_class


class BatchValues(NamedTuple):
    """What the metrics need of a batch: values of each example, and one sum over them.

    Padding is in it, with False in `where`.
    """

    correct: Bool[Array, " batch"]
    confidence: Float[Array, " batch"]
    nll: Float[Array, " batch"]
    brier: Float[Array, " batch"]
    where: Bool[Array, " batch"]
    class_gaps: Float[Array, "classes bins"]


def batch_values(
    logits: Float[Array | np.ndarray, "batch classes"],
    labels: Int[Array | np.ndarray, " batch"],
    *,
    where: Bool[Array | np.ndarray, " batch"] | None = None,
) -> BatchValues:
    """What `Accumulated` takes of a batch, in the compiled step of an evaluation.

    It takes logits, so that the likelihood of a class whose probability rounds to 0 is finite.

    Args:
      logits: `[B, K]` float, what the model gives before softmax; computed in float32.
      labels: `[B]` integer class indices from 0 to K - 1.
      where: `[B]` bool; examples with False are left out. A batch of them alone is no error.

    Returns:
      `BatchValues` of arrays `[B]`, and of float32 `[K, 15]` sums for the class-wise error. Under
      transformations NaN in the logits, or a label that is no class, gives NaN in `nll`.

    Raises:
      ValueError: logits that count have NaN, a label is no class, or shapes do not match.

    Source: Guo et al. 2017 (arXiv:1706.04599) and Kull et al. 2019 (arXiv:1910.12656) for the bins.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> logits = jnp.array([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
      >>> where = jnp.array([True, True, False])  # the last one is padding
      >>> values = ss.metrics.batch_values(logits, jnp.array([0, 0, 0]), where=where)
      >>> print(values.confidence.round(4), values.correct)
      [0.8808 0.7311 0.5   ] [ True False  True]
    """
    function, advice = "batch_values", "Pass what the model gives before softmax."
    logits = operands.floats(function, "logits", logits, "[B, K]", advice)
    logits = rows(function, "logits", logits, advice)
    labels, where = for_rows(function, logits, "logits", labels, where)
    return checks.run_checked(function, _program, logits, labels, where)


class Accumulated:
    """Metrics of all examples of the batches that were added, exact: summed in float64 on the host.

    Nothing is fetched before they are asked for, so that a loop need not wait for the devices. Of
    each example five numbers are kept, and of all one float32 `[K, 15]` sum.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> total = ss.metrics.Accumulated()
      >>> for logits, labels in [([[2.0, 0.0]], [0]), ([[0.0, 1.0]], [0])]:
      ...     total.add(ss.metrics.batch_values(jnp.array(logits), jnp.array(labels)))
      >>> print(f"{total.summary()['nll']:.4f} {total.coverage_at_risk(0.1)}")
      0.7201 0.5
    """

    def __init__(self) -> None:
        """Holds nothing yet; an array of `batches[-1]` can be waited for."""
        self.batches: list[BatchValues] = []
        self._class_gaps: Array | None = None

    def add(self, values: BatchValues) -> None:
        """Adds what `batch_values` gives."""
        gaps = values.class_gaps
        self._class_gaps = gaps if self._class_gaps is None else self._class_gaps + gaps
        self.batches.append(values._replace(class_gaps=gaps[:0]))  # the sum alone is kept

    def summary(self) -> dict[str, Any]:
        """Count, accuracy and every other metric by its name; the bins of confidence as well."""
        values = self._fetched()
        confidence, correct = values["confidence"], values["correct"]
        count, bins = len(correct), exact.calibration_bins(confidence, correct)
        gaps = np.asarray(self._class_gaps, np.float64)
        area = float(exact.risk_curve(confidence, correct).mean())
        return {
            "count": count,
            "correct": int(correct.sum()),
            "accuracy": float(correct.sum() / count),
            "nll": float(values["nll"].mean(dtype=np.float64)),
            "ece": exact.calibration_error(bins),
            "adaptive_ece": exact.adaptive_error(confidence, correct),
            "classwise_ece": float(np.abs(gaps).sum() / (count * len(gaps))),
            "brier": float(values["brier"].mean(dtype=np.float64)),
            "aurc": area,
            "excess_aurc": max(area - exact.least_area(correct), 0.0),  # of rounding
            "bins": bins,
        }

    def coverage_at_risk(self, risk: float) -> float:
        """As `ss.metrics.coverage_at_risk`, of all examples."""
        function, advice = "Accumulated.coverage_at_risk", "0.05 bears one error in 20 answers."
        operands.fraction(function, "risk", risk, advice)
        values = self._fetched()
        (borne,) = np.nonzero(exact.risk_curve(values["confidence"], values["correct"]) <= risk)
        return float((borne[-1] + 1) / len(values["correct"])) if len(borne) else np.nan

    def _fetched(self) -> dict[str, np.ndarray]:
        """The examples that count."""
        fetched: list[BatchValues] = jax.device_get(self.batches)
        if not any(batch.where.any() for batch in fetched):
            advice = "Add batches with an example that counts."
            raise InputError("Accumulated", "hold an example", "none", advice)
        where = np.concatenate([batch.where for batch in fetched])
        values = {
            "correct": [batch.correct for batch in fetched],
            "confidence": [batch.confidence for batch in fetched],
            "nll": [batch.nll for batch in fetched],
            "brier": [batch.brier for batch in fetched],
        }
        return {name: np.concatenate(arrays)[where] for name, arrays in values.items()}


@jax.jit
def _program(logits: Array, labels: Array, where: Array) -> tuple[BatchValues, list[checks.Flaw]]:
    return meshes.by_class(_values_and_flaws, logits, labels, where, class_axis=None)


def _values_and_flaws(
    logits: Array, labels: Array, where: Array
) -> tuple[BatchValues, list[checks.Flaw]]:
    known, is_known = targets.in_range(labels, logits.shape[1])
    logits = logits.astype(jnp.float32)
    probabilities = jax.nn.softmax(logits)
    own = jnp.take_along_axis(probabilities, known[:, None], axis=1)[:, 0]
    of_labels = partial(targets.nan_where_unknown, is_known=is_known)
    values = BatchValues(
        correct=(top_class(logits) == known) & is_known,
        confidence=probabilities.max(axis=1),
        nll=of_labels(optax.softmax_cross_entropy_with_integer_labels(logits, known)),
        brier=of_labels(1 - 2 * own + jnp.square(probabilities).sum(axis=1)),
        where=where,
        class_gaps=class_gaps(probabilities, known, where, *edges(NUM_BINS)),
    )
    unfinished = checks.Flaw.of(
        jnp.isnan(probabilities).any(axis=1) & where,
        who="every row of logits",
        must="be without NaN",
        got="NaN in row {i}, or nothing but infinity",
        then="Leave that example out with where.",
    )
    return values, [unfinished, label_flaw(is_known, where, logits.shape[1])]
