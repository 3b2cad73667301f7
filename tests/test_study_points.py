"""The points that every arm tries: the same numbers for ever, in their ranges, spread evenly."""

import numpy as np
import pytest

from simsmooth_jax.study.comparison.points import (
    DECOUPLED,
    WEIGHT_DECAY,
    Point,
    Range,
    Space,
    points_of,
)

BOTH = Space((0.0, 0.9), (1.0, 8.0))
# Written down once: whoever repeats a study must find these.
FIRST = [
    (0.0077906003507812, 0.4221717033022885, 2.6609346677208667),
    (0.0007790600350781199, 0.7221717033022885, 4.033222758266362),
    (0.024636041448575327, 0.12217170330228849, 1.7555621720537633),
    (0.0024636041448575325, 0.32217170330228845, 6.113222551131087),
]


def shares(found: list[Point], decays: Range = WEIGHT_DECAY) -> np.ndarray:
    """Where the points lie in their ranges, from 0 to 1: of logarithms, and of the strength."""
    decay, strength, sharpness = np.array(found, np.float64).T
    low, high = np.log(decays)
    return np.stack(
        [(np.log(decay) - low) / (high - low), strength / 0.9, np.log(sharpness) / np.log(8)]
    )


def test_they_are_the_same_for_ever() -> None:
    np.testing.assert_allclose(np.array(points_of(BOTH, 4, WEIGHT_DECAY)), FIRST, rtol=1e-12)


@pytest.mark.parametrize("count", [2, 3, 8, 20])
def test_more_points_begin_with_the_fewer(count: int) -> None:
    assert points_of(BOTH, 50, WEIGHT_DECAY)[:count] == points_of(BOTH, count, WEIGHT_DECAY)


def test_one_point_is_the_middle_of_each_range() -> None:
    (found,) = points_of(BOTH, 1, WEIGHT_DECAY)
    np.testing.assert_allclose(np.array(found, float), (np.sqrt(3e-4 * 3e-2), 0.45, np.sqrt(8)))


def test_every_arm_has_the_same_weight_decays_and_strengths() -> None:
    """What an arm lacks is None or its one number, and changes nothing of the rest."""
    onehot = points_of(Space(), 8, WEIGHT_DECAY)
    patent = points_of(Space(1.0), 8, WEIGHT_DECAY)
    both = points_of(BOTH, 8, WEIGHT_DECAY)
    wider = points_of(Space((0.0, 0.9), (2.0, 80.0)), 8, WEIGHT_DECAY)
    for a, b, c, d in zip(onehot, patent, both, wider, strict=True):
        assert (a.strength, a.sharpness) == (None, None)
        assert (b.strength, b.sharpness) == (1.0, None)
        assert a.weight_decay == b.weight_decay == c.weight_decay == d.weight_decay
        assert c.strength == d.strength
        np.testing.assert_allclose(
            np.log(c.sharpness or 0) / np.log(8), np.log((d.sharpness or 0) / 2) / np.log(40)
        )


@pytest.mark.parametrize("decays", [WEIGHT_DECAY, DECOUPLED])
def test_they_fill_their_ranges_evenly(decays: Range) -> None:
    """Of 64 points each tenth of a range holds its share within two, which random ones do not."""
    places = shares(points_of(BOTH, 64, decays), decays)
    assert places.min() >= 0
    assert places.max() < 1
    for one in places:
        counts = np.histogram(one, bins=10, range=(0, 1))[0]
        assert np.abs(counts - 6.4).max() <= 2.4
    assert np.abs(np.corrcoef(places) - np.eye(3)).max() < 0.15


def test_what_has_one_setting_is_tried_once() -> None:
    """Of a fixed weight decay, which may be none, only what else an arm has varies."""
    assert points_of(Space(1.0), 8, (0.0, 0.0)) == [Point(0.0, 1.0, None)]
    assert points_of(Space(), 1, (5e-4, 5e-4)) == [Point(5e-4, None, None)]
    both = points_of(BOTH, 4, (0.0, 0.0))
    assert [one[1:] for one in both] == [one[1:] for one in points_of(BOTH, 4, WEIGHT_DECAY)]
    assert {one.weight_decay for one in both} == {0.0}
