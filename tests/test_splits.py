"""Train, validation and test of a source: by name, by expression, never overlapping."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import simsmooth_jax as ss
from simsmooth_jax.config.data import SourceConfig
from simsmooth_jax.data.dataset import Source, Split
from simsmooth_jax.data.splits import cut_splits


def source(**sizes: int) -> Source:
    """Splits whose images carry their number: train from 0, the next from 1,000, …"""
    splits = {}
    for place, (name, size) in enumerate(sizes.items()):
        numbers = 1000 * place + np.arange(size)
        images = np.stack([numbers // 256, numbers % 256], axis=1).astype(np.uint8)
        splits[name] = Split(images[:, :, None, None], np.zeros(size, np.int32))
    return Source("tiny", ("a", "b"), splits)


def numbers(examples: Any) -> list[int]:
    images, _ = examples.take(np.arange(len(examples)))
    return (images[:, 0, 0, 0].astype(int) * 256 + images[:, 1, 0, 0]).tolist()


def cut(given: Source, **expressions: str) -> dict[str, list[int]]:
    options: Any = {f"{part}_split": text for part, text in expressions.items()}
    config = SourceConfig(**options)
    return {part: numbers(examples) for part, examples in cut_splits(given, config).items()}


def span(start: int, stop: int) -> list[int]:
    return list(range(start, stop))


@pytest.mark.parametrize("name", ["validation", "val", "valid"])
def test_own_names_are_taken(name: str) -> None:
    parts = cut(source(train=30, **{name: 5}, test=8))
    assert parts == {"train": span(0, 30), "validation": span(1000, 1005), "test": span(2000, 2008)}


def test_validation_is_a_fixed_tenth_of_train() -> None:
    parts = cut(source(train=100, test=8))
    assert parts["test"] == span(1000, 1008)
    assert sorted(parts["train"] + parts["validation"]) == span(0, 100)
    found = [2, 16, 26, 54, 55, 73, 75, 86, 93, 95]
    assert parts["validation"] == found, "published figures belong to the old split"


def stratified(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images of each class that are kept to train on, and those of the tenth."""
    split = Split(np.arange(len(labels)).astype(np.uint8)[:, None, None, None], labels)
    given = Source("tiny", ("a", "b", "c"), {"train": split, "test": split})
    parts = cut_splits(given, SourceConfig(validation_cut="stratified"))
    train, validation = (
        parts[part].take(np.arange(len(parts[part])))[0].ravel().tolist()
        for part in ("train", "validation")
    )
    assert sorted(train + validation) == span(0, len(labels))
    assert train == sorted(train)
    return tuple(np.bincount(parts[p].all_labels(), minlength=3) for p in ("train", "validation"))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("counts", "tenth"),
    [
        ((100, 20, 30), (10, 2, 3)),  # of 150
        ((95, 14, 11), (10, 1, 1)),  # remainders 5, 4, 1 share one more of 12
        ((9, 9, 9), (1, 1, 0)),
        ((98, 1, 1), (10, 0, 0)),  # a class of one image keeps it
    ],
)
def test_stratified_tenth(counts: tuple[int, ...], tenth: tuple[int, ...]) -> None:
    labels = np.random.RandomState(1).permutation(np.repeat(np.arange(3), counts))
    train, validation = stratified(labels.astype(np.int32))
    np.testing.assert_array_equal(validation, tenth)
    np.testing.assert_array_equal(train + validation, counts)


def test_stratified_tenth_is_fixed_and_needs_two_of_a_class() -> None:
    labels = (np.arange(30) % 3).astype(np.int32)
    split = Split(np.arange(30).astype(np.uint8)[:, None, None, None], labels)
    given = Source("tiny", ("a", "b", "c"), {"train": split, "test": split})
    parts = cut_splits(given, SourceConfig(validation_cut="stratified"))
    order = np.random.RandomState(0).permutation(30)
    first = sorted(next(i for i in order if labels[i] == k) for k in range(3))
    found = [int(i) for i in parts["validation"].take(np.arange(3))[0].ravel()]
    assert found == first
    alone = Split(split.images[:12], np.arange(12).astype(np.int32))
    names = tuple("abcdefghijkl")
    with pytest.raises(ss.InputError, match="two images of one class at least, .* got one of each"):
        cut_splits(
            Source("tiny", names, {"train": alone, "test": alone}),
            SourceConfig(validation_cut="stratified"),
        )


@pytest.mark.parametrize(
    ("expressions", "expected"),
    [
        ({"train": "train[:80]", "validation": "train[80:]"}, (span(0, 80), span(80, 100))),
        ({"train": "train[:25%]", "validation": "train[-5:]"}, (span(0, 25), span(95, 100))),
        (
            {"train": "train[10:20]+train[:5]", "validation": "extra"},
            ([*span(0, 5), *span(10, 20)], span(2000, 2006)),
        ),
        (
            {"train": "train+extra[:2]", "validation": "extra[2:]"},
            ([*span(0, 100), 2000, 2001], span(2002, 2006)),
        ),
    ],
)
def test_expressions_mean_what_they_mean_in_tfds(
    expressions: dict[str, str], expected: tuple[list[int], list[int]]
) -> None:
    parts = cut(source(train=100, test=8, extra=6), **expressions)
    assert (parts["train"], parts["validation"]) == expected
    assert parts["test"] == span(1000, 1008)


