"""head_kernel: the classifier's kernel out of the trees that people have."""

import re
from typing import Any

import flax.core
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.training.train_state import TrainState

import simsmooth_jax as ss

pytestmark = pytest.mark.usefixtures("no_rank_promotion")

N, K = 6, 4
HEAD = np.arange(N * K, dtype=np.float32).reshape(N, K)
BODY = np.zeros((9, N), np.float32)


def tree(head: Any = HEAD, name: str = "head", **others: Any) -> dict[str, Any]:
    bias = {"bias": np.zeros(K)}
    return {"body": {"kernel": BODY} | bias, name: {"kernel": head} | bias, **others}


def assert_head(kernel: Any) -> None:
    assert kernel.shape == (N, K)
    np.testing.assert_array_equal(kernel, HEAD)


def test_finds_the_head_in_params_variables_and_frozen_trees():
    assert_head(ss.head_kernel(tree()))
    assert_head(ss.head_kernel({"params": tree(), "batch_stats": {"head": {"mean": HEAD}}}))
    assert_head(ss.head_kernel(flax.core.freeze({"params": tree()})))
    assert_head(ss.head_kernel({"encoder": {"body": {"kernel": BODY}}, "top": tree()}))
    assert_head(
        ss.head_kernel({"head": tree()})
    )  # a kernel inside of a module named head is not it
    assert_head(ss.head_kernel(jax.tree.map(jnp.asarray, tree())))


@pytest.mark.parametrize("optimizer", [optax.sgd(0.1, momentum=0.9), optax.adam(1e-3)])
@pytest.mark.parametrize("wrap", [lambda params: params, lambda params: {"params": params}])
def test_kernels_of_the_optimizer_state_never_count(optimizer, wrap):
    params = jax.tree.map(jnp.asarray, wrap(tree()))
    state = TrainState.create(apply_fn=None, params=params, tx=optimizer)
    paths, _ = jax.tree_util.tree_flatten_with_path(state.opt_state)
    assert any("kernel" in jax.tree_util.keystr(path) for path, _ in paths)
    assert_head(ss.head_kernel(state))
    assert_head(ss.head_kernel(state, "head", K))
    assert_head(ss.head_kernel({"params": params, "opt_state": state.opt_state}))


