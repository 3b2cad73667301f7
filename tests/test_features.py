"""Features in an archive: read as they are stored, normalised as one, or refused by name."""

import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from feature_archives import ARRAYS, save
from pages import DOCS, blocks
from shared_images import DATA, needs_images

import simsmooth_jax as ss
from simsmooth_jax.config.commands import DataCommandConfig
from simsmooth_jax.config.data import DataConfig, SourceConfig
from simsmooth_jax.data import load
from simsmooth_jax.data.dataset import Dataset, Split
from simsmooth_jax.data.load import load_dataset, open_source
from simsmooth_jax.program.commands.data_command import show_data
from simsmooth_jax.training.models.built_in import normalise_images

TRAIN, TEST = ARRAYS["train_features"], ARRAYS["test_features"]
FLOAT32 = {
    f"{part}_features": ARRAYS[f"{part}_features"].astype("f4") for part in ("train", "test")
}


def read(path: Path, **options: Any) -> Dataset:
    return load_dataset(DataConfig(f"npz:{path}", SourceConfig(**options)))


@pytest.mark.parametrize(
    ("stored", "held"),
    [("<f2", "f2"), (">f2", "f2"), ("<f4", "f4"), (">f4", "f4"), (">f8", "f4"), ("g", "f4")],
)
def test_features_are_read_in_a_fixed_order(tmp_path: Path, stored: str, held: str) -> None:
    path = save(tmp_path / "x.npz", train_features=TRAIN.astype(stored))
    source = open_source(f"npz:{path}", SourceConfig())
    split: Any = source.splits["train"]
    assert source.class_names == ("ant", "bee", "cat")
    assert split.image_shape == (5,)
    assert split.dtype == split.images.dtype == np.dtype(held)
    assert split.images.dtype.isnative
    order = np.random.RandomState(0).permutation(len(TRAIN))
    assert (split.images == TRAIN[order]).all()
    assert (split.labels == ARRAYS["train_labels"][order]).all()


def test_a_tenth_of_each_class_is_cut_out(tmp_path: Path) -> None:
    data = read(save(tmp_path / "x.npz"))
    assert np.bincount(data.train.all_labels()).tolist() == [18, 18, 18]
    assert np.bincount(data.validation.all_labels()).tolist() == [2, 2, 2]
    assert (data.image_shape, data.holds) == ((5,), "feature vectors")


def test_joined_splits_take_the_wider_type(tmp_path: Path) -> None:
    held = {"val_features": TEST.astype(np.float32) + 2**-20, "val_labels": ARRAYS["test_labels"]}
    data = read(save(tmp_path / "x.npz", **held), train_split="train+val")
    assert data.train.dtype == np.float32
    rows = {*map(tuple, np.concatenate([p.take(np.arange(len(p)))[0]
                                        for p in (data.train, data.validation)]))}  # fmt: skip
    assert rows == {*map(tuple, TRAIN.astype(np.float32)), *map(tuple, held["val_features"])}


def test_normalisation_keeps_the_geometry(tmp_path: Path) -> None:
    """Zero mean and unit mean square, and every difference of two vectors in proportion."""
    scaled = {
        f"{p}_features": ARRAYS[f"{p}_features"] * [1, 0.1, 1, 3, 1] for p in ("train", "test")
    }
    data = read(save(tmp_path / "x.npz", **scaled))
    split: Any = data.train
    mean, deviation = data.channel_statistics()
    exact = split.images.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-6)
    assert deviation == pytest.approx([np.sqrt(((exact - exact.mean(axis=0)) ** 2).mean())])
    found = np.asarray(normalise_images(jnp.asarray(split.images), mean, deviation), np.float64)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
    assert (found**2).mean() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(found - found[0], (exact - exact[0]) / deviation, atol=1e-5)


@pytest.mark.parametrize("value", [0, 0.1, 60_000, 1e-40])
def test_constant_features_stay_finite(tmp_path: Path, value: float) -> None:
    features = np.full((60, 2), value, np.float32)
    data = read(save(tmp_path / "x.npz", train_features=features, test_features=features[:18]))
    assert (
        np.asarray(normalise_images(jnp.asarray(features), *data.channel_statistics())) == 0
    ).all()


def test_the_bytes_of_features_decide_whether_they_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """78 vectors of 5 numbers: 780 bytes of float16, 1,560 of float32."""
    for name, changes in (("half", {}), ("single", FLOAT32)):
        save(tmp_path / name, **changes)
    parts = {name: read(tmp_path / f"{name}.npz") for name in ("half", "single")}
    monkeypatch.setattr(load, "available_memory", lambda: 4 * 1000)
    chosen = {
        name: load.choose_input(
            "auto", name, {p: getattr(data, p) for p in ("train", "validation", "test")}
        )
        for name, data in parts.items()
    }
    assert chosen == {"half": False, "single": True}


