"""What is measured of a training: on validation to choose by, on test to be told."""

from typing import Any

import numpy as np
import scipy.special
from jaxtyping import Float, Int

from simsmooth_jax.metrics.calibration import expected_calibration_error
from simsmooth_jax.metrics.exact import calibration_bins, risk_curve
from simsmooth_jax.metrics.scores import brier_score
from simsmooth_jax.metrics.selective import aurc
from simsmooth_jax.metrics.severity import hierarchical_distance, minimum_risk_predictions
from simsmooth_jax.metrics.temperature import fit_temperature
from simsmooth_jax.study.comparison.relation_rows import distances

CURVE = 20  # points of a risk-coverage curve

Logits = Float[np.ndarray, "examples classes"]
Labels = Int[np.ndarray, " examples"]


def of_validation(logits: Logits, labels: Labels) -> dict[str, float]:
    """Accuracy, the temperature of the least NLL, and that NLL."""
    temperature = fit_temperature(logits, labels)
    return {
        "accuracy": _accuracy(_softmax(logits / temperature), labels),
        "temperature": temperature,
        "nll": _nll(logits, labels, temperature),
    }


def of_test(
    logits: Logits,
    labels: Labels,
    temperature: float,
    superclasses: Int[np.ndarray, " classes"] | None,
    least_risk: bool,
) -> dict[str, Any]:
    """All figures, raw and at a temperature that other images have given.

    With `least_risk` the decision is for the class of least expected distance, at that temperature;
    what tells the confidence of the most probable class is left out, as that is not the answer.
    """
    raw, decided = _softmax(logits), _softmax(logits / temperature)
    if least_risk:
        risk = minimum_risk_predictions(decided, distances(superclasses))
        decided = np.eye(logits.shape[1], dtype=np.float32)[np.asarray(risk)]
    found: dict[str, Any] = {"accuracy": _accuracy(decided, labels)}
    found["nll"] = _nll(logits, labels, 1.0)
    if least_risk:
        found["nll_at_temperature"] = _nll(logits, labels, temperature)
    else:
        found |= _calibration("", raw, labels) | softened(logits, labels, temperature)
        found["brier"] = _number(brier_score(raw, labels))
        found["aurc"] = _number(aurc(raw, labels))
    return found | ({} if superclasses is None else _severity(decided, labels, superclasses))


def softened(logits: Logits, labels: Labels, temperature: float) -> dict[str, Any]:
    """The figures of `of_test` that are at a temperature, and the risk-coverage curve."""
    probabilities = _softmax(logits / temperature)
    return {
        "nll_at_temperature": _nll(logits, labels, temperature),
        **_calibration("_at_temperature", probabilities, labels),
        "risk": _risks(probabilities, labels),
    }


def _severity(
    decided: Logits, labels: Labels, superclasses: Int[np.ndarray, " classes"]
) -> dict[str, float]:
    """How far off the answers are, and the mistakes alone, if there are any."""
    answer = decided.argmax(axis=1)
    far = hierarchical_distance(decided, labels, distances(superclasses))
    found = {
        "superclass_accuracy": float((superclasses[answer] == superclasses[labels]).mean()),
        "distance": _number(far.over_all),
    }
    mistaken = (answer != labels).any()
    return found | ({"distance_of_mistakes": _number(far.over_mistakes)} if mistaken else {})


def _calibration(name: str, probabilities: Logits, labels: Labels) -> dict[str, Any]:
    return {
        f"ece{name}": _number(expected_calibration_error(probabilities, labels)),
        f"bins{name}": _bins(probabilities, labels),
    }


def _nll(logits: Logits, labels: Labels, temperature: float) -> float:
    """From the logits: the probability of a label may be 0 in any precision."""
    logs = scipy.special.log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return 0.0 - float(logs[np.arange(len(labels)), labels].mean())


def _softmax(logits: Logits) -> Logits:
    return scipy.special.softmax(logits.astype(np.float64), axis=1).astype(np.float32)


def _accuracy(probabilities: Logits, labels: Labels) -> float:
    """In float64: two arms with as many right answers must be equal to the last digit."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def _bins(probabilities: Logits, labels: Labels) -> dict[str, list[float]]:
    correct = probabilities.argmax(axis=1) == labels
    found = calibration_bins(probabilities.max(axis=1), correct)
    return {name: [round(value, 3) for value in values] for name, values in found.items()}


def _risks(probabilities: Logits, labels: Labels) -> list[float]:
    """The share of errors among the most confident 5%, 10%, …, ties as one group."""
    correct = probabilities.argmax(axis=1) == labels
    risk = risk_curve(probabilities.max(axis=1), correct)
    places = np.ceil(np.arange(1, CURVE + 1) / CURVE * len(risk)).astype(int) - 1
    return [round(float(value), 5) for value in risk[places]]


def _number(value: Any) -> float:
    return float(value)
