"""A diagnosis as text and as numbers of Python, what it warns of, and what it refuses."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_diagnosis import KERNEL, N, rule_of

import simsmooth_jax as ss
from simsmooth_jax.method.relations.diagnosis import TEMPERATURES

pytestmark = pytest.mark.usefixtures("no_rank_promotion")


def own_mass_kernel(own_mass: float) -> np.ndarray:
    """Four classes in two pairs, orthogonal ones, whose clip rule keeps this mass of each label."""
    cosine = 1 / own_mass - 1
    pair = np.array([[1, cosine], [0, np.sqrt(1 - cosine**2)]])
    return np.kron(np.eye(2), pair)


def even_kernel(num_classes: int, cosine: float) -> np.ndarray:
    """Every two classes have this cosine."""
    return np.linalg.cholesky(np.eye(num_classes) * (1 - cosine) + cosine).T


@pytest.mark.parametrize(
    ("kernel", "rule", "warning"),
    [
        (-np.eye(2) + 0.4, "literal", "ill-posed: a cosine is negative"),
        (own_mass_kernel(0.6), "clip", ""),
        (own_mass_kernel(0.989), "clip", ""),
        (own_mass_kernel(0.991), "clip", "nearly one-hot: no relation is left"),
        (even_kernel(10, 0.1), "clip", ""),  # perplexity 5.7 of 10
        (even_kernel(10, 0.22), "clip", "nearly uniform: no relation is left"),  # 8.1
        (np.ones((3, 9)), "clip", "nearly uniform: no relation is left"),
        (np.ones((3, 11)), "literal", "nearly uniform: no relation is left"),
        (np.kron(np.eye(2), np.ones((3, 9))), "clip", ""),  # half of the classes keep 1/9 each
        (np.kron(np.eye(2), np.ones((3, 11))), "clip", "own class nearly lost: lower epsilon"),
    ],
)
def test_warns_outside_of_the_bounds_and_not_inside(kernel, rule, warning):
    diagnosis = ss.diagnose(kernel, temperature=0.2)
    assert rule_of(diagnosis, rule).warning == warning
    assert (warning in str(diagnosis)) or not warning


def test_text_holds_every_figure_in_a_hundred_columns():
    diagnosis = ss.diagnose(KERNEL)
    lines = str(diagnosis).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0] == "kernel             6 features x 5 classes"
    assert f"{diagnosis.row_sum_min:.4f} to {diagnosis.row_sum_max:.4f}" in lines[1]
    assert f"{diagnosis.nonpositive_row_sums} of 5 are <= 0" in lines[1]
    assert f"{diagnosis.negative_cosine_share:.1%}" in lines[2]
    assert f"{diagnosis.column_sum_ratio:.4f}" in lines[3]
    names = ["literal", "clip", "shift", *[f"softmax τ={tau:g}" for tau in TEMPERATURES]]
    for name, rule, line in zip(names, diagnosis.rules, lines[-7:], strict=True):
        assert re.match(rf"{name} +{rule.mean_own_mass:.3f} ", line)
        assert line.endswith(rule.warning)
        assert rule.row_perplexity is None or f" {rule.row_perplexity:.2f} " in line


def test_text_of_a_sample_says_its_errors_in_a_hundred_columns():
    diagnosis = ss.diagnose(
        np.random.default_rng(1).normal(0.4, 1, size=(N, 1101)).astype(np.float32), temperature=0.3
    )
    rules = tuple(
        dataclasses.replace(
            rule,
            temperature=0.123457,
            mean_own_mass=0.05,
            own_mass_error=0.001,
            row_perplexity=900_000.0,
            perplexity_error=12_345.0,
            rows_own_not_on_top=1_000_000,
            warning="own class nearly lost: lower epsilon",
        )
        for rule in diagnosis.rules
    )
    longest = str(dataclasses.replace(diagnosis, num_classes=1_000_000, rules=rules))
    assert max(map(len, longest.splitlines())) <= 100
    assert "0.050 ±0.001  900000 ±12345     1000000   own class nearly" in longest
    lines = str(diagnosis).splitlines()
    share, error = diagnosis.negative_cosine_share, diagnosis.negative_cosine_share_error
    assert lines[2] == f"negative cosines   {share:.1%} ±{error:.1%} of the pairs of classes"
    assert lines[4] == "±                  standard error, of 1024 rows"
    softmax = diagnosis.rules[-1]
    assert f"{softmax.mean_own_mass:.3f} ±{softmax.own_mass_error:.3f}" in lines[-1]
    assert f"{softmax.row_perplexity:.2f} ±{softmax.perplexity_error:.2f}" in lines[-1]


def test_is_frozen_and_holds_python_numbers():
    diagnosis = ss.diagnose(KERNEL, temperature=0.2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        diagnosis.row_sum_min = 0.0  # pyright: ignore[reportAttributeAccessIssue]
    for part in (diagnosis, *diagnosis.rules):
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            assert type(value) in (int, float, bool, str, tuple, type(None)), field.name
    assert diagnosis == ss.diagnose(jnp.asarray(KERNEL), temperature=0.2)
    assert hash(diagnosis) == hash(ss.diagnose(KERNEL, temperature=0.2))


@pytest.mark.parametrize(
    ("kernel", "temperature", "message"),
    [
        (KERNEL[0], None, "kernel must have shape [N, K], got (5,)."),
        (KERNEL * [1, 1, 0, 1, 1], None, "got zeros in kernel[:, 2] (class 2)."),
        (KERNEL * [1, np.nan, 0, 1, 1], None, "NaN or infinity in kernel[:, 1] (class 1)."),
        (KERNEL, 0.0, "temperature must be a finite number above 0, got 0.0. Smaller is sharper"),
    ],
)
def test_refuses(kernel, temperature, message):
    with pytest.raises(ValueError, match=f"^diagnose: .*{re.escape(message)}"):
        ss.diagnose(kernel, temperature=temperature)


def test_constants_inside_jit_are_diagnosed():
    found = jax.jit(lambda x: x * ss.diagnose(KERNEL).row_sum_max)(1.0)
    assert float(found) == pytest.approx(ss.diagnose(KERNEL).row_sum_max)