OPTIMIZERS = (
    *("adabelief", "adadelta", "adafactor", "adagrad", "adam", "adamaxw", "adamw", "adan"),
    *("amsgrad", "fromage", "lamb", "lars", "lbfgs", "lion", "nadamw", "novograd"),
    *("radam", "rmsprop", "rprop", "sgd", "sm3", "yogi"),
)
WRAPPERS: dict[str, Any] = {
    "steps": lambda tx: optax.MultiSteps(tx, 2),
    "mask": lambda tx: optax.masked(tx, lambda tree: jax.tree.map(lambda _: True, tree)),
    "rate": lambda tx: optax.inject_hyperparams(lambda rate: tx)(rate=0.1),
    "group": lambda tx: optax.multi_transform({"all": tx}, lambda tree: "all"),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_optimizer_of_optax_counts_under_any_name_of_its_state(name):
    params = jax.tree.map(jnp.asarray, tree())
    optimizer = getattr(optax, name)(*([] if name in ("lbfgs",) else [0.1]))
    for wrap in (lambda tx: tx, *WRAPPERS.values()):
        state = wrap(optimizer).init(params)
        for field in ("opt_state", "optimizer", "optim"):
            assert_head(ss.head_kernel({"params": params, field: state}))
            assert_head(ss.head_kernel({"model": params, field: state}))


def test_layers_are_no_optimizer_by_their_names():
    for field in ("mu", "v", "trace", "z"):
        towers = {field: {"head": {"kernel": HEAD}}, "zz": {"head": {"kernel": HEAD + 1}}}
        with pytest.raises(ValueError, match=rf"got 2: {field}/head/kernel \[6, 4\], zz/head/kern"):
            ss.head_kernel(towers)
        assert_head(ss.head_kernel(towers, field))
        assert_head(ss.head_kernel({field: {"kernel": HEAD}}, head=field))
    old = {"optimizer": {"target": tree(), "state": {"step": 3}}}  # of Flax before optax
    assert_head(ss.head_kernel(old))


def test_one_name_in_and_beside_params_is_two_kernels():
    both = {"params": {"head": {"kernel": HEAD}}, "head": {"kernel": HEAD + 1}}
    with pytest.raises(ValueError, match=r"got 2: head/kernel \[6, 4\], params/head/kernel"):
        ss.head_kernel(both)


def test_what_can_be_a_head_is_listed_first():
    layers = {f"conv{i}": {"kernel": np.ones((3, 3, 5, 5))} for i in range(20)}
    with pytest.raises(
        ValueError, match=r"got none of: z/kernel \[6, 4\], conv19/kernel \[3, 3, 5,"
    ):
        ss.head_kernel(layers | {"z": {"kernel": HEAD}})


def test_finds_the_head_of_a_flax_module_with_boxed_kernels():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            init = nn.with_partitioning(nn.initializers.ones, (None, "classes"))
            x = nn.Dense(N, kernel_init=init)(x)
            return nn.Dense(K, kernel_init=init, name="head")(x)

    variables = Model().init(jax.random.key(0), jnp.ones((1, 9)))
    assert isinstance(variables["params"]["head"]["kernel"], nn.Partitioned)
    kernel = ss.head_kernel(variables)
    assert isinstance(kernel, jax.Array)
    np.testing.assert_array_equal(kernel, np.ones((N, K)))
    assert ss.head_kernel(variables, "params/Dense_0/kernel").shape == (9, N)


def test_finds_the_head_of_an_nnx_state():
    try:
        from flax import nnx
    except Exception as error:  # on some pairs of JAX and Flax; the package does without NNX
        pytest.skip(f"flax.nnx fails to import: {error}")

    class Model(nnx.Module):
        def __init__(self, rngs):
            self.body = nnx.Linear(9, N, rngs=rngs)
            self.head = nnx.Linear(N, K, rngs=rngs)

    model = Model(nnx.Rngs(0))
    state = nnx.state(model)
    for params in (state, nnx.to_pure_dict(state), {"model": state}):
        kernel = ss.head_kernel(params)
        assert isinstance(kernel, jax.Array)
        np.testing.assert_array_equal(kernel, model.head.kernel[...])
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    found = ss.head_kernel({"model": state, "optimizer": nnx.state(optimizer)})
    np.testing.assert_array_equal(found, model.head.kernel[...])


def test_head_names_whole_contiguous_parts_of_the_path():
    params: dict[str, Any] = {
        f"Dense_{i}": {"kernel": np.full((N, K), i)} for i in (0, 1, 2, 10, 11)
    }
    params["encoder"] = {"Dense_7": {"kernel": np.full((N, K), 7)}}
    for head in ("Dense_1", "Dense_1/kernel", "params/Dense_1", "params/Dense_1/kernel"):
        assert ss.head_kernel(params, head)[0, 0] == 1
        assert ss.head_kernel({"params": params}, head)[0, 0] == 1
    assert ss.head_kernel(params, "Dense_10")[0, 0] == 10
    assert ss.head_kernel(params, "encoder/Dense_7")[0, 0] == 7
    for head in ("Dense", "ense_1", "Dense_1/bias", "encoder/kernel", "Dense_3", "", "/"):
        with pytest.raises(ValueError, match=re.escape(f"must fit head={head!r}, got none of: ")):
            ss.head_kernel(params, head)


def test_num_classes_finds_a_kernel_without_the_name():
    params = {"a": {"kernel": BODY}, "z": {"kernel": np.ones((K, N))}, "m": {"kernel": HEAD}}
    assert_head(ss.head_kernel(params, num_classes=K))
    # A convolution larger than 1x1 is no classifier, whatever its number of channels.
    assert_head(ss.head_kernel(params | {"conv": {"kernel": np.ones((3, 3, 1, K))}}, num_classes=K))


def test_names_of_other_programs():
    """Flax `head` goes before them; of Haiku's tree the leaf is `w`."""
    for name in ("classifier", "fc", "logits", "net/~/logits"):
        assert_head(ss.head_kernel(tree(name=name)))
    assert_head(ss.head_kernel(tree(classifier={"kernel": HEAD + 1})))
    assert_head(ss.head_kernel({"net/~/body": {"w": BODY}, "net/~/logits": {"w": HEAD}}))


def test_num_classes_does_not_pass_over_the_module_named_head():
    assert_head(ss.head_kernel(tree(last={"kernel": np.ones((K, K))}), num_classes=K))
    with pytest.raises(ValueError, match=r"num_classes=9, got none of: .*head/kernel"):
        ss.head_kernel(tree(last={"kernel": np.ones((N, 9))}), num_classes=9)


def test_square_kernels_are_not_confused():
    square = np.arange(K * K).reshape(K, K)
    params = {"head": {"kernel": square}, "body": {"kernel": np.zeros((K, K))}}
    np.testing.assert_array_equal(ss.head_kernel(params, num_classes=K), square)


def test_several_and_none_are_listed_with_paths_and_shapes():
    twice = {
        "a": {"head": {"kernel": HEAD}},
        "b": {"head": {"kernel": HEAD}},
        "c": {"kernel": BODY},
    }
    message = (
        "head_kernel: exactly one kernel must be known by a name, as head, fc, classifier or "
        "logits, got 2: a/head/kernel [6, 4], b/head/kernel [6, 4]. Try `head='a/head/kernel'`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ss.head_kernel(twice)
    assert_head(ss.head_kernel(twice, "b"))
    message = "got none of: top/kernel [6, 4], body/kernel [9, 6]. Try `head='top/kernel'`"
    ways = {
        (None, None): ", or `num_classes=4` if these are your classes.",
        (None, 5): " with `num_classes=4`.",
        ("classifier", None): ", or `num_classes=4` if these are your classes.",
        ("top", 5): " with `num_classes=4`.",
    }
    for (head, num_classes), way in ways.items():
        with pytest.raises(ValueError, match=re.escape(message + way)):
            ss.head_kernel(tree(name="top"), head, num_classes)


@pytest.mark.parametrize(
    "params", [{}, {"head": {"bias": np.ones(K)}}, {"kernel": np.ones(K)}, HEAD]
)
def test_a_tree_without_kernels_is_refused(params):
    message = (
        "params must hold a leaf named 'kernel' (or Haiku's 'w') with two dimensions, got none"
    )
    with pytest.raises(ValueError, match=f"^head_kernel: {re.escape(message)}"):
        ss.head_kernel(params)


def test_convolutions_are_heads_only_where_they_are_1x1():
    assert_head(ss.head_kernel(tree(HEAD[None, None])))
    with pytest.raises(
        ValueError,
        match=r"head/kernel must have shape \[N, K\], got \(3, 3, 6, 4\).* where it is 1x1",
    ):
        ss.head_kernel(tree(np.ones((3, 3, N, K))))


def test_replicated_params_are_refused_with_the_reason():
    replicated = jax.tree.map(lambda leaf: np.stack([leaf] * 8), tree())
    message = (
        "got (8, 6, 4). A leading axis of 8 looks like one copy per device: take [0] of the tree"
    )
    for head, num_classes in ((None, None), ("head", None), (None, K)):
        with pytest.raises(ValueError, match=re.escape(message)):
            ss.head_kernel(replicated, head, num_classes)
    assert_head(ss.head_kernel(jax.tree.map(lambda leaf: leaf[0], replicated)))
