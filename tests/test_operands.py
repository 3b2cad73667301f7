"""What callers really pass: other byte orders, 64 bits, boxes, lists; and what is refused."""

import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from flax import nnx

import simsmooth_jax as ss
from simsmooth_jax.method.arrays import operands

pytestmark = pytest.mark.usefixtures("no_rank_promotion")

N, K, B = 6, 5, 8
RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(N, K)).astype(np.float32)
LOGITS = RNG.normal(size=(B, K)).astype(np.float32)
FEATURES = RNG.normal(size=(B, N)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3, 4, 0, 1, 2], np.int32)
plain: Any = ss.softmax_cross_entropy_with_label_table
fused: Any = ss.linear_cross_entropy_with_label_table


def cosines(kernel: np.ndarray) -> np.ndarray:
    unit = kernel.astype(np.float64) / np.linalg.norm(kernel.astype(np.float64), axis=0)
    return unit.T @ unit


DISTANCE = np.abs(np.subtract.outer(np.arange(K), np.arange(K))).astype(np.float32)
SIMILARITY = cosines(KERNEL).astype(np.float32)
TABLE = np.asarray(ss.relation_labels_from_kernel(KERNEL, epsilon=0.5))
TOP: Any = ss.top_k_labels(KERNEL, 3)
FACTORED: Any = ss.factored_labels(KERNEL)

# A function of one array, and the array.
FUNCTIONS: dict[str, tuple[Any, Any]] = {
    "cosine": (ss.cosine_similarity, KERNEL),
    "labels": (ss.relation_labels, SIMILARITY),
    "from kernel": (ss.relation_labels_from_kernel, KERNEL),
    "top-k": (lambda w: ss.top_k_labels(w, 3), KERNEL),
    "factored": (ss.factored_labels, KERNEL),
    "means": (lambda x: ss.class_means(x, LABELS, K), FEATURES),
    "predictions": (
        lambda p: ss.mean_predictions(p, LABELS),
        scipy.special.softmax(LOGITS, 1),
    ),
    "metric": (
        lambda p: ss.metrics.classwise_calibration_error(p, LABELS),
        scipy.special.softmax(LOGITS, 1),
    ),
    "distances": (lambda d: ss.metrics.hierarchical_distance(TABLE[LABELS], LABELS, d), DISTANCE),
    "least risk": (lambda d: ss.metrics.minimum_risk_predictions(TABLE, d), DISTANCE),
    "risk": (
        lambda r: ss.metrics.coverage_at_risk(TABLE[LABELS], LABELS, r),
        np.float32(0.25),
    ),
    "batch": (lambda z: ss.metrics.batch_values(z, LABELS), LOGITS),
    "fitted": (lambda z: ss.metrics.fit_temperature(z, LABELS), LOGITS),
    "diagnosis": (lambda w: ss.diagnose(w, temperature=0.2).row_sum_max, KERNEL),
    "logits": (lambda z: plain(z, LABELS, TABLE), LOGITS),
    "table": (lambda t: plain(LOGITS, LABELS, t), TABLE),
    "weights": (lambda w: plain(LOGITS, LABELS, ss.TopKLabels(TOP.indices, w)), TOP.weights),
    "columns": (
        lambda w: plain(
            LOGITS, LABELS, ss.FactoredLabels(w, FACTORED.row_sums, jnp.float32(1), "shift")
        ),
        np.asarray(FACTORED.kernel),
    ),
    "features": (lambda x: fused(x, KERNEL, LABELS, TABLE), FEATURES),
    "head": (lambda w: fused(FEATURES, w, LABELS, TABLE), KERNEL),
    "bias": (lambda b: fused(FEATURES, KERNEL, LABELS, TABLE, b), LOGITS[0]),
    "rows": (lambda t: ss.target_rows(t, LABELS), TABLE),
    "epsilon": (lambda e: ss.relation_labels(SIMILARITY, epsilon=e), np.float32(0.25)),
    "temperature": (
        lambda t: ss.relation_labels(SIMILARITY, "softmax", temperature=t),
        np.float32(0.5),
    ),
    "strength": (lambda a: ss.objectives.max_suppression(a).data, np.float32(0.25)),
    "objective": (lambda t: ss.objectives.label_table(t).data, TABLE),
    "teacher": (lambda z: ss.objectives.self_distillation(z).data, LOGITS),
    "distance": (lambda d: ss.distance_labels(d, 5), np.where(np.eye(K), 0, 1 - SIMILARITY)),
    "shuffled": (lambda t: ss.shuffled_labels(t, jax.random.key(0)), TABLE),
}


