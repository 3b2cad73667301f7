"""Paired differences between arms: intervals, tests, and whether they are none."""

import dataclasses
import itertools
from collections.abc import Collection, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy import stats

from simsmooth_jax.errors import InputError

CONFIDENCE, SIGNIFICANT = 0.95, 0.05
RESAMPLES = 9999
Verdict = Literal["better", "worse", "no difference", "too few seeds", "not told apart"]
MOST_CONTRASTS = 6  # named beforehand: with more, hardly any number of seeds could tell


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much larger a figure of one arm is than of another, over paired seeds."""

    arm: str
    than: str
    seeds: int
    mean: float
    low: float  # of the BCa interval
    high: float
    p: float  # of the sign-flip test, two-sided
    p_holm: float  # adjusted for all contrasts that were named beforehand; p itself elsewhere
    p_equivalent: float | None  # of two one-sided t-tests against the margin; adjusted as that is


def difference(
    arm: str,
    than: str,
    values: Float[np.ndarray, " seeds"],
    others: Float[np.ndarray, " seeds"],
    margin: float | None,
) -> Difference:
    """The mean of the paired differences, with its interval and its tests.

    They are rounded to nine digits, which makes ties of what rounding has told apart.

    The interval is the bootstrap's BCa, the test the permutation test that flips signs, exact up to
    13 seeds; "none" is what two one-sided t-tests say of a margin.
    """
    paired = np.round(np.asarray(values, np.float64) - np.asarray(others, np.float64), 9)
    mean = float(paired.mean())
    if np.ptp(paired) == 0:  # which has no interval, and no test unless it is 0
        least = least_p(len(paired), 1)  # no spread, no t-test: that of signs stands in for it
        p = 1.0 if mean == 0 else least
        inside = None if margin is None else (least if abs(mean) < margin else 1.0)
        return Difference(arm, than, len(paired), mean, mean, mean, p, p, inside)
    rng = np.random.default_rng(0)
    interval = stats.bootstrap(
        (paired,), np.mean, confidence_level=CONFIDENCE, n_resamples=RESAMPLES, rng=rng
    ).confidence_interval
    test = stats.permutation_test(
        (paired,), np.mean, permutation_type="samples", n_resamples=RESAMPLES, rng=rng
    )
    equivalent = None
    if margin is not None:
        above: Any = stats.ttest_1samp(paired, -margin, alternative="greater")
        below: Any = stats.ttest_1samp(paired, margin, alternative="less")
        equivalent = float(max(above.pvalue, below.pvalue))
    low, high, p = float(interval.low), float(interval.high), float(test.pvalue)
    return Difference(arm, than, len(paired), mean, low, high, p, p, equivalent)


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """The same with adjusted p, those of the differences and those of their absence.

    Source: Holm 1979.
    """
    adjusted = _adjusted([one.p for one in differences])
    equivalent = [one.p_equivalent for one in differences]
    if None not in equivalent:
        equivalent = _adjusted([one or 0.0 for one in equivalent])
    return [
        dataclasses.replace(one, p_holm=p, p_equivalent=none)
        for one, p, none in zip(differences, adjusted, equivalent, strict=True)
    ]


def _adjusted(ps: Sequence[float]) -> list[float]:
    """The k-th smallest of m times m + 1 - k, and none below one before."""
    order = sorted(range(len(ps)), key=lambda place: ps[place])
    factors = range(len(ps), 0, -1)
    steps = (ps[place] * factor for place, factor in zip(order, factors, strict=True))
    found = dict(zip(order, itertools.accumulate(steps, max), strict=True))
    return [min(1.0, found[place]) for place in range(len(ps))]


def contrasts_of(named: tuple[str, ...], arms: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of arms that are compared, at most six: those named, or each with uniform.

    Without names they are in the order of the arms, of which the last may be left out.
    """
    if not named:
        base = base_of(arms)
        pairs = [(arm, base) for arm in arms if arm not in ("onehot", base)]
        if base == "uniform":
            pairs.insert(0, ("uniform", "onehot"))
        return pairs[:MOST_CONTRASTS]
    pairs = []
    for text in named:
        arm, _, than = text.partition(":")
        if arm not in arms or than not in arms or arm == than:
            raise InputError(
                "`contrasts`",
                "be two of the arms, as predictions:uniform",
                repr(text),
                f"There are {', '.join(arms)}.",
            )
        pairs.append((arm, than))
    if len({frozenset(pair) for pair in pairs}) < len(pairs):
        raise InputError("`contrasts`", "be each once", " ".join(named), "Name none twice.")
    if len(pairs) > MOST_CONTRASTS:
        must = f"be at most {MOST_CONTRASTS}"
        raise InputError("`contrasts`", must, len(pairs), "Choose those that you ask about.")
    return pairs


