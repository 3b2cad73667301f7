"""Random command lines, drawn from what `config/` knows of every option.

A case is its number. Values are valid, at an edge, beyond it, of another type, or odd texts; words
are doubled, left out, misspelled, put where nothing takes them.
"""

import dataclasses
import math
import random
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from simsmooth_jax.config import options
from simsmooth_jax.program.parsing import COMMANDS
from simsmooth_jax.program.wording import POSITIONAL

ODD = ["", " ", "-", "--", "-0", "0x10", "1_0", "1e400", "-1e400", "nan", "inf", "-inf", "NaN"]
ODD += ["None", "True", "٣", "½", "é", "日本", "a\nb", "\x1b[31mred\x1b[0m", "a b", "'", '"', "`x`"]
ODD += ["`epochs='`", "%s", "{0}", "$HOME", "~", "../..", "/", ".", "..", "x" * 5000, "9" * 400]
ODD += [
    "9" * 5000,
    "\udcff",
    "a\udc80b",
    "a\0b",
    "│",
    "=",
    "a=b",
    "3.0",
    "1e3",
    "*",
    ":",
    "::",
    "a:",
]
NUMBERS = [0, 1, -1, 2, 3, 10, 2**31 - 1, 2**31, 2**63, -(2**63), 10**30, 0.5, 1e-30, 1e-320, 1e38]
NUMBERS += [1e308, 1e15, 64, 100, 1000, 7]
FILES = ["trained", "trained/1", "trained/2", "labels.npz", "table.npy", "vectors.npy", "tiny.npz"]
FILES += ["features.npz", "pictures", "empty", "text.txt", "torn.npz", "none", "none/none", "lost"]
FILES += ["/proc/none", "/dev/null", "trained/config.json", "similarity.npz", "run"]
OF_FILES = [f"{kind}:{name}" for kind in ("npz", "folder", "vectors", "table") for name in FILES]
# What stands at options that take a text; a plus is a space.
TABLE = """
data digits digits digits digits npz:tiny.npz npz:features.npz folder:pictures cifar10 http://x
data fashion_mnist tfds:mnist tfds:mnits mnist npz: tfds:
model linear linear linear linear cnn mlp resnet resnet18 own:small own:none json json:loads
model own:two os:getcwd own: : own:broken none:x
labels onehot uniform online ols maxsup lspp pskd zipf mbls acls ./ols labels.npz
similarity kernel features predictions kernal
arms onehot uniform neighbours predictions onehot+uniform onehot+online onehot+onehot
arms onehot+uniform+neighbours+neighbours-shuffled+predictions
contrasts uniform:onehot onehot:onehot a:b uniform onehot:uniform+a:b
shard 1/1 1/2 2/1 0/2 1/0 -1/2 a/b 1/99999999999 1/2/3
coordinator 127.0.0.1:0 127.0.0.1:65536 127.0.0.1 no.invalid:80 [::1]:1 :1
image_size 8x8 8 0 8x x8 8X8 4096x4096 99999x99999 -8x8
head head params/head/kernel hea head/bias / a/../b
train_split train train[:50%] train[:10] test train[10:5] train[:0] train[a:b]
train_split train[:200%] train[-5:] train[::2]
"""
TEXTS: dict[str, list[str]] = {}
for _name, *_values in map(str.split, TABLE.strip().splitlines()):
    TEXTS.setdefault(_name, []).extend(value.replace("+", " ") for value in _values)
TEXTS |= dict.fromkeys(("validation_split", "test_split"), TEXTS["train_split"])
for _name, _values in (("data", OF_FILES), ("similarity", OF_FILES), ("labels", FILES)):
    TEXTS[_name] = TEXTS[_name] + _values


def case(number: int) -> list[str]:
    """The words after `simsmooth`."""
    rng = random.Random(number)
    command = rng.choice([*COMMANDS, "run", "train", "train"])
    cls = COMMANDS[command]
    found = [(field, kind) for field, kind in _fields(cls)]
    words, count = [], rng.choice([0, 1, 1, 1, 2, 2, 3, 4, 6])
    for field, kind in rng.sample(found, min(count, len(found))):
        words += _typed(rng, field, kind)
    for field, _ in found:
        if field.name in POSITIONAL and rng.random() < 0.8:
            kinds = TEXTS["data"] if field.name == "name" else FILES
            words.insert(0, rng.choice(kinds))
    return _spoilt(rng, [command, *words])


def _fields(cls: Any) -> list[tuple[Any, Any]]:
    kinds = get_type_hints(cls)
    found = []
    for field in dataclasses.fields(cls):
        kind = kinds[field.name]
        found += _fields(kind) if dataclasses.is_dataclass(kind) else [(field, kind)]
    return found


