"""Class-similarity label smoothing in JAX and Flax.

Names are loaded at first use, so that `import simsmooth_jax` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simsmooth_jax.class_vectors import class_means, mean_predictions
    from simsmooth_jax.diagnosis import Diagnosis, diagnose
    from simsmooth_jax.errors import InputError
    from simsmooth_jax.factored import factored_labels
    from simsmooth_jax.heads import head_kernel
    from simsmooth_jax.labels import (
        onehot_labels,
        relation_labels,
        relation_labels_from_kernel,
        uniform_labels,
    )
    from simsmooth_jax.linear_loss import linear_cross_entropy_with_label_table
    from simsmooth_jax.losses import softmax_cross_entropy_with_label_table
    from simsmooth_jax.restore import Head, restore_head, restore_head_kernel
    from simsmooth_jax.similarity import cosine_similarity
    from simsmooth_jax.tables import FactoredLabels, TopKLabels
    from simsmooth_jax.top_k import top_k_labels

__version__ = "0.1.0"

__all__ = [
    "Diagnosis",
    "FactoredLabels",
    "Head",
    "InputError",
    "TopKLabels",
    "class_means",
    "cosine_similarity",
    "diagnose",
    "factored_labels",
    "head_kernel",
    "linear_cross_entropy_with_label_table",
    "mean_predictions",
    "onehot_labels",
    "relation_labels",
    "relation_labels_from_kernel",
    "restore_head",
    "restore_head_kernel",
    "softmax_cross_entropy_with_label_table",
    "top_k_labels",
    "uniform_labels",
]

_MODULES = {
    "Diagnosis": "diagnosis",
    "FactoredLabels": "tables",
    "Head": "restore",
    "InputError": "errors",
    "TopKLabels": "tables",
    "class_means": "class_vectors",
    "cosine_similarity": "similarity",
    "diagnose": "diagnosis",
    "factored_labels": "factored",
    "head_kernel": "heads",
    "linear_cross_entropy_with_label_table": "linear_loss",
    "mean_predictions": "class_vectors",
    "onehot_labels": "labels",
    "relation_labels": "labels",
    "relation_labels_from_kernel": "labels",
    "restore_head": "restore",
    "restore_head_kernel": "restore",
    "softmax_cross_entropy_with_label_table": "losses",
    "top_k_labels": "top_k",
    "uniform_labels": "labels",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
