"""The weights that a training starts from: whose files are read, what fits, and what is said."""

import dataclasses
from pathlib import Path
from typing import Any

import flax.serialization
import jax
import numpy as np
import pytest
import safetensors.numpy
import small_vit
from flax.traverse_util import flatten_dict
from orbax.checkpoint import v1 as ocp

import simsmooth_jax as ss
from simsmooth_jax.config import stored
from simsmooth_jax.config.commands import TrainConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.program.commands.train_command import identity, inputs
from simsmooth_jax.program.run_directory import open_directory, refuse_lost_inputs
from simsmooth_jax.training.models.initial_weights import read_initial
from simsmooth_jax.training.runner import ArmRunner

pytestmark = pytest.mark.slow

SHAPES: Any = jax.eval_shape(
    lambda: small_vit.ViT(10).init(jax.random.key(0), np.zeros((1, 8, 8, 1), "f"), train=False)
)
COUNT = len(jax.tree.leaves(SHAPES))


def weights(changes: dict[str, Any] | None = None, dtype: Any = np.float32) -> dict[str, Any]:
    """Numbers in the shapes of the module; `changes` by path, of which None takes one away."""
    random = np.random.RandomState(0)
    tree = jax.tree.map(lambda leaf: random.randn(*leaf.shape).astype(dtype), SHAPES)
    flat: Any = flatten_dict(tree, sep="/")
    flat |= changes or {}
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        if value is None:
            continue
        *parents, leaf = path.split("/")
        place = nested
        for part in parents:
            place = place.setdefault(part, {})
        place[leaf] = value
    return nested


def state_of(tree: dict[str, Any]) -> dict[str, Any]:
    """A training's state, with an optimizer's copies that are no weights."""
    moved = jax.tree.map(lambda leaf: leaf + 1, tree["params"])
    return {"step": np.array(3), **tree, "opt_state": {"0": {"trace": moved}}}


def to_safetensors(path: Path, tree: Any, separator: str = "/") -> None:
    flat: Any = flatten_dict(tree, sep=separator)
    safetensors.numpy.save_file(flat, path)


WRITERS = {
    "orbax": lambda path, tree: ocp.save(str(path), state_of(tree)),
    "state.msgpack": lambda path, tree: path.write_bytes(
        flax.serialization.msgpack_serialize(state_of(tree))
    ),
    "nested.msgpack": lambda path, tree: path.write_bytes(
        flax.serialization.msgpack_serialize({"model": tree})
    ),
    "slashes.safetensors": to_safetensors,
    "dots.safetensors": lambda path, tree: to_safetensors(path, tree, "."),
}


def read(path: Path, tree: Any = None, freeze: bool = False) -> Any:
    if tree is not None:
        path.write_bytes(flax.serialization.msgpack_serialize(tree))
    return read_initial(path, SHAPES, freeze)


def refused(path: Path, tree: Any, freeze: bool = False) -> str:
    with pytest.raises(ss.InputError) as caught:
        read(path, tree, freeze)
    text = str(caught.value)
    assert "\n" not in text
    return text


def assert_put(found: Any, expected: dict[str, Any]) -> None:
    """Everything that was stored is put in its place, in the module's dtype."""
    for part in ("params", "batch_stats"):
        own = jax.tree.map(lambda leaf: np.full(leaf.shape, 7, leaf.dtype), SHAPES[part])
        put: Any = flatten_dict(found.put(part, own, np.asarray))
        stored: Any = flatten_dict(expected.get(part, {}))
        for path, leaf in put.items():
            value = np.float32(stored.get(path, np.full(leaf.shape, 7)))
            np.testing.assert_array_equal(leaf, value, strict=True)


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_whole_tree(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, weights())
    found = read(tmp_path / name, freeze=True)
    assert_put(found, weights())
    assert found.report.startswith(f"{tmp_path / name}: {COUNT} of the model's {COUNT} arrays (")
    assert "\n" not in found.report


def test_bare_parameters_and_another_dtype(tmp_path: Path) -> None:
    found = read(tmp_path / "x", weights(dtype=np.float16)["params"])
    assert_put(found, {"params": weights(dtype=np.float16)["params"]})
    assert (
        f": {COUNT - 2} of the model's {COUNT} arrays (Flax msgpack)\n  new, as without it: "
        in (found.report)
    )
    assert "batch_stats/BatchNorm_0/mean [4], batch_stats/BatchNorm_0/var [4]" in found.report


def test_what_does_not_fit_is_named_and_the_head_of_another_k_is_new(tmp_path: Path) -> None:
    head: dict[str, Any] = {
        "params/head/kernel": np.ones((4, 100), "f"),
        "params/head/bias": np.ones(100, "f"),
    }
    odd = {"params/positions": np.ones((9, 4), "f"), "params/old/kernel": np.ones((2, 3), "f")}
    odd |= {"params/Block_0/Dense_1/bias": np.arange(4)}
    found = read(tmp_path / "x", weights(head | odd))
    assert found.report.splitlines()[1:] == [
        "  new, as without it: params/Block_0/Dense_1/bias [4] (there [4] of int64), "
        "params/head/bias [10] (there [100]), params/head/kernel [4, 10] (there [4, 100]), "
        "params/positions [4, 4] (there [9, 4])",
        "  its head has 100 classes, and a new one has 10",
        "  not used of it: params/old/kernel [2, 3]",
    ]
    fitting = weights(dict.fromkeys(head | odd))
    assert_put(found, fitting)


