"""What a user's own module computes, as a digest: its code may change while its shapes stay."""

import hashlib
import re
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # of a function, as Python shows it


def computation_sha256(model: nn.Module, shape: tuple[int, ...]) -> str:
    """SHA-256 of the operations of a module in training and in evaluation, and of its constants.

    It is the same for the same versions of JAX and Flax; comments and names of variables do not
    count. Nothing is computed.

    Args:
      model: which takes `(images, train)`.
      shape: height, width and channels of the images.
    """
    images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    variables = jax.eval_shape(partial(model.init, train=True), key, images)
    train = partial(model.apply, train=True, mutable=["batch_stats"])
    programs = (
        jax.make_jaxpr(partial(model.init, train=True))(key, images),
        jax.make_jaxpr(lambda v, x, k: train(v, x, rngs={"dropout": k}))(variables, images, key),
        jax.make_jaxpr(partial(model.apply, train=False))(variables, images),
    )
    digest = hashlib.sha256()
    for program in programs:
        digest.update(_ADDRESS.sub("", str(program)).encode())
        for constant in program.consts:
            digest.update(np.ascontiguousarray(constant).tobytes())
    return digest.hexdigest()