NAN, LARGE = TRAIN.copy(), TRAIN.astype(np.float64)
NAN[7, 2], LARGE[9, 4] = np.nan, -1e300
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"train_features": TRAIN.astype(int)}, "train_features must be floating-point vectors [n, D], "
     "got int64[60, 5]. Save float16 or float32, one vector for each example."),
    ({"train_features": TRAIN.astype(bool)}, "vectors [n, D], got bool[60, 5]. Save float16"),
    ({"train_features": TRAIN + 0j}, "vectors [n, D], got complex64[60, 5]."),
    ({"train_features": TRAIN.astype(ml_dtypes.bfloat16)}, "vectors [n, D], got |V2[60, 5]."),
    ({"test_features": TEST[:, :, None]}, "test_features must be floating-point vectors"),
    ({"train_features": TRAIN[:, 0]}, "vectors [n, D], got float16[60]."),
    ({"train_features": TRAIN[:, :0]}, "must hold one vector of one number at least, got [60, 0]."),
    ({"train_features": NAN}, "train_features must be finite in float16, got nan in row 7. Look"),
    ({"train_features": LARGE}, "must be finite in float32, got -1e+300 in row 9. Look at"),
    ({"test_features": TEST[:, :4]}, "test_features must have the 5 columns of train_features, got "
     "4. Take all of them from one network."),
    ({"train_features": TRAIN[:9]}, "train must hold one int32 label for each of its "),
    ({"train_labels": None}, "train_features must come with train_labels, got none. Save both."),
    ({"test_features": None}, "test_labels must come with test_features, got none. Save both."),
    ({"train_features": None}, "must hold train_images, train_labels, test_images, test_labels "
     "and, if you have them, class_names; features instead of images are train_features and "
     "test_features, got "),
    ({"train_images": np.ones((60, 4, 4), np.uint8)}, "must hold images or features, got "
     "train_images and train_features. Save them in two archives."),
    ({"val_images": np.ones((3, 4, 4), np.uint8)}, "got val_images and train_features. Save them"),
    ({"train_features": None, "test_features": None, "train_images": TRAIN, "test_images": TEST},
     "train_images must hold images uint8 [n, height, width, channels], got float16[60, 5]. "
     "Vectors are features: save them as train_features."),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_refused_features(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = save(tmp_path / "x.npz", **changes)
    with pytest.raises(ss.InputError, match=re.escape(message)) as refused:
        read(path)
    assert str(refused.value).startswith(f"`data=npz:{path}`")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": "8"}, "`image_size` must be left out with features, as `data=npz:"),
        ({"image_mode": "rgb"}, "x.npz` holds, got rgb. They are taken as they are."),
    ],
)
def test_features_are_not_converted(tmp_path: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(ss.InputError, match=re.escape(message)):
        read(save(tmp_path / "x.npz"), **options)


def test_a_dataset_takes_two_types_of_features() -> None:
    split = Split(np.ones((4, 5), np.float64), np.zeros(4, np.int32))
    with pytest.raises(ss.InputError, match=re.escape("got float64[4, 5]. Convert them before.")):
        Dataset("x", ("a", "b"), split, split, split)


def test_data_shows_counts_and_norms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = DataCommandConfig(f"npz:{save(tmp_path / 'ants.npz')}")
    show_data(config)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ants: float16 features [5], 3 classes, 780 B"
    assert [line.split() for line in lines if "bee" in line] == [["bee", "18", "2", "6"]]
    train: Any = read(tmp_path / "ants.npz").train
    norms = np.linalg.norm(train.images.astype(np.float64), axis=1)
    mean = np.linalg.norm(train.images.astype(np.float64).mean(axis=0))
    assert lines[-2:] == [
        f"training vectors have norms from {norms.min():.3g} to {norms.max():.3g}, median "
        f"{np.median(norms):.3g}; their mean vector has {mean:.3g}",
        "no picture of samples: features are no images",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["ants.npz"]
    with pytest.raises(ss.InputError, match="`out` must be left out for ants, got x.png. Leave it"):
        show_data(DataCommandConfig(config.name, out=Path("x.png")))


def test_the_page_on_data_saves_such_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = {"np": np, "train": TRAIN, "test": TEST, "names": ["ant", "bee", "cat"]}
    values |= {name: ARRAYS[name] for name in ("train_labels", "test_labels")}
    (snippet,) = blocks(DOCS / "data.md", "python")
    exec(snippet, values)
    data = read(Path("embeddings.npz"))
    assert (data.train.dtype, len(data.test), data.num_classes) == (np.float16, 18, 3)


@needs_images
def test_features_of_cifar100_are_read() -> None:
    data = read(DATA / "cifar100_features.npz")
    assert (len(data.train), len(data.validation), len(data.test)) == (45_000, 5_000, 10_000)
    assert (data.train.dtype, data.image_shape) == (np.float16, (256,))
    assert data.class_names[:2] == ("apple", "aquarium_fish")
    mean, deviation = data.channel_statistics()
    assert np.abs(mean).max() < 0.1  # centred over the 50,000, of which these are 10,000
    assert deviation[0] == pytest.approx(1, abs=0.01)
