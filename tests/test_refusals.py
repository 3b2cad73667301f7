"""What the array functions refuse, word for word: argument, value, class, next step."""

import re
from typing import Any

import jax
import numpy as np
import pytest

import simsmooth_jax as ss

# Without their types, which some calls below break.
cosine: Any = ss.cosine_similarity
labels: Any = ss.relation_labels
from_kernel: Any = ss.relation_labels_from_kernel
uniform: Any = ss.uniform_labels
onehot: Any = ss.onehot_labels
loss: Any = ss.softmax_cross_entropy_with_label_table
rows: Any = ss.target_rows
diagnose: Any = ss.diagnose

K, B = 5, 7
S = np.eye(K)
S[0, 1] = S[1, 0] = 0.5
S[0, 2] = S[2, 0] = -0.2  # so class 2 is related to none
BROKEN = S + np.diag([0, 0, 0, np.nan, 0])
KERNEL = np.eye(6, K) * [1, 1, 0, 1, 1]
ONES = np.ones((5, 3))
LOGITS, LABELS = np.ones((B, K), np.float32), np.arange(B) % K

REFUSED = {
    "cosine_similarity": [
        (
            lambda: cosine([[1, 2], [3]]),
            "kernel must be an array, got list (setting an array element with a sequence",
        ),
        (
            lambda: cosine({"kernel": S}),
            "kernel must be an array, got dict. Use jax.numpy.asarray.",
        ),
        (
            lambda: cosine(ONES[0]),
            "kernel must have shape [N, K], got (3,). Pass one matrix [N, K].",
        ),
        (
            lambda: cosine(ONES[None]),
            "got (1, 5, 3). A leading axis of 1 looks like one copy per device: take kernel[0]",
        ),
        (
            lambda: cosine(ONES[None, None]),
            "got (1, 1, 5, 3). A 1x1 convolution is a Dense layer: take kernel[0, 0].",
        ),
        (
            lambda: cosine(np.ones((3, 3, 5, 4))),
            "kernel must have shape [N, K], got (3, 3, 5, 4). Pass one matrix",
        ),
        (
            lambda: cosine(ONES[:, :1]),
            "[N, K] with K >= 2 classes, got (5, 1). Relations need a second class",
        ),
        (
            lambda: cosine(ONES[:0]),
            "kernel must have shape [N, K] with K >= 2 classes, got (0, 3).",
        ),
        (
            lambda: cosine(ONES > 0),
            "kernel must hold real numbers, got dtype bool. Pass the array itself, as float32",
        ),
        (lambda: cosine(ONES + 0j), "kernel must hold real numbers, got dtype complex128."),
        (lambda: cosine(ONES.astype(object)), "kernel must hold real numbers, got dtype object."),
        (
            lambda: cosine(np.diag([1, 0, 0])),
            "got zeros in kernel[:, 1] (class 1). An untrained head, or a class without",
        ),
        (
            lambda: cosine(ONES * np.array([1, 1, 1e-35], np.float32)),
            "must have a length of 1e-30 or more, got 2.236e-35 in kernel[:, 2] (class "
            "2). Scale the kernel up: cosines do not change with it.",
        ),
        # A vector without a number is named before one without a length.
        (
            lambda: cosine(np.diag([0, 1, np.nan])),
            "must be finite, got NaN or infinity in kernel[:, 2] (class 2). Look",
        ),
        (
            lambda: cosine(np.diag([1, -np.inf, np.inf])),
            "must be finite, got NaN or infinity in kernel[:, 1] (class 1).",
        ),
    ],
    "softmax_cross_entropy_with_label_table": [
        (lambda: loss([None], [0], S), "logits must be an array, got list. Use jax.numpy.asarray."),
        (
            lambda: loss(LOGITS, LABELS, S),
            "every row of table must sum to 1, got 1.3 in row 0. A similarity goes to relation",
        ),
        (
            lambda: loss(np.ones((B, K), int), LABELS, np.eye(K)),
            "logits must be floating point [..., K]",
        ),
        (
            lambda: loss(np.float32(1), LABELS, np.eye(K)),
            "logits must be floating point [..., K], got floa",
        ),
        (
            lambda: loss(LOGITS, LABELS * 1.0, np.eye(K)),
            "integer class indices, got dtype float64. For dens",
        ),
        (
            lambda: loss(LOGITS, LABELS > 3, np.eye(K)),
            "labels must be integer class indices, got dtype bool",
        ),
        (
            lambda: loss(LOGITS, LABELS[:3], np.eye(K)),
            "without the class axis, (7,), got (3,). Labels are",
        ),
        (
            lambda: loss(LOGITS, np.ones((B, K), int), np.eye(K)),
            "(7,), got (7, 5). Labels are indices, not",
        ),
        (lambda: loss(LOGITS, LABELS, S[0]), "table must have shape [K, K], got (5,). Pass one"),
        (lambda: loss(LOGITS, LABELS, S[:3]), "table must have shape [K, K], got (3, 5)."),
        (lambda: loss(LOGITS, LABELS, S > 0), "table must hold real numbers, got dtype bool."),
        (
            lambda: loss(LOGITS, LABELS, np.eye(9)),
            "for each of the 5 logits, got (9, 9). Table and mod",
        ),
        (
            lambda: loss(LOGITS, LABELS, np.eye(K), where=LABELS),
            "where must be boolean of shape (7,), got in",
        ),
        (
            lambda: loss(LOGITS, LABELS, np.eye(K), where=LOGITS > 0),
            "(7,), got bool[7, 5]. It masks whole",
        ),
    ],
    "target_rows": [
        (lambda: rows(S[0], LABELS), "table must have shape [K, K], got (5,). Pass one matrix"),
        (lambda: rows(S[:3], LABELS), "table must have shape [K, K], got (3, 5)."),
        (lambda: rows(S > 0, LABELS), "table must hold real numbers, got dtype bool."),
        (
            lambda: rows(np.eye(K), LABELS * 1.0),
            "labels must be integer class indices, got dtype float64. Labels are indices, not one",
        ),
    ],
    "diagnose": [
        (lambda: diagnose(KERNEL), "got zeros in kernel[:, 2] (class 2)."),
        (lambda: diagnose(S, temperature=0), "temperature must be a finite number above 0, got 0."),
        (lambda: jax.jit(diagnose)(S), "kernel must be an array of values, got a tracer. Call it"),
    ],
    "relation_labels": [
        (lambda: labels(S[:2]), "similarity must have shape [K, K], got (2, 5). A kernel [N, K]"),
        (lambda: labels(S[0]), "similarity must have shape [K, K], got (5,). Pass one matrix"),
        (lambda: labels(S[:1, :1]), "[K, K] with K >= 2 classes, got (1, 1). Relations need a"),
        (lambda: labels(S > 0), "similarity must hold real numbers, got dtype bool. Pass the"),
        (lambda: labels(S, "cos"), "'shift', 'softmax', 'neighbours', got 'cos'. See the"),
        (lambda: labels(S, epsilon=-0.1), "epsilon must be in [0, 1], got -0.1. 0 is the hard"),
        (lambda: labels(S, epsilon=1.5), "epsilon must be in [0, 1], got 1.5."),
        (lambda: labels(S, epsilon=np.nan), "epsilon must be in [0, 1], got nan."),
        (lambda: labels(S, epsilon=None), "epsilon must be a number in [0, 1], got None."),
        (lambda: labels(S, epsilon="a"), "epsilon must be a number in [0, 1], got 'a'."),
        (lambda: labels(S, "softmax", temperature="a"), "a finite number above 0, got 'a'."),
        (lambda: labels(S, "softmax", temperature=1e-39), "a finite number above 0, got 1e-39."),
        (lambda: labels(S, epsilon=S[0]), "got shape (5,). Map over several values with jax.vmap"),
        (lambda: labels(S, "softmax"), "got temperature=None with rule 'softmax'. Set both"),
        (lambda: labels(S, temperature=0.2), "got temperature=0.2 with rule 'clip'."),
        (lambda: labels(S, "softmax", temperature=0), "temperature must be a finite number above"),
        (lambda: labels(S, "softmax", temperature=-1), "above 0, got -1. Smaller is sharper"),
        (lambda: labels(S, "softmax", temperature=np.inf), "above 0, got inf."),
        (
            lambda: labels(S, top_k=0),
            "top_k must be an integer from 1 to 5 (the number of classes)",
        ),
        (lambda: labels(S, top_k=6), "(the number of classes), got 6. Leave it out to keep every"),
        (lambda: labels(S, top_k=2.0), "(the number of classes), got 2.0."),
        (lambda: labels(S, top_k=True), "(the number of classes), got True."),
        (lambda: labels(S, top_k=1, include_self=False), "top_k must be an integer from 2 to 5"),
        (lambda: labels(BROKEN), "finite, got NaN or infinity in row 3 (class 3). Look at the"),
        (lambda: labels(2 * S), "in [-1, 1], got 2 in row 0 (class 0). Pass cosine_similarity("),
        (lambda: labels(S - 3 * np.eye(K)), "in [-1, 1], got -2 in row 0 (class 0)."),
        (
            lambda: labels(S, "literal"),
            "rule 'literal' must have every cosine >= 0, got -0.2 in row 0 (class 0). Use rule "
            "'clip', 'shift' or 'softmax'.",
        ),
        (
            lambda: labels(S, include_self=False, epsilon=0.3),
            "rule 'clip' must have a class of positive relation in every row, got none in row 2 "
            "(class 2). Set include_self=True, or use rule 'shift' or 'softmax'.",
        ),
        (
            lambda: labels(S, "shift", include_self=False, epsilon=0.8),
            "must be largest at its own class, got 0.2 there and 0.2791 at another in row 0 (class "
            "0). Set include_self=True (rule 'clip', 'shift' or 'softmax') or a smaller epsilon.",
        ),
    ],
    "relation_labels_from_kernel": [
        (lambda: from_kernel(KERNEL), "a length above 0, got zeros in kernel[:, 2] (class 2)."),
        (lambda: from_kernel(KERNEL[None]), "kernel must have shape [N, K], got (1, 6, 5)."),
        (lambda: from_kernel(KERNEL, "softmax"), "temperature must be given with rule 'softmax'"),
        (lambda: from_kernel(KERNEL[:, :2], "literal", center=True), "cosine >= 0, got -1 in row"),
    ],
    "uniform_labels": [
        (lambda: uniform(1, 0.1), "num_classes must be an integer >= 2, got 1. It is the number"),
        (lambda: uniform(2.5, 0.1), "num_classes must be an integer >= 2, got 2.5."),
        (lambda: uniform(3, 1.01), "epsilon must be in [0, 1], got 1.01."),
    ],
    "onehot_labels": [(lambda: onehot(True), "num_classes must be an integer >= 2, got True.")],
}


@pytest.mark.parametrize(
    ("function", "call", "message"),
    [(function, *case) for function, cases in REFUSED.items() for case in cases],
)
def test_refuses(function: str, call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{function}: .*{re.escape(message)}") as refused:
        call()
    assert "\n" not in str(refused.value).split("\n---")[0]  # what follows is JAX's own note


@pytest.mark.parametrize("value", [0.1, 1e-3, 1e20])
def test_refuses_equal_columns_under_center(value):
    message = re.escape("got zeros in centred kernel[:, 0] (class 0)")
    with pytest.raises(ValueError, match=message):
        ss.cosine_similarity(np.full((5, 3), value, np.float32), center=True)