class OfAnotherLibrary:
    """An array that speaks NumPy's protocol, as those of PyTorch do."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array


GIVEN = {
    "big-endian": lambda x: x.astype(">f4"),
    "float64": lambda x: x.astype(np.float64),
    "big-endian float64": lambda x: x.astype(">f8"),
    "list": lambda x: x.tolist(),
    "nnx.Param": lambda x: nnx.Param(jnp.asarray(x)),
    "nn.Partitioned": lambda x: nn.Partitioned(jnp.asarray(x), names=(None,) * x.ndim),
    "another library's": OfAnotherLibrary,
    "every second": lambda x: np.repeat(x[..., None], 2, axis=-1)[..., 0],
    "read only": lambda x: np.broadcast_to(x, x.shape),
    "JAX": jnp.asarray,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_array_is_read_as_what_it_holds(name):
    function, native = FUNCTIONS[name]
    expected = jax.tree.leaves(function(native))
    for given in GIVEN.values():
        found = jax.tree.leaves(function(given(np.asarray(native))))
        for some, right in zip(found, expected, strict=True):
            np.testing.assert_allclose(some, right, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "form", ["big-endian", "big-endian float64", "nnx.Param", "nn.Partitioned"]
)
def test_online_labels_read_a_head_as_what_it_holds(form):
    online: Any = ss.objectives.online_relation_labels(K, warmup_steps=0)
    found = online.refresh(online.data, online.init(), {"head": {"kernel": GIVEN[form](KERNEL)}}, 1)
    np.testing.assert_allclose(found, ss.relation_labels_from_kernel(KERNEL), atol=1e-6)


INTEGERS = {
    "int64": np.int64,
    "uint64": np.uint64,
    "big-endian": ">i4",
    "big-endian int64": ">i8",
    "uint8": np.uint8,
    "int8": np.int8,
}


@pytest.mark.parametrize("dtype", INTEGERS.values(), ids=INTEGERS)
def test_labels_and_indices_of_every_integer(dtype):
    labels, indices = LABELS.astype(dtype), np.asarray(TOP.indices).astype(dtype)
    table = ss.TopKLabels(indices, TOP.weights)
    np.testing.assert_array_equal(plain(LOGITS, labels, table), plain(LOGITS, LABELS, TOP))
    np.testing.assert_array_equal(
        fused(FEATURES, KERNEL, labels, table), fused(FEATURES, KERNEL, LABELS, TOP)
    )
    np.testing.assert_array_equal(ss.target_rows(table, labels), ss.target_rows(TOP, LABELS))
    means = ss.class_means(FEATURES, labels, K)
    np.testing.assert_array_equal(means, ss.class_means(FEATURES, LABELS, K))
    for metric in (ss.metrics.negative_log_likelihood, ss.metrics.aurc):
        found = metric(TABLE[LABELS], labels)
        np.testing.assert_array_equal(found, metric(TABLE[LABELS], LABELS))
    assert ss.metrics.fit_temperature(LOGITS, labels) == ss.metrics.fit_temperature(LOGITS, LABELS)
    batch: Any = ss.objectives.Batch(labels=jnp.asarray(0), step=jnp.asarray(0))._replace(
        labels=labels
    )
    objective: Any = ss.objectives.online_label_smoothing(K)
    state = objective.update(objective.data, objective.init(), LOGITS, batch)
    assert state.counts.sum() == (LOGITS.argmax(axis=1) == LABELS).sum()


@pytest.mark.parametrize("label", [2**32, 2**32 + 1, -(2**32), 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("x64", [False, True])
def test_labels_beyond_32_bits_are_no_classes(label, x64):
    with jax.enable_x64(x64):
        some = np.full(B, label)
        for labels in (some, jnp.asarray(some)) if x64 else (some,):
            for loss in (
                lambda y: plain(LOGITS, y, TABLE),
                lambda y: fused(FEATURES, KERNEL, y, TOP),
            ):
                assert np.isnan(loss(labels)).all()
                assert np.isnan(jax.jit(loss)(labels)).all() or not x64
            assert np.isnan(ss.target_rows(TABLE, labels)).all()
            with pytest.raises(ss.InputError, match="labels must be from 0 to 4, got another in"):
                ss.class_means(FEATURES, labels, K)


def test_integers_of_64_bits_are_numbers_of_their_size():
    kernel = np.array([[2**32 + 1, 1], [1, 2]])
    np.testing.assert_allclose(ss.cosine_similarity(kernel)[0, 1], 1 / 5**0.5, rtol=1e-6)
    with pytest.raises(
        ss.InputError, match=re.escape("must be in [-1, 1], got 4.295e+09 in row 0")
    ):
        ss.relation_labels(np.array([[1, 2**32], [2**32, 1]]))


def test_a_kernel_of_64_bits_is_centred_before_it_loses_its_digits():
    exact = RNG.normal(size=(N, K))
    expected = cosines(exact - exact.mean(axis=1, keepdims=True))
    found = ss.cosine_similarity(exact + 1e8, center=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with jax.enable_x64(True):
        found = ss.cosine_similarity(jnp.asarray(exact + 1e8), center=True)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert found.dtype == jnp.float32


def test_what_is_native_passes_untouched():
    for array in (KERNEL, jnp.asarray(KERNEL), KERNEL[:, ::2], jnp.asarray(KERNEL, jnp.bfloat16)):
        assert operands.matrix("f", "kernel", array, "[N, K]") is array
        assert operands.kernel("f", array, center=True) is array


class Unreadable:
    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError("it lies on a device.\nMore of it.")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ma.masked_array(KERNEL, KERNEL > 0), "be an array without a mask, got a masked array."),
        (KERNEL.astype(object), "hold real numbers, got dtype object."),
        (KERNEL + 0j, "hold real numbers, got dtype complex64."),
        (jnp.asarray(KERNEL) + 0j, "hold real numbers, got dtype complex64."),
        (KERNEL.astype(np.longdouble), "hold real numbers, got dtype float128."),
        (KERNEL > 0, "hold real numbers, got dtype bool."),
        (KERNEL.astype(str), "hold real numbers, got dtype <U"),
        (np.zeros((3, 3), "M8[s]"), "hold real numbers, got dtype datetime64[s]."),
        (np.zeros((3, 3), [("a", "f4")]), "hold real numbers, got dtype [('a', '<f4')]."),
        (jax.random.split(jax.random.key(0), (3, 3)), "hold real numbers, got dtype key<fry>."),
        (None, "be an array, got NoneType. Use jax.numpy.asarray."),
        ({"kernel": KERNEL}, "be an array, got dict. Use jax.numpy.asarray."),
        ([[1.0, 2.0], [3.0]], "be an array, got list (setting an array element with a sequence"),
        (Unreadable(), "be an array, got Unreadable (it lies on a device). Use jax.numpy"),
        (np.float64(KERNEL) * 1e39, "be within the range of float32, 3.4e38, got "),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(given, message):
    for call in (ss.cosine_similarity, ss.diagnose, lambda x: fused(FEATURES, x, LABELS, TABLE)):
        with pytest.raises(ss.InputError, match=re.escape(f"kernel must {message}")) as refused:
            call(given)
        assert "\n" not in str(refused.value)


def test_center_is_no_text():
    functions: Any = (ss.cosine_similarity, ss.diagnose, ss.factored_labels)
    for function in functions:
        with pytest.raises(ss.InputError, match="center must be True or False, got 'False'"):
            function(KERNEL, center="False")
