"""How good predictions are: `ss.metrics`, from probabilities and labels, or batch by batch."""

from simsmooth_jax.metrics.accumulated import Accumulated, BatchValues, batch_values
from simsmooth_jax.metrics.calibration import (
    adaptive_calibration_error,
    classwise_calibration_error,
    expected_calibration_error,
)
from simsmooth_jax.metrics.scores import (
    accuracy,
    brier_score,
    negative_log_likelihood,
    top_k_accuracy,
)
from simsmooth_jax.metrics.selective import aurc, coverage_at_risk, excess_aurc
from simsmooth_jax.metrics.severity import (
    HierarchicalDistance,
    hierarchical_distance,
    minimum_risk_predictions,
)
from simsmooth_jax.metrics.temperature import fit_temperature

__all__ = [
    "Accumulated",
    "BatchValues",
    "HierarchicalDistance",
    "accuracy",
    "adaptive_calibration_error",
    "aurc",
    "batch_values",
    "brier_score",
    "classwise_calibration_error",
    "coverage_at_risk",
    "excess_aurc",
    "expected_calibration_error",
    "fit_temperature",
    "hierarchical_distance",
    "minimum_risk_predictions",
    "negative_log_likelihood",
    "top_k_accuracy",
]
