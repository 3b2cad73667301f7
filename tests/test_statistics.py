"""Means and intervals against SciPy's tests."""

import numpy as np
import pytest
from scipy import stats

from simsmooth_jax.study.paired import estimate

RANDOM = np.random.RandomState(0)
ONE, OTHER = RANDOM.randn(10) + 0.8, RANDOM.randn(10)


def test_interval_is_that_of_the_paired_t_test() -> None:
    found = estimate(ONE - OTHER)
    interval = stats.ttest_rel(ONE, OTHER).confidence_interval(0.95)
    assert found.mean - found.half_width == pytest.approx(interval.low)
    assert found.mean + found.half_width == pytest.approx(interval.high)


def test_text_form() -> None:
    assert str(estimate(np.array([98.0, 99.0, 100.0]))) == "99.00 ± 2.48"
