"""Random calls of every public array function, each against NumPy in float64 or our own refusal.

`python tests/fuzz.py COUNT [FIRST]` makes so many and prints what went wrong; a case is its number.
Shapes are few, as each compiles; values, scales, byte orders and mistakes are many.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from fuzz_oracles import EITHER, REFUSED, cosines, expected_losses, labels_of, relation

import simsmooth_jax as ss

N, K, B = 4, 6, 5
RULES = ("literal", "clip", "shift", "softmax", "neighbours")


def numbers(rng: np.random.RandomState, *shape: int) -> np.ndarray:
    """Values of one of many kinds, in float32."""
    kind = rng.randint(8)
    x = rng.randn(*shape)
    if kind == 1:
        x = rng.randint(-2, 3, shape)  # ties, zeros, equal columns
    elif kind == 2:
        x = np.abs(x)
    elif kind == 3:
        x = x * 10.0 ** rng.randint(-25, 25)
    elif kind == 4:
        x = x * 10.0 ** rng.randint(-12, 12, shape[-1])
    elif kind == 5:
        x = x + 1e3 * rng.randn(*shape[:-1], 1)
    elif kind == 6:
        x[..., rng.randint(shape[-1])] = rng.choice([0, np.nan, np.inf, 1e-35])
    return x.astype(np.float32)


def passed(rng: np.random.RandomState, x: np.ndarray) -> Any:
    """The same numbers as somebody may have them."""
    forms: list[Callable[[np.ndarray], Any]] = [
        lambda x: x,
        lambda x: x.astype(">f4"),
        lambda x: x.astype(np.float64),
        lambda x: x.tolist(),
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x[..., None], 2, -1)[..., 1],
    ]
    return forms[rng.randint(len(forms))](x)


def some_table(rng: np.random.RandomState) -> tuple[Any, np.ndarray]:
    """A table in one of the forms, and its rows."""
    kernel = rng.randn(N, K).astype(np.float32)
    s = cosines(kernel, False)
    form, epsilon = rng.randint(4), float(np.float32(rng.rand()))
    if form == 0:
        rows = rng.dirichlet(np.ones(K), K).astype(np.float32)
        return passed(rng, rows), rows.astype(np.float64)
    if form == 1:
        table = ss.top_k_labels(kernel, 3, epsilon=epsilon)
        rows = np.zeros((K, K))
        np.put_along_axis(rows, np.asarray(table.indices), np.float64(table.weights), 1)
        return table, rows
    if form == 2:
        rows = (1 - epsilon) * np.eye(K) + epsilon * relation(s, "shift", 1, True)
        return ss.factored_labels(kernel, epsilon=epsilon), rows
    index = np.stack([rng.permutation(K)[:3] for _ in range(K)]).astype(rng.choice(["i4", ">i8"]))
    weights = rng.dirichlet(np.ones(3), K).astype(np.float32)
    if rng.rand() < 0.3:
        index[rng.randint(K), 0] = rng.choice([-1, K, 100])
        return ss.TopKLabels(index, weights), np.full((K, K), np.nan)
    rows = np.zeros((K, K))
    np.put_along_axis(rows, index.astype(int), np.float64(weights), 1)
    return ss.TopKLabels(index, weights), rows


def some_labels(rng: np.random.RandomState) -> np.ndarray:
    y = rng.randint(0, K, B).astype(rng.choice(["i4", "i8", "u1", ">i4", ">u8"]))
    if rng.rand() < 0.3 and y.dtype.itemsize > 4:
        y[rng.randint(B)] = rng.choice([K, 2**32, 2**32 + 1])
    return y


Case = tuple[Callable[[], Any], Any, dict[str, float]]


def similarity_case(rng: np.random.RandomState) -> Case:
    kernel, center = numbers(rng, N, K), bool(rng.randint(2))
    given = passed(rng, kernel)
    return lambda: ss.cosine_similarity(given, center=center), cosines(kernel, center), {}


def labels_case(rng: np.random.RandomState) -> Case:
    rule, tau = RULES[rng.randint(len(RULES))], float(np.float32(rng.uniform(0.05, 2)))
    epsilon, own_in = float(np.float32(rng.rand())), bool(rng.randint(2))
    options: dict[str, Any] = {"rule": rule, "epsilon": epsilon}
    if rule == "neighbours":
        options["perplexity"] = tau = 2 + tau
    else:
        options |= {"include_self": own_in} | ({"temperature": tau} if rule == "softmax" else {})
    kernel = numbers(rng, N, K)
    given, s = passed(rng, kernel), cosines(kernel, False)
    expected = labels_of(relation(s, rule, tau, own_in), epsilon)
    loose = {"atol": 1e-3} if rule == "neighbours" else {}  # of a perplexity within 1e-4 of it
    if rng.rand() < 0.5 and not isinstance(s, str):
        square = passed(rng, s.astype(np.float32))
        return lambda: ss.relation_labels(square, **options), expected, loose
    return lambda: ss.relation_labels_from_kernel(given, **options), expected, loose


def top_k_case(rng: np.random.RandomState) -> Case:
    rule = ("clip", "shift", "softmax")[rng.randint(3)]
    options: dict[str, Any] = {"temperature": 0.3} if rule == "softmax" else {}
    kernel, k = numbers(rng, N, K), 3
    given, s = passed(rng, kernel), cosines(kernel, False)
    dense = relation(s, rule, 0.3, True)
    if isinstance(dense, str):
        return lambda: ss.top_k_labels(given, k, rule, **options), dense, {}

    def difference() -> Any:
        table = ss.top_k_labels(given, k, rule, **options)
        index = np.asarray(table.indices)
        above = np.where(np.eye(K, dtype=bool), 9, s)
        kept = np.take_along_axis(above, index, 1)
        least = np.sort(above, axis=1)[:, -k]
        assert (index[:, 0] == np.arange(K)).all()
        assert (kept >= least[:, None] - 2e-6).all(), "a nearer class was left out"
        assert (np.diff(kept, axis=1) <= 2e-6).all(), "not in the order of the cosines"
        right = np.take_along_axis(dense, index, 1)
        return np.asarray(table.weights) - right / right.sum(axis=1, keepdims=True)

    return difference, np.zeros((K, k)), {}


def loss_case(rng: np.random.RandomState) -> Case:
    table, rows = some_table(rng)
    y, z = some_labels(rng), numbers(rng, B, K)
    z = np.where(np.isfinite(z) | np.isneginf(z), z, 0).clip(-1e6, 1e6).astype(np.float32)
    if rng.rand() < 0.2:
        z[rng.randint(B), rng.randint(K)] = -np.inf
    where = rng.rand(B) < 0.7 if rng.randint(2) else None
    given = passed(rng, z)
    expected = expected_losses(z.astype(np.float64), y, rows, where)
    call: Any = ss.softmax_cross_entropy_with_label_table
    return lambda: call(given, y, table, where=where), expected, {"rtol": 2e-5}


def linear_case(rng: np.random.RandomState) -> Case:
    table, rows = some_table(rng)
    y, scale = some_labels(rng), 10.0 ** rng.randint(-3, 3)
    x, w, b = (rng.randn(*s).astype(np.float32) for s in ((B, N), (N, K), (K,)))
    w *= np.float32(scale)
    where = rng.rand(B) < 0.7 if rng.randint(2) else None
    z = x.astype(np.float64) @ w.astype(np.float64) + b
    given = [passed(rng, each) for each in (x, w, b)]
    call: Any = ss.linear_cross_entropy_with_label_table
    return (
        lambda: call(given[0], given[1], y, table, given[2], where=where),
        expected_losses(z, y, rows, where),
        {"rtol": 2e-5, "atol": 2e-6 * (1 + np.abs(z).max())},
    )


def rows_case(rng: np.random.RandomState) -> Case:
    table, rows = some_table(rng)
    y = some_labels(rng)
    found = np.where((y < K)[:, None], rows[np.where(y < K, y, 0).astype(int)], np.nan)
    expected = REFUSED if np.isnan(rows).any() else found
    return lambda: ss.target_rows(table, y), expected, {}


def means_case(rng: np.random.RandomState) -> Case:
    y = np.concatenate([np.arange(K), rng.randint(0, K, 6)])
    x = numbers(rng, len(y), N)
    if rng.rand() < 0.2:
        y[0] = rng.choice([-1, K, 2**32])
    wrong = not np.isfinite(x).all() or not ((y >= 0) & (y < K)).all()
    wrong |= not set(range(K)) <= set(y.tolist())
    given = passed(rng, x)
    if wrong:
        return lambda: ss.class_means(given, y, K), REFUSED, {}
    means = np.stack([x[y == k].astype(np.float64).mean(axis=0) for k in range(K)], axis=1)
    atol = 2e-6 * np.abs(x).max(axis=0)[:, None]
    return (
        lambda: (ss.class_means(given, y, K) - means) / np.maximum(atol, 1e-35),
        means * 0,
        {"atol": 1.0},
    )


def diagnosis_case(rng: np.random.RandomState) -> Case:
    kernel = numbers(rng, N, K)
    given, s = passed(rng, kernel), cosines(kernel, False)
    if isinstance(s, str):
        return lambda: ss.diagnose(given, temperature=0.3), s, {}

    def found() -> Any:
        numbers = ss.diagnose(given, temperature=0.3)
        return np.array([numbers.row_sum_min, numbers.row_sum_max, numbers.rules[-1].mean_own_mass])

    d = s.sum(axis=1)
    own = np.diag(relation(s, "softmax", 0.3, True)).mean()
    return found, np.array([d.min(), d.max(), own]), {}


CASES: list[Callable[[np.random.RandomState], Case]] = [
    similarity_case,
    labels_case,
    top_k_case,
    loss_case,
    linear_case,
    rows_case,
    means_case,
    diagnosis_case,
]


def check(number: int) -> None:
    """Raises where a case gives a wrong value, or another error than ours."""
    rng = np.random.RandomState(number)
    call, expected, tolerance = CASES[number % len(CASES)](rng)
    try:
        found = np.asarray(call())
    except ss.InputError as error:
        if isinstance(expected, str):
            return
        raise AssertionError(f"refused: {error}") from error
    if isinstance(expected, str):
        assert expected == EITHER, f"not refused, but {found}"
        return
    rtol, atol = tolerance.get("rtol", 0), tolerance.get("atol", 1e-5)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


def failures(count: int, first: int = 0) -> Iterator[str]:
    for number in range(first, first + count):
        try:
            check(number)
        except Exception as error:  # whatever it is, it is a finding
            name = CASES[number % len(CASES)].__name__
            yield f"case {number} ({name}): {type(error).__name__}: {str(error).strip()[:600]}"


if __name__ == "__main__":
    found = list(failures(*map(int, sys.argv[1:])))
    print("\n\n".join(found))
    print(f"{len(found)} wrong of {sys.argv[1]}")
    sys.exit(bool(found))
