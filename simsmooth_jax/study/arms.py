"""Which form a table takes: dense for the usual number of classes, compact for very many."""

import jax.numpy as jnp

from simsmooth_jax.method import checks
from simsmooth_jax.method.labels import onehot_labels, uniform_labels
from simsmooth_jax.method.tables import FactoredLabels, LabelTable, TopKLabels

MANY_CLASSES = 2**14  # from here on a dense table takes 1 GiB or more


def onehot_table(num_classes: int) -> LabelTable:
    """Hard labels."""
    if num_classes < MANY_CLASSES:
        return onehot_labels(num_classes)
    return TopKLabels(jnp.arange(num_classes)[:, None], jnp.ones((num_classes, 1)))


def uniform_table(num_classes: int, epsilon: float) -> LabelTable:
    """Uniform smoothing; class vectors of zeros are as similar to each class: `(1 + 0) / K`."""
    if num_classes < MANY_CLASSES:
        return uniform_labels(num_classes, epsilon)
    zeros = jnp.zeros((1, num_classes))
    return FactoredLabels(zeros, zeros[0], jnp.float32(epsilon), "shift")


def refuse_uniform_epsilon(epsilon: float) -> None:
    """Refuses a weight of uniform smoothing out of range."""
    checks.fraction("uniform smoothing", "--uniform-epsilon", epsilon)
