"""Heads that are refused, word for word: several, none, transposed, of other shapes and dtypes."""

import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from write_checkpoints import BIAS, KERNEL, K, N

import simsmooth_jax as ss

SQUARE = np.arange(16.0).reshape(4, 4)
BY_OTHER = "If it is stored the other way: "
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "several": (
        {"a/head/kernel": KERNEL, "b/head/kernel": KERNEL},
        {},
        "exactly one kernel must be known by a name, as head, fc, classifier or logits, got 2: "
        "a/head/kernel [8, 4], b/head/kernel [8, 4]. Try `head='a/head/kernel'`.",
    ),
    "none of that name": (
        {"top/kernel": KERNEL},
        {"head": "../x"},
        "exactly one kernel must fit head='../x', got none of: top/kernel [8, 4]. Try "
        "`head='top/kernel'`, or `num_classes=4` if these are your classes.",
    ),
    "no matrix": (
        {"a/b": KERNEL, "head/kernel": BIAS},
        {},
        "it must hold an array named kernel, weight or w with two dimensions, got none among 2 "
        "arrays. List them with: simsmooth inspect",
    ),
    "[K, N] as Flax's kernel": (
        {"head/kernel": KERNEL.T, "head/bias": BIAS},
        {},
        "the bias must be of the 8 classes that features-classes means, got kernel head/kernel "
        f"[4, 8], bias [4]. {BY_OTHER}`layout='classes-features'`.",
    ),
    "num_classes on the other axis": (
        {"head/weight": KERNEL.T, "head/bias": BIAS},
        {"num_classes": N},
        "`num_classes=8` must be of the 4 classes that classes-features means, got kernel "
        f"head/weight [4, 8], bias [4]. {BY_OTHER}`layout='features-classes'`.",
    ),
    "a bias of another length": (
        {"head/kernel": KERNEL, "head/bias": np.zeros(5)},
        {},
        "the bias must be of the 4 classes that features-classes means, got kernel head/kernel "
        "[8, 4], bias [5]. Name another kernel with `head=PATH`.",
    ),
    "a weight of no known program": (
        {"head/weight": KERNEL},
        {},
        "the axis of the classes must be known, got kernel head/weight [8, 4], which does not say "
        "it. Add `layout='classes-features'`, as PyTorch's weights, or "
        "`layout='features-classes'`.",
    ),
    "a square weight": (
        {"head/weight": SQUARE, "head/bias": BIAS},
        {"num_classes": K},
        "the axis of the classes must be known, got kernel head/weight [4, 4], bias [4], which",
    ),
    "three dimensions": (
        {"head/kernel": np.stack([KERNEL] * 2), "head/bias": BIAS},
        {},
        "the kernel head/kernel must have shape [N, K], got [2, 8, 4]. A leading axis of 2 is one "
        "copy per device only where all the arrays beside it have it too: save one copy.",
    ),
    "copies that differ": (
        {"head/kernel": np.stack([KERNEL, KERNEL + 1]), "head/bias": np.stack([BIAS] * 2)},
        {},
        "the 2 copies of head/kernel must be equal, got another in copy 1. Save the one that is",
    ),
    "a 3x3 convolution": (
        {"head/kernel": np.ones((3, 3, N, K))},
        {},
        "the kernel head/kernel must have shape [N, K], got [3, 3, 8, 4]. A convolution is a "
        "classifier only where it is 1x1.",
    ),
    "integers": (
        {"head/kernel": KERNEL.astype(np.int8)},
        {},
        "head/kernel must hold floating-point numbers, got int8. Save it as float32.",
    ),
    "bfloat16 that NumPy has not kept": (
        {"head/kernel": KERNEL.astype(ml_dtypes.bfloat16)},
        {},
        "head/kernel must hold floating-point numbers, got void16. NumPy's files lose bfloat16: "
        "save it as float32.",
    ),
    "a bias of objects": (
        {"head/kernel": KERNEL, "head/bias": np.full(K, None)},
        {},
        "it must hold arrays alone, got head/bias as an array of objects, a pickle, which is never",
    ),
    "no copies": (
        {"head/kernel": np.zeros((0, N, K)), "head/bias": np.zeros((0, K))},
        {},
        "the kernel head/kernel must hold one number at least, got [0, 8, 4]. Save the classifier",
    ),
    "no features": (
        {"head/kernel": np.zeros((0, K))},
        {},
        "the kernel head/kernel must hold one number at least, got [0, 4].",
    ),
    "one class": (
        {"head/kernel": KERNEL},
        {"num_classes": 1},
        "num_classes must be an integer >= 2, got 1. It is the number of columns",
    ),
    "classes that are no number": (
        {"head/kernel": KERNEL},
        {"num_classes": "4"},
        "num_classes must be an integer >= 2, got '4'. It is",
    ),
    "a path that is no text": (
        {"head/kernel": KERNEL},
        {"head": 3},
        "`head` must be a text, got 3. Write the kernel's path.",
    ),
    "a layout that does not exist": (
        {"kernel": KERNEL},
        {"layout": "KN"},
        "`layout` must be features-classes or classes-features, got 'KN'. Leave it out to have it",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(tmp_path: Path, case: str) -> None:
    arrays, options, message = REFUSED[case]
    path = tmp_path / "head.npz"
    np.savez(path, **arrays)
    with pytest.raises(ss.InputError, match=f"^checkpoint {re.escape(f'{path}: {message}')}") as e:
        ss.restore_head(path, **options)
    assert "\n" not in str(e.value)