def test_what_is_frozen_must_all_be_there(tmp_path: Path) -> None:
    without_head: dict[str, Any] = dict.fromkeys(("params/head/kernel", "params/head/bias"))
    read(tmp_path / "x", weights(without_head), freeze=True)
    text = refused(tmp_path / "x", weights({"batch_stats/BatchNorm_0/var": None}), freeze=True)
    assert text.startswith(
        f"`freeze` must be given with weights for all but the head, got `init={tmp_path}/x` "
        "without batch_stats/BatchNorm_0/var [4]. What is frozen would stay random: "
    )


def test_what_is_no_start(tmp_path: Path) -> None:
    path = tmp_path / "x"
    pytorch = {"conv1.weight": np.ones((4, 1, 4, 4), "f"), "fc.weight": np.ones((10, 4), "f")}
    safetensors.numpy.save_file(pytorch, tmp_path / "model.safetensors")
    text = refused(tmp_path / "model.safetensors", None)
    assert "as params/BatchNorm_0/bias [4], got none among params/conv1/weight [4, 1, 4, " in text
    assert text.endswith("of the same module; PyTorch's weights are not converted.")
    (tmp_path / "model.pt").write_bytes(b"\x80\x02}q\x00.")
    text = refused(tmp_path / "model.pt", None)
    assert "got a pickle, which is never loaded" in text
    assert text.endswith("PyTorch's weights are not converted.")
    only_head = {"params": {"head": weights()["params"]["head"]}}
    assert "got none among params/head/bias [10], params/head/ker" in refused(path, only_head)
    broken = weights({"params/positions": np.full((4, 4), np.nan, "f")})
    text = f"`init={path}`: params/positions must be finite, got NaN or infinity. Take a checkpoint"
    assert text in refused(path, broken)
    two = {"ema": weights(), "model": weights()}
    assert "hold one tree named params, got ema/params and model/params." in refused(path, two)
    text = refused(tmp_path / "none", None)
    assert text.startswith("`init` must be an existing directory or file, got ")


def test_other_numbers_have_another_digest(tmp_path: Path) -> None:
    first = read(tmp_path / "x", weights()).sha256
    assert read(tmp_path / "y", weights()).sha256 == first
    positions = weights()["params"]["positions"] * 1.01
    assert read(tmp_path / "x", weights({"params/positions": positions})).sha256 != first


TINY = TrainingConfig(model=ModelConfig("mlp", 4, 1), optimizer=OptimizerConfig(batch_size=200))


def runner_of(init: Path | None, out: Path, overwrite: bool = False) -> tuple[ArmRunner, Any]:
    training = dataclasses.replace(TINY, model=dataclasses.replace(TINY.model, init=init))
    config = TrainConfig(training=training, out=out, overwrite=overwrite)
    return ArmRunner(training, config.saving), config


def test_a_run_keeps_the_weights_that_it_has_started_from(tmp_path: Path) -> None:
    """Nothing is noted without them, so that older runs go on; other numbers are refused."""
    path = tmp_path / "x"
    layer = {"kernel": np.ones((64, 4), "f"), "bias": np.ones(4, "f")}
    path.write_bytes(flax.serialization.msgpack_serialize({"params": {"Dense_0": layer}}))
    without, _ = runner_of(None, tmp_path)
    assert without.initial_sha256() == {}
    assert not {"init", "freeze"} & stored.identity(TrainConfig())["training"]["model"].keys()
    assert "optimizer" not in stored.identity(TrainConfig())["training"]["optimizer"]
    runner, config = runner_of(path, tmp_path / "out")
    for seed in (0, 1):  # of every training
        params = runner.trainer.init(seed).params
        np.testing.assert_array_equal(params["Dense_0"]["kernel"], layer["kernel"])
        assert np.asarray(params["head"]["kernel"]).std() > 0
    with open_directory(tmp_path / "out", identity(config, runner), False):
        pass
    layer["bias"][1] = 2
    path.write_bytes(flax.serialization.msgpack_serialize({"params": {"Dense_0": layer}}))
    runner, config = runner_of(path, tmp_path / "out")
    with (
        pytest.raises(ss.InputError, match="got `init_sha256` [0-9a-f]+ -> [0-9a-f]+. Choose an"),
        open_directory(tmp_path / "out", identity(config, runner), False),
    ):
        pass


def test_first_weights_are_not_overwritten(tmp_path: Path) -> None:
    inside = tmp_path / "run" / "first"
    _, config = runner_of(None, tmp_path / "run", overwrite=True)
    model = dataclasses.replace(TINY.model, init=inside)
    config = dataclasses.replace(config, training=dataclasses.replace(TINY, model=model))
    inside.mkdir(parents=True)
    with pytest.raises(ss.InputError, match=r"`init` must lie outside of what `overwrite` empties"):
        refuse_lost_inputs(tmp_path / "run", True, inputs(config))
    refuse_lost_inputs(tmp_path / "other", True, inputs(config))
    refuse_lost_inputs(tmp_path / "run", False, inputs(config))
