"""What is tuned: weight decay, strength and sharpness, by the same random points for every arm."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import qmc

WEIGHT_DECAY = (3e-4, 3e-2)  # of sgd, added to the gradient
DECOUPLED = (1e-3, 1.0)  # of adamw
MOST_STRENGTH = 0.9  # of a soft label: above it little is left of the hard one
STRENGTHS = (0.0, MOST_STRENGTH)
WHOLE = (0.0, 1.0)
TEMPERATURES = (1.0, 8.0)  # of predictions
COSINES = (0.02, 1.0)  # temperatures of cosines
DISTANCES = (0.02, 2.0)  # temperatures of distances over their mean

Range = tuple[float, float]


class Point(NamedTuple):
    """One setting of an arm; what an arm has not is None."""

    weight_decay: float
    strength: float | None
    sharpness: float | None


class Space(NamedTuple):
    """What an arm can be set to, besides its weight decay.

    A pair is a range, of strength evenly, of sharpness by its logarithm; a number is the only one.
    """

    strength: Range | float | None = None
    sharpness: Range | float | None = None


def space_of(
    strength: Range | float | None = None, sharpness: Range | float | None = None
) -> Callable[[int], Space]:
    """The same for any number of classes."""
    space = Space(strength, sharpness)
    return lambda num_classes: space


def perplexities(num_classes: int) -> Space:
    """Strengths, and perplexities of neighbours."""
    high = 0.9 * (num_classes - 1)
    return Space(STRENGTHS, (min(2.0, (1 + high) / 2), high))


def points_of(space: Space, count: int, decays: Range) -> list[Point]:
    """Scattered evenly: a scrambled Halton sequence, the same for each arm and at every call.

    An arm of which nothing varies has one point.
    """
    if count == 1:
        shares = np.full((1, 3), 0.5)
    else:
        shares = qmc.Halton(3, scramble=True, rng=np.random.default_rng(0)).random(count)
    found = [
        Point(_by_logarithm(decays, a), _evenly(space.strength, b), _log(space.sharpness, c))
        for a, b, c in shares.tolist()
    ]
    return list(dict.fromkeys(found))


def _evenly(range: Range | float | None, share: float) -> float | None:
    if not isinstance(range, tuple):
        return range
    low, high = range
    return low + share * (high - low)


def _log(range: Range | float | None, share: float) -> float | None:
    return _by_logarithm(range, share) if isinstance(range, tuple) else range


def _by_logarithm(range: Range, share: float) -> float:
    low, high = range
    return low if low == high else float(low * (high / low) ** share)  # also where both are 0
