"""What a training minimises, in the manner of `optax.GradientTransformation`: `ss.objectives`."""

from simsmooth_jax.method.objectives.conditional_smoothing import conditional_smoothing
from simsmooth_jax.method.objectives.label_smoothing_plus_plus import label_smoothing_plus_plus
from simsmooth_jax.method.objectives.margin_smoothing import margin_smoothing
from simsmooth_jax.method.objectives.max_suppression import max_suppression
from simsmooth_jax.method.objectives.objective import Batch, Objective, label_table
from simsmooth_jax.method.objectives.online_relation import online_relation_labels
from simsmooth_jax.method.objectives.online_smoothing import online_label_smoothing
from simsmooth_jax.method.objectives.progressive_distillation import (
    progressive_self_distillation,
)
from simsmooth_jax.method.objectives.self_distillation import self_distillation
from simsmooth_jax.method.objectives.zipf_smoothing import zipf_smoothing

__all__ = [
    "Batch",
    "Objective",
    "conditional_smoothing",
    "label_smoothing_plus_plus",
    "label_table",
    "margin_smoothing",
    "max_suppression",
    "online_label_smoothing",
    "online_relation_labels",
    "progressive_self_distillation",
    "self_distillation",
    "zipf_smoothing",
]
