"""Writes every kind of checkpoint that a head is read from, with other programs' own writers.

Nothing of this package is imported. It runs once for a session, on eight CPU devices of its own.
"""

import functools
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy as np

N, K = 8, 4
KERNEL = np.arange(N * K, dtype=np.float32).reshape(N, K) - 9  # of integers: exact in bfloat16
BIAS = np.arange(K, dtype=np.float32)
TREES = ("train_state", "params", "boxed", "nnx", "nnx_pure", "convolution", "bfloat16")
PLACES = ("one", "two", "eight", "sharded", "pmap")
EVERY = tuple(itertools.product(PLACES, TREES))
FEW = tuple(  # each tree, and each place
    (place, tree)
    for place, tree in EVERY
    if place == "one" or tree == "params" or (place, tree) == ("eight", "train_state")
)


def written(shared_directory: Path, cells: str = "few") -> Path:
    """The directory of checkpoints, written by whichever process of a session comes first."""
    directory = shared_directory / f"checkpoints-{cells}"
    with filelock.FileLock(f"{directory}.lock"):
        if not directory.exists():
            command = [sys.executable, __file__, directory, cells]
            subprocess.run(command, check=True, capture_output=True)
    return directory


@functools.cache
def trees() -> dict[str, Any]:
    """The same head in the trees that people save, each beside a body of another shape."""
    import flax.linen as nn
    import jax
    import jax.numpy as jnp
    import optax
    from flax import nnx
    from flax.training.train_state import TrainState

    layer = {"kernel": jnp.asarray(KERNEL), "bias": jnp.asarray(BIAS)}
    body = {"kernel": jnp.ones((16, N)), "bias": jnp.zeros(N)}
    params = {"body": body, "head": layer}
    state = TrainState.create(apply_fn=lambda x: x, params=params, tx=optax.adam(1e-3))
    boxes = {name: nn.Partitioned(leaf, (None,) * leaf.ndim) for name, leaf in layer.items()}

    class Model(nnx.Module):
        def __init__(self) -> None:
            self.body = nnx.Linear(16, N, rngs=nnx.Rngs(0))
            self.head = nnx.Linear(N, K, rngs=nnx.Rngs(1))

    model: Any = Model()
    model.head.kernel[...], model.head.bias[...] = layer["kernel"], layer["bias"]
    convolution = {"kernel": layer["kernel"][None, None], "bias": layer["bias"]}
    return {
        "train_state": state,
        "params": params,
        "boxed": {"params": {"body": body, "head": boxes}},
        "nnx": nnx.state(model),
        "nnx_pure": nnx.to_pure_dict(nnx.state(model)),
        "convolution": {"params": {"body": body, "head": convolution}},
        "bfloat16": jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params),
    }


def places() -> dict[str, Callable[[Any], Any]]:
    """How a tree lies on devices: copies on 1, 2 or 8, split over 8, or pmap's leading axis."""
    import jax
    from jax.sharding import NamedSharding, PartitionSpec

    def on(count: int, split: bool = False) -> Callable[[Any], Any]:
        mesh = jax.sharding.Mesh(jax.devices()[:count], ("x",))

        def spec(leaf: Any) -> PartitionSpec:
            is_split = split and leaf.ndim > 1
            return PartitionSpec(*[None] * (leaf.ndim - 2), "x") if is_split else PartitionSpec()

        return lambda tree: jax.tree.map(
            lambda leaf: jax.device_put(leaf, NamedSharding(mesh, spec(jax.numpy.asarray(leaf)))),
            tree,
        )

    def replicated(tree: Any) -> Any:
        return jax.pmap(lambda _, tree: tree, in_axes=(0, None))(np.arange(8), tree)

    return {
        "one": on(1),
        "two": on(2),
        "eight": on(8),
        "sharded": on(8, split=True),
        "pmap": replicated,
    }


def orbax_writers() -> dict[str, Callable[[Path, Any], Any]]:
    """Every way of Orbax to save a tree below a path."""
    import orbax.checkpoint as v0
    from orbax.checkpoint import v1

    def pytree(**options: Any) -> Callable[[Path, Any], Any]:
        def write(path: Path, tree: Any) -> None:
            with v0.PyTreeCheckpointer(**options) as checkpointer:
                checkpointer.save(path, tree)

        return write

    def standard(path: Path, tree: Any) -> None:
        with v0.StandardCheckpointer() as checkpointer:
            checkpointer.save(path, tree)

    def manager(item: str, **options: Any) -> Callable[[Path, Any], Any]:
        def write(path: Path, tree: Any) -> None:
            with v0.CheckpointManager(path, options=v0.CheckpointManagerOptions(**options)) as m:
                save = v0.args.StandardSave(tree)
                others = {"epoch": v0.args.JsonSave({"epoch": 3})}
                both = v0.args.Composite(**{item: save}, **others)
                m.save(9, args=save if item == "default" else both)

        return write

    def training(path: Path, tree: Any) -> None:
        with v1.training.Checkpointer(str(path)) as checkpointer:
            checkpointer.save(9, tree, custom_metadata={"class_names": list("abcd")})

    return {
        "v1": lambda path, tree: v1.save(str(path), tree),
        "v1_training": training,
        "manager_default": manager("default"),
        "manager_state": manager("state", step_prefix="ckpt", step_format_fixed_length=8),
        "manager_model": manager("model"),
        "standard": standard,
        "pytree": pytree(),
        "pytree_zarr3": pytree(use_zarr3=True),
        "pytree_files": pytree(use_ocdbt=False),
        "pytree_files_zarr3": pytree(use_ocdbt=False, use_zarr3=True),
    }


