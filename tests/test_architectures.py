"""The head of some dozens of real architectures: the right one, or a refusal that proposes it.

architectures.json has the names and shapes of their arrays, of each kind of name the first two, as
torchvision, timm, transformers, Haiku and Flax make them; `head` is null where there is none.
"""

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simsmooth_jax as ss
from simsmooth_jax.formats.head import find_head
from simsmooth_jax.formats.stores.arrays import ArrayInfo, Name, StoredArrays

MODELS: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("architectures.json").read_text()
)
WAYS = re.compile(r"`head=('[^`]*'|\"[^`]*\")`|`num_classes=(\d+)`")


def unread(names: Sequence[Name]) -> dict[Name, np.ndarray]:
    raise AssertionError(f"nothing is read to find a head: {names}")


def listed(name: str, without_head: bool = False) -> StoredArrays:
    """A checkpoint of an architecture that nobody has written, in its program's format."""
    model = MODELS[name]
    pytorch = any(key.endswith(".weight") for key in model["arrays"])
    module = model["head"] and re.split(r"[./](kernel|weight|w)\b", model["head"])[0]
    arrays: Mapping[Name, ArrayInfo] = {
        (key,) if pytorch else tuple(key.split("/")): ArrayInfo(
            tuple(shape), "float32", 4 * math.prod(shape)
        )
        for key, shape in model["arrays"].items()
        if not (without_head and re.match(rf"{re.escape(module)}[./]", key))
    }
    kind = "safetensors" if pytorch else "Orbax"
    return StoredArrays(Path("model"), kind, arrays, unread, pytorch=pytorch)


def classes(name: str) -> int:
    shape = MODELS[name]["arrays"][MODELS[name]["head"]]
    return shape[0] if MODELS[name]["head"].endswith(".weight") else shape[-1]


def found(stored: StoredArrays, head: str | None = None, num_classes: int | None = None) -> str:
    return "/".join(find_head(stored, head, num_classes, None).name)


def refusal(stored: StoredArrays, num_classes: int | None = None) -> str:
    with pytest.raises(ss.InputError) as error:
        found(stored, num_classes=num_classes)
    assert str(error.value).startswith("checkpoint model: "), error.value
    assert str(error.value).count(" [") <= 9
    return str(error.value)


HEADS = sorted(name for name in MODELS if MODELS[name]["head"])


def attempt(name: str, **options: Any) -> str | ss.InputError:
    """What is found, or how it is refused."""
    try:
        return found(listed(name), **options)
    except ss.InputError as error:
        return error


@pytest.mark.parametrize("name", HEADS)
def test_the_right_head_or_a_refusal_that_proposes_it(name: str) -> None:
    right = MODELS[name]["head"]
    answer = attempt(name)
    if isinstance(answer, ss.InputError):
        ways = WAYS.findall(answer.then)
        assert ways, answer
        for path, number in ways:  # each of them works, alone
            way = {"head": ast.literal_eval(path)} if path else {"num_classes": int(number)}
            assert attempt(name, **way) == right, answer
        assert answer.got.split(": ")[1].startswith(f"{right} ["), answer
    else:
        assert answer == right


@pytest.mark.parametrize("name", HEADS)
def test_the_number_of_classes_finds_it(name: str) -> None:
    assert attempt(name, num_classes=classes(name)) == MODELS[name]["head"]


@pytest.mark.parametrize("name", HEADS)
def test_without_its_head_no_other_layer_is_taken(name: str) -> None:
    refusal(listed(name, without_head=True))
    refusal(listed(name, without_head=True), classes(name))


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {*HEADS}))
def test_a_network_without_classes_is_refused(name: str) -> None:
    refusal(listed(name))
    refusal(listed(name), 1000)


def test_most_are_found_by_name() -> None:
    """So that the tests above are no tests of refusals alone."""
    assert len(HEADS) > 60
    by_name = [name for name in HEADS if attempt(name) == MODELS[name]["head"]]
    assert len(by_name) > 0.7 * len(HEADS)
