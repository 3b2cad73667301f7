"""What a training minimises, in the manner of `optax.GradientTransformation`: `ss.objectives`."""

from simsmooth_jax.method.objectives.max_suppression import max_suppression
from simsmooth_jax.method.objectives.objective import Batch, Objective, label_table
from simsmooth_jax.method.objectives.online_relation import online_relation_labels
from simsmooth_jax.method.objectives.online_smoothing import online_label_smoothing

__all__ = [
    "Batch",
    "Objective",
    "label_table",
    "max_suppression",
    "online_label_smoothing",
    "online_relation_labels",
]
