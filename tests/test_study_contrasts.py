"""Which pairs of arms a study compares: those named, or what stands for them."""

import pytest

from simsmooth_jax.errors import InputError
from simsmooth_jax.study.comparison.inference import contrasts_of, explored

ARMS = ("onehot", "uniform", "clip", "shift")


def test_contrasts_are_those_named_or_each_with_uniform() -> None:
    others = [("clip", "uniform"), ("shift", "uniform")]
    assert contrasts_of((), ARMS) == [("uniform", "onehot"), *others]
    assert contrasts_of((), ("onehot", "clip")) == [("clip", "onehot")]
    assert contrasts_of(("clip:shift", "shift:onehot"), ARMS) == [
        ("clip", "shift"),
        ("shift", "onehot"),
    ]
    assert len(contrasts_of((), ("onehot", "uniform", *"abcdefgh"))) == 6


def test_default_contrasts_are_in_the_order_of_the_arms() -> None:
    """The seventh and later ones are explored, and none is neither or both."""
    arms = ("shift", "onehot", "h", "uniform", *"abcdef")
    found = contrasts_of((), arms)
    assert found == [("uniform", "onehot"), *((arm, "uniform") for arm in ("shift", "h", *"abc"))]
    assert explored(found, arms) == [(arm, "uniform") for arm in "def"]
    assert explored([("clip", "shift"), ("uniform", "clip")], ARMS) == [
        ("onehot", "uniform"),
        ("shift", "uniform"),
    ]
    assert explored(contrasts_of((), ARMS), ARMS) == []


NAMES = "There are onehot, uniform, clip, shift."
MUST = "`contrasts` must be two of the arms, as predictions:uniform, got"


@pytest.mark.parametrize(
    ("named", "text"),
    [
        (("clip",), f"{MUST} 'clip'. {NAMES}"),
        (("clip:clap",), f"{MUST} 'clip:clap'. {NAMES}"),
        (("clip:clip",), f"{MUST} 'clip:clip'. {NAMES}"),
        (
            ("clip:shift", "shift:clip"),
            "`contrasts` must be each once, got clip:shift shift:clip. Name none twice.",
        ),
    ],
)
def test_contrasts_that_are_none_are_refused(named: tuple[str, ...], text: str) -> None:
    with pytest.raises(InputError) as error:
        contrasts_of(named, ARMS)
    assert str(error.value) == text


def test_seven_contrasts_are_too_many() -> None:
    arms = ("onehot", *"abcdefg")
    with pytest.raises(InputError) as error:
        contrasts_of(tuple(f"{arm}:onehot" for arm in arms[1:]), arms)
    assert str(error.value) == (
        "`contrasts` must be at most 6, got 7. Choose those that you ask about."
    )