def _typed(rng: random.Random, field: Any, kind: Any) -> list[str]:
    """An option with its value as somebody may type it."""
    if field.name in POSITIONAL:
        return []
    name = "--" + field.name.replace("_", rng.choice(["-", "-", "-", "_"]))
    if kind is bool:
        return [name if field.default is False else f"--no-{name[2:]}"]
    text = _value(rng, field, kind)
    if get_origin(kind) is tuple:
        return [name, *text.split(" ")]
    return [f"{name}={text}"] if rng.random() < 0.2 else [name, text]


def _value(rng: random.Random, field: Any, kind: Any) -> str:
    if rng.random() < 0.15:
        return rng.choice(ODD)
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    choices = next((get_args(part) for part in kinds if get_origin(part) is Literal), None)
    if choices:
        return rng.choice([*choices, *choices, *choices, choices[0].upper(), choices[0][:-1]])
    if {int, float} & {*kinds}:
        return _number(rng, options.of(field), float not in kinds)
    return rng.choice(TEXTS.get(field.name, FILES))


def _number(rng: random.Random, known: options.Option, whole: bool) -> str:
    lowest, highest = max(known.least, known.above), min(known.most, known.below)
    at = [bound for bound in (lowest, highest) if not math.isinf(bound)]
    draws: list[Callable[[], Any]] = [
        lambda: known.example,
        lambda: known.example,
        lambda: rng.choice(at),
        lambda: rng.choice(at) + rng.choice([-1, 1]),
        lambda: math.nextafter(rng.choice(at), rng.choice([-math.inf, math.inf])),
        lambda: rng.choice(NUMBERS),
        lambda: rng.uniform(lowest, min(highest, lowest + 10)),
    ]
    value = rng.choice(draws)()
    return str(round(value) if whole and rng.random() < 0.9 and abs(value) < math.inf else value)


def _spoilt(rng: random.Random, words: list[str]) -> list[str]:
    """Sometimes a word more, less, twice or with a typing mistake."""
    if rng.random() > 0.2:
        return words
    place = rng.randrange(len(words))
    word = words[place]
    kind = rng.randrange(5)
    if kind == 0:
        return words[:place] + words[place + 1 :]
    if kind == 1:
        return [*words, *words[place : place + 2]]
    if kind == 2:
        letter = rng.randrange(len(word) + 1)
        spoilt = word[:letter] + rng.choice("xe-=_") + word[letter + 1 :]
        return [*words[:place], spoilt, *words[place + 1 :]]
    extra = rng.choice(["--bogus", "--epoch", "-x", "-v", "extra", "--", "True", "-h5", *ODD])
    return [*words[:place], *[extra] * (kind - 2), *words[place:]]


def inputs(directory: Path) -> None:
    """The files that cases name, all tiny, in a new directory."""
    import numpy as np
    from PIL import Image

    from simsmooth_jax.formats.label_files import TableFile

    rng, names = np.random.default_rng(0), tuple("abc")
    images = rng.integers(0, 255, (30, 8, 8, 1), np.uint8)
    labels = np.arange(30, dtype=np.int32) % 3
    for name, x in (("tiny", images), ("features", rng.normal(size=(30, 4)).astype(np.float32))):
        arrays = {
            "train_images": x,
            "train_labels": labels,
            "test_images": x,
            "test_labels": labels,
        }
        np.savez(directory / f"{name}.npz", **arrays)
    np.save(directory / "table.npy", np.full((10, 10), 0.1, np.float32))
    np.save(directory / "vectors.npy", rng.normal(size=(10, 5)).astype(np.float32))
    np.savez(directory / "similarity.npz", table=np.eye(10, dtype=np.float32))
    TableFile(np.eye(10, dtype=np.float32), None).save(directory / "labels.npz")
    (directory / "torn.npz").write_bytes((directory / "labels.npz").read_bytes()[:99])
    (directory / "text.txt").write_text("text")
    (directory / "empty").mkdir()
    for part in ("train", "test"):
        for k in range(12):
            folder = directory / "pictures" / part / names[k % 3]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[k, ..., 0]).save(folder / f"{k}.png")
    (directory / "own.py").write_text(OWN)


OWN = """
import flax.linen as nn
class Small(nn.Module):
    num_classes: int
    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(self.num_classes, name='head')(x.reshape((len(x), -1)))
def small(num_classes): return Small(num_classes)
def two(a, b): return None
def broken(num_classes): raise KeyError('x')
"""