def test_one_split_is_sliced_into_all_parts() -> None:
    parts = cut(source(a=50), train="a[:60%]", validation="a[60%:80%]", test="a[80%:]")
    assert parts == {"train": span(0, 30), "validation": span(30, 40), "test": span(40, 50)}


def test_validation_split_may_serve_as_the_test_split() -> None:
    parts = cut(source(train=50, validation=9), test="validation")
    assert parts["test"] == span(1000, 1009)
    assert sorted(parts["train"] + parts["validation"]) == span(0, 50)


def test_other_validation_split_is_left_where_one_is_made_use_of() -> None:
    parts = cut(source(train=50, val=5, validation=9), test="validation[:4]")
    assert (parts["validation"], parts["test"]) == (span(1000, 1005), span(2000, 2004))
    parts = cut(source(train=50, val=5, validation=9, test=2), validation="val+validation")
    assert parts["validation"] == [*span(1000, 1005), *span(2000, 2009)]


@pytest.mark.parametrize("shape", [(1, 2, 3), (2, 2, 1)])
def test_joined_splits_have_one_shape(shape: tuple[int, int, int]) -> None:
    """Grey would be copied into each of three channels."""
    rgb, other = (
        Split(np.zeros((9, *s), np.uint8), np.zeros(9, np.int32)) for s in ((2, 2, 3), shape)
    )
    given = Source("tiny", ("a", "b"), {"train": rgb, "extra": other, "test": rgb})
    message = (
        "`train_split` of tiny must join splits of one height, width and channels, got (2, 2, 3) "
        f"in train and {shape} in extra. Declare one for all: `image_size` and `image_mode`."
    )
    with pytest.raises(ss.InputError) as refused:
        cut_splits(given, SourceConfig(train_split="train+extra[:5]"))
    assert str(refused.value) == message


def test_joined_splits_are_read_in_any_order() -> None:
    config = SourceConfig(
        train_split="train+extra", validation_split="test[:4]", test_split="test[4:]"
    )
    joined = cut_splits(source(train=10, test=8, extra=6), config)["train"]
    chosen = joined.select(np.array([12, 3, 15, 0]))
    assert numbers(chosen) == [2002, 3, 2005, 0]
    assert numbers(chosen.select(np.array([2, 2, 1]))) == [2005, 2005, 3]
    assert len(chosen.all_labels()) == 4


@pytest.mark.parametrize(
    ("sizes", "expressions", "message"),
    [
        (
            {"train": 9},
            {},
            "data tiny: it must have a test split, got train. Declare what is which: "
            "`train_split=train[:80%]` `test_split=train[80%:]`.",
        ),
        ({"all": 9}, {}, "must have a train split, got all. Declare what is which: `train_split"),
        (
            {"train": 100, "test": 9},
            {"train": "trian"},
            "`train_split` must be splits of tiny (train 100, test 9), got 'trian': Unknown split "
            "'trian'. Should be one of ['train', 'test']. Write train, train[:80%] or",
        ),
        ({"train": 100, "test": 9}, {"train": "train[:200]"}, "got 'train[:200]': Requested slice"),
        ({"train": 100, "test": 9}, {"test": "test[::2]"}, "`test_split` must be splits of tiny"),
        ({"train": 100, "test": 9}, {"test": "test[5:5]"}, "must hold one image at least, got 'te"),
        (
            {"train": 100, "test": 9},
            {"train": "train[:60]", "validation": "train[50:]"},
            "`train_split` and `validation_split` must share no image of tiny, got 'train[:60]' "
            "and 'train[50:]', which share 10 of train. Slice them apart.",
        ),
        (
            {"train": 100, "test": 9},
            {"train": "train[:1shard]"},
            "got 'train[:1shard]': shards are not counted here. Write train, train[:80%]",
        ),
        (
            {"train": 100, "test": 9},
            {"train": ""},
            "`train_split` must name splits of tiny (train 100, test 9), got an empty text. Leave",
        ),
        ({"train": 100, "test": 9}, {"validation": "test"}, "`validation_split` and `test_split`"),
        ({"train": 100, "test": 9}, {"train": "all"}, "share 9 of test"),
        ({"train": 100, "test": 9}, {"train": "all[:5]"}, "got 'all[:5]': "),
        (
            {"train": 9, "test": 9, "valid": 2, "val": 3},
            {},
            "data tiny: it must have one validation split, got val and valid. Choose one: "
            "`validation_split=val`, or `validation_split=val+valid` for all of them.",
        ),
        ({"train": 9, "test": 9}, {}, "hold 10 images at least, as a tenth is cut"),
    ],
)
def test_refused_splits(sizes: dict[str, int], expressions: dict[str, str], message: str) -> None:
    with pytest.raises(ss.InputError) as refused:
        cut(source(**sizes), **expressions)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_plain_names_import_no_tfds() -> None:
    code = (
        "from simsmooth_jax.config.data import DataConfig\n"
        "from simsmooth_jax.data.load import load_dataset\n"
        "load_dataset(DataConfig()); import sys; print('tensorflow_datasets' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
