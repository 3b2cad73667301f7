"""The shapes and dtypes in the signatures are true: checked at run time, here alone."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jaxtyping import TypeCheckError, jaxtyped

import simsmooth_jax as ss

pytestmark = pytest.mark.slow

KERNEL = np.random.RandomState(0).randn(7, 5).astype(np.float32)


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    return jaxtyped(typechecker=beartype)(function)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, jnp.bfloat16, np.float64])
def test_signatures_hold(dtype: Any) -> None:
    kernel = KERNEL.astype(dtype)
    similarity = checked(ss.cosine_similarity)(kernel, center=True)
    for rule, temperature in (("clip", None), ("softmax", 0.2), ("softmax", jnp.float32(0.2))):
        table = checked(ss.relation_labels)(similarity, rule, temperature=temperature)
        checked(ss.relation_labels_from_kernel)(kernel, rule, temperature=temperature)
    checked(ss.uniform_labels)(5, 0.1)
    checked(ss.uniform_labels)(5, jnp.float32(0.1))
    checked(ss.onehot_labels)(5)
    checked(ss.head_kernel)({"head": {"kernel": kernel}})
    checked(ss.diagnose)(kernel)
    logits = np.zeros((2, 3, 5), dtype)
    labels = jnp.zeros((2, 3), jnp.int32)
    loss = checked(ss.softmax_cross_entropy_with_label_table)
    loss(logits, labels, table, where=labels == 0)
    loss(jnp.asarray(logits, jnp.float32), np.asarray(labels), np.asarray(table))
    for form in (table, ss.top_k_labels(kernel, 2), ss.factored_labels(kernel)):
        rows = checked(ss.target_rows)(form, labels)
        assert rows.shape == checked(ss.target_rows)(form, np.asarray(labels)).shape == (2, 3, 5)


def test_a_wrong_signature_is_found() -> None:
    with pytest.raises(TypeCheckError):
        checked(ss.relation_labels)(KERNEL, "clip")