def base_of(arms: Collection[str]) -> str:
    """The arm that all others are set against."""
    return "uniform" if "uniform" in arms else "onehot"


def explored(contrasts: Sequence[tuple[str, str]], arms: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of each arm and the base that are no contrast: they have no adjusted p."""
    base, named = base_of(arms), {frozenset(pair) for pair in contrasts}
    return [(arm, base) for arm in arms if arm != base and frozenset((arm, base)) not in named]


def least_p(seeds: int, contrasts: int) -> float:
    """The smallest p, adjusted for so many contrasts, that a sign-flip test can have."""
    return min(1.0, contrasts * 2.0 ** (1 - seeds))


def least_p_in_words(seeds: int, contrasts: int) -> str:
    """What is said of seeds that are too few: how large p is, whatever is found."""
    least = least_p(seeds, contrasts)
    return "p is always 1" if least == 1 else f"p is {least:.2g} or more"


def least_seeds(contrasts: int) -> int:
    """The fewest seeds by which one of so many contrasts can be told."""
    return next(n for n in itertools.count(1) if least_p(n, contrasts) <= SIGNIFICANT)


def verdict(found: Difference, contrasts: int) -> Verdict:
    """What is known of one of so many differences; what is better or worse may be small as well."""
    if found.p_holm <= SIGNIFICANT:
        return "better" if found.mean > 0 else "worse"
    if _is_none(found):
        return "no difference"
    return "too few seeds" if least_p(found.seeds, contrasts) > SIGNIFICANT else "not told apart"


def _is_none(found: Difference) -> bool:
    """Whether a larger one than the margin is excluded, by seeds that could tell one apart."""
    p = found.p_equivalent
    return p is not None and p <= SIGNIFICANT and found.seeds >= least_seeds(1)


def in_words(found: Difference, titles: dict[str, str], margin: float, contrasts: int) -> str:
    """A sentence about one of so many differences in points of accuracy."""
    arm, than = titles[found.arm], titles[found.than]
    figures = f"{found.mean:+.2f} points ({found.low:+.2f} to {found.high:+.2f})"
    kind = verdict(found, contrasts)
    if kind in ("better", "worse"):
        sign = 1 if kind == "better" else -1
        low, high = sorted((sign * found.low, sign * found.high))
        small = f", less than {margin:g}" if _is_none(found) else ""
        return (
            f"{arm}: {kind} than {than} by {abs(found.mean):.2f} points "
            f"({low:.2f} to {high:.2f}){small}, p {found.p_holm:.2g}."
        )
    if kind == "no difference":
        none = f"no difference from {than} larger than {margin:g} points"
        return f"{arm}: {none}, {figures}, p {found.p_equivalent:.2g}."
    if kind == "too few seeds":
        return f"{arm}: {found.seeds} seeds are too few to tell it from {than}, {figures}."
    untold = f"not told apart from {than} by {found.seeds} seeds"
    return f"{arm}: {untold}, {figures}, p {found.p_holm:.2g}."
