"""Random calls of every public array function: right values or our own errors, nothing else."""

from typing import Any

import fuzz
import pytest

import simsmooth_jax as ss


@pytest.mark.slow
def test_two_thousand_random_calls():
    assert list(fuzz.failures(2000)) == []


@pytest.mark.heavy
def test_twenty_thousand_random_calls():
    assert list(fuzz.failures(20_000, first=2000)) == []


def test_a_wrong_value_and_another_error_are_found(monkeypatch):
    right: Any = ss.target_rows

    def wrong(table: Any, labels: Any) -> Any:
        return right(table, labels) + 1e-4

    def broken(table: Any, labels: Any) -> Any:
        raise TypeError("unhashable")

    for target_rows in (wrong, broken):
        monkeypatch.setattr(ss, "target_rows", target_rows)
        number = fuzz.CASES.index(fuzz.rows_case)
        assert len(list(fuzz.failures(1, first=number))) == 1