ORBAX = (
    *("v1", "v1_training", "manager_default", "manager_state", "manager_model", "standard"),
    *("pytree", "pytree_zarr3", "pytree_files", "pytree_files_zarr3"),
)
MORE = ("checkpointables", "nnx_optimizer", "adagrad", "manager_zarr3")
LARGE = ("v1", "manager_default", "pytree_files")  # ways to save that are tried with 8 MB


def write_orbax(root: Path, cells: Sequence[tuple[str, str]]) -> None:
    """Each way to save, in each cell: of a place and a tree."""
    writers, kinds, placed = orbax_writers(), trees(), places()
    assert (*writers,) == ORBAX
    assert (*kinds,) == TREES
    assert (*placed,) == PLACES
    for place, kind in cells:
        on_devices = placed[place](kinds[kind])
        for name, write in writers.items():
            write(root / name / place / kind, on_devices)
    random = np.random.default_rng(0)
    body = {"kernel": random.normal(size=(2048, 1024)).astype(np.float32)}
    for name in LARGE:
        writers[name](root / name / "large", {"params": {"body": body, "head": {"kernel": KERNEL}}})


def write_more(root: Path) -> None:
    """Parts side by side: a model and its optimizer in one tree, or as checkpointables of v1."""
    import optax
    import orbax.checkpoint as v0
    from flax import nnx
    from orbax.checkpoint import v1

    kinds = trees()
    params, moments = kinds["params"], optax.adagrad(0.1).init(kinds["params"])
    both = {"state": {"params": params}, "optimizer": {"adagrad": moments}}
    v1.save_checkpointables(str(root / "checkpointables"), both)
    optimizer = nnx.Optimizer(nnx.Linear(N, K, rngs=nnx.Rngs(0)), optax.adam(0.1), wrt=nnx.Param)
    with v0.PyTreeCheckpointer() as checkpointer:
        states = {"model": kinds["nnx"], "optimizer": nnx.state(optimizer)}
        checkpointer.save(root / "nnx_optimizer", states)
        checkpointer.save(root / "adagrad", {"params": params, "optimizer": moments})
    with v0.CheckpointManager(
        root / "manager_zarr3", item_handlers=v0.PyTreeCheckpointHandler(use_zarr3=True)
    ) as manager:
        manager.save(9, args=v0.args.PyTreeSave(params))


def write_flax(root: Path) -> None:
    """Flax's msgpack: each tree, on one device and by pmap, in chunks, and as `checkpoint_N`."""
    import flax
    from flax import serialization
    from flax.training import checkpoints

    root.mkdir()
    for (place, put), (kind, tree) in itertools.product(places().items(), trees().items()):
        if kind != "nnx" and place in ("one", "pmap"):
            (root / f"{place}-{kind}.msgpack").write_bytes(serialization.to_bytes(put(tree)))
    flax.config.update("flax_use_orbax_checkpointing", False)
    for step in (9, 10):
        params = {"head": {"kernel": KERNEL + 10 - step, "bias": BIAS}}
        checkpoints.save_checkpoint(str(root / "steps"), {"params": params}, step, keep=2)
    serialization.MAX_CHUNK_SIZE = 40
    chunked = {"params": {"head": {"kernel": KERNEL, "bias": BIAS}}, "step": 3}
    (root / "chunked.msgpack").write_bytes(serialization.msgpack_serialize(chunked))


def torch_names() -> Iterator[tuple[str, dict[str, Any]]]:
    """State dicts as PyTorch, timm and Hugging Face name them; weights are `[K, N]`."""
    others = {"norm.weight": np.ones(N), "embedding.weight": np.ones((9, N))}
    for name in ("fc", "classifier", "head", "head.fc", "classifier.1", "heads.head"):
        yield name, {**others, f"{name}.weight": KERNEL.T.copy(), f"{name}.bias": BIAS}
    yield "convolution", {**others, "fc.weight": KERNEL.T[..., None, None].copy(), "fc.bias": BIAS}


def write_others(root: Path) -> None:
    """safetensors and NumPy."""
    import ml_dtypes
    import safetensors.numpy

    root.mkdir()
    for name, arrays in torch_names():
        for dtype in (np.float32, np.float16, ml_dtypes.bfloat16):
            typed = {key: array.astype(dtype) for key, array in arrays.items()}
            path = root / f"{name}-{np.dtype(dtype).name}.safetensors"
            safetensors.numpy.save_file(typed, path, metadata={"format": "pt"})
    of_flax = {"params.head.kernel": KERNEL, "params.head.bias": BIAS}
    safetensors.numpy.save_file(of_flax, root / "flax.safetensors")
    np.savez(root / "flax.npz", **of_flax)
    np.savez_compressed(root / "torch.npz", **dict(torch_names())["fc"])
    np.savez(root / "bare.npz", w=KERNEL.T, bias=BIAS)
    np.save(root / "bare.npy", KERNEL)


if __name__ == "__main__":
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 8)
    target, cells = Path(sys.argv[1]), EVERY if sys.argv[2] == "every" else FEW
    write_orbax(target, cells)
    write_more(target / "more")
    write_flax(target / "flax")
    write_others(target / "others")
