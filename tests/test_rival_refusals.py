"""What rivals' objectives refuse, in words, and what they do with labels that are none."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import simsmooth_jax as ss
from simsmooth_jax.machine import memory
from simsmooth_jax.method.objectives import Batch

K, N = 5, 20
LOGITS = np.random.default_rng(0).normal(size=(2, K)).astype(np.float32)
TEACHER = np.random.default_rng(1).normal(size=(N, K)).astype(np.float32)
NAN = np.where(np.arange(N)[:, None] == 3, np.nan, TEACHER)
objectives = ss.objectives


def pskd(*arguments: Any, **changes: Any) -> Any:
    options = {"steps_per_epoch": 2, "epochs": 10} | changes
    return objectives.progressive_self_distillation(*(arguments or (N, K)), **options)


def lspp(*arguments: Any, **options: Any) -> Any:
    return objectives.label_smoothing_plus_plus(*arguments, **options)


def distil(*arguments: Any, **options: Any) -> Any:
    return objectives.self_distillation(*arguments, **options)


def batch(labels: Any, examples: Any = None) -> Batch:
    return Batch(np.asarray(labels), jnp.asarray(0), examples)  # type: ignore[arg-type]


def loss(objective: Any, batch: Batch, logits: np.ndarray = LOGITS) -> np.ndarray:
    return np.asarray(objective.loss(objective.data, objective.init(), logits, batch))


def update(objective: Any, batch: Batch) -> np.ndarray:
    return np.asarray(objective.update(objective.data, objective.init(), LOGITS, batch))


REFUSED: dict[str, Any] = {
    "label_smoothing_plus_plus: num_classes must be an integer >= 2, got 1.": lambda: lspp(1),
    "label_smoothing_plus_plus: strength must be in [0, 1], got 2.": lambda: lspp(3, 2),
    "strength must be above 0 and below 1, got 0. At 0 or 1 the second half of": lambda: lspp(3, 0),
    "strength must be above 0 and below 1, got 1. At 0 or 1 the second half of": lambda: lspp(3, 1),
    "learning_rate must be a finite number above 0, got 0. Try 1.": lambda: lspp(
        3, learning_rate=0
    ),
    "self_distillation: teacher_logits must have shape [n, K] with K >= 2, got (20,).": (
        lambda: distil(TEACHER[:, 0])
    ),
    "teacher_logits must be floating point [n, K], got int64[20, 5]. Pass the first": (
        lambda: distil(TEACHER.astype(int))
    ),
    "every row of teacher_logits must be finite, got NaN or infinity in row 3. Has": (
        lambda: distil(NAN)
    ),
    "self_distillation: strength must be in [0, 1], got -1.": lambda: distil(TEACHER, -1),
    "temperature must be a finite number above 0, got 0. Larger is softer; try 3.": (
        lambda: distil(TEACHER, temperature=0)
    ),
    "self_distillation: batch.examples must say which examples of the training set these are, got"
    " None. Give Batch(labels, step, examples)": lambda: loss(distil(TEACHER), batch([0, 1])),
    "teacher_logits must have a column for each of the logits' classes, got 5 columns. The logits"
    " have 4.": lambda: loss(distil(TEACHER), batch([0, 1], np.array([0, 1])), LOGITS[:, :4]),
    "self_distillation: batch.examples must be integer class indices, got dtype float64.": (
        lambda: loss(distil(TEACHER), batch([0, 1], np.array([0.0, 1])))
    ),
    "progressive_self_distillation: num_examples must be an integer >= 1, got 0.": (
        lambda: pskd(0, K)
    ),
    "progressive_self_distillation: num_classes must be an integer >= 2, got 1": lambda: pskd(N, 1),
    "progressive_self_distillation: strength must be in [0, 1], got 3.": lambda: pskd(N, K, 3),
    "steps_per_epoch must be an integer >= 1, got 0. It is n over the batch size.": (
        lambda: pskd(steps_per_epoch=0)
    ),
    "epochs must be an integer >= 1, got 2.5. It is how long": lambda: pskd(epochs=2.5),
    "progressive_self_distillation: batch.examples must say which examples": (
        lambda: update(pskd(), batch([0, 1]))
    ),
    "zipf_smoothing: strength must be in [0, 1], got 1.5.": lambda: objectives.zipf_smoothing(1.5),
    "zipf_smoothing: power must be a finite number above 0, got 0. Larger is sharper; try 1.": (
        lambda: objectives.zipf_smoothing(power=0)
    ),
    "margin_smoothing: strength must be in [0, 1], got 9.": lambda: objectives.margin_smoothing(9),
    "margin_smoothing: margin must be a finite number above 0, got -1. Smaller is smoother; try": (
        lambda: objectives.margin_smoothing(margin=-1)
    ),
    "conditional_smoothing: strength must be in [0, 1], got -0.1.": (
        lambda: objectives.conditional_smoothing(-0.1)
    ),
    "conditional_smoothing: margin must be a finite number above 0, got 0. Smaller is smoother;": (
        lambda: objectives.conditional_smoothing(margin=0)
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused_arguments(message: str) -> None:
    with pytest.raises(ss.InputError, match=re.escape(message)) as refused:
        REFUSED[message]()
    assert "\n" not in str(refused.value)


ALL = {
    "lspp": lspp(K),
    "distillation": distil(TEACHER),
    "pskd": pskd(),
    "zipf": objectives.zipf_smoothing(),
    "mbls": objectives.margin_smoothing(),
    "acls": objectives.conditional_smoothing(),
}


@pytest.mark.parametrize("name", ALL)
def test_labels_and_examples_out_of_range_cost_nan(name: str) -> None:
    some = np.array([3, 4])
    assert np.isfinite(loss(ALL[name], batch([0, K], some))).tolist() == [True, False]
    if name in ("distillation", "pskd"):
        for odd in (N, -1, 2**32):
            found = loss(ALL[name], batch([0, 1], np.array([3, odd])))
            assert np.isfinite(found).tolist() == [True, False]


def test_states_do_not_learn_of_them() -> None:
    found = update(ALL["lspp"], batch([0, K]))
    assert np.isfinite(found).all()
    assert found.any(axis=1).tolist() == [True, False, False, False, False]
    found = update(ALL["pskd"], batch([0, 1], np.array([3, N])))
    assert np.flatnonzero(found.any(axis=1)).tolist() == [3]


@pytest.mark.parametrize("name", ["lspp", "pskd"])
def test_states_are_fresh_arrays(name: str) -> None:
    donate = jax.jit(lambda x: x + 1, donate_argnums=0)
    donate(ALL[name].init())
    jax.block_until_ready(ALL[name].init())


def test_what_is_kept_for_each_class_or_image_takes_so_much() -> None:
    shapes = {name: jax.eval_shape(objective.init) for name, objective in ALL.items()}
    sizes = {name: leaf.size * leaf.dtype.itemsize for name, leaf in shapes.items() if leaf != ()}
    assert sizes == {"lspp": 4 * K**2, "pskd": 4 * N * K}
    for dtype in (jnp.float16, jnp.bfloat16):
        data = distil(jnp.asarray(TEACHER, dtype)).data
        assert data.teacher_logits.nbytes == 2 * N * K
        narrow = loss(distil(jnp.asarray(TEACHER, dtype)), batch([0, 1], np.array([3, 4])))
        wide = loss(ALL["distillation"], batch([0, 1], np.array([3, 4])))
        np.testing.assert_allclose(narrow, wide, rtol=0.02)


def test_states_that_do_not_fit_are_refused_with_their_size(monkeypatch: Any) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 2**30)
    message = (
        "progressive_self_distillation: predictions [n, K] must fit into the memory of 1.0 GiB,"
        " got 4.8 GiB for 1281167 examples of 1000 classes. Train against a table"
    )
    with pytest.raises(ss.InputError, match=re.escape(message)):
        pskd(1281167, 1000)
    pskd(50000, 100)
    with pytest.raises(ss.InputError, match="label_smoothing_plus_plus: a table .K, K. must fit"):
        lspp(17000)
