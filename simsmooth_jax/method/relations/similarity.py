"""Kernel of the final Dense layer -> cosine similarity of every two classes (claims 1, 3, 7)."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from simsmooth_jax.machine.memory import refuse_dense_table
from simsmooth_jax.method.arrays import checks, meshes, operands
from simsmooth_jax.method.arrays.strips import tell_watcher

GRAM_BLOCK = 512  # classes: a block of similarities that stays in a CPU's cache, and fills a GPU


def cosine_similarity(
    kernel: Shaped[Array | np.ndarray, "features classes"], *, center: bool = False
) -> Float[Array, "classes classes"]:
    """Cosine similarity of every two columns of a classifier's final kernel.

    `S[i, j] = w_i · w_j / (‖w_i‖ ‖w_j‖)`, where `w_k` is column k: the weight vector of class k.

    One jitted operation at full float32 precision on every backend (matrix products default to
    bfloat16 on TPU and TF32 on GPU). Columns are scaled by their largest entry before they are
    squared, so that lengths from 1e-30 to 1e30 neither overflow nor vanish.

    Inside a transformation (`jit`, `grad`, `vmap`, …) values cannot be looked at, and nothing is
    refused: a zero column then has cosine 0 to the others, 1 to itself and gradient 0; NaN
    propagates.

    Args:
      kernel: `[N, K]` real, features first, as in `flax.linen.Dense`. PyTorch's `Linear.weight` is
        its transpose.
      center: subtract the mean column first. The classifier's probabilities do not change with a
        vector added to every column, but the cosines do; this is the one canonical choice.

    Returns:
      `[K, K]` float32, exactly symmetric, diagonal exactly 1, every entry in [-1, 1].

    Raises:
      ValueError: the kernel is no real matrix with K >= 2, `[K, K]` would not fit into memory, or a
        class vector is zero, below 1e-30, NaN or infinite.

    Source: CN 112434722 A, claim 3.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> kernel = jnp.array([[1.0, 2.0, 0.0], [0.0, 2.0, 3.0]])  # 2 features, 3 classes
      >>> print(np.asarray(ss.cosine_similarity(kernel)).round(2))
      [[1.   0.71 0.  ]
       [0.71 1.   0.71]
       [0.   0.71 1.  ]]
    """
    kernel = operands.kernel("cosine_similarity", kernel, center)
    refuse_dense_table("cosine_similarity", np.shape(kernel)[1], kernel)
    return checks.run_checked("cosine_similarity", _cosine_program, kernel, center=center)


@partial(jax.jit, static_argnames="center")
def _cosine_program(kernel: Array, *, center: bool) -> tuple[Array, list[checks.Flaw]]:
    return meshes.by_class(partial(similarity_and_flaws, center=center), kernel, class_axis=1)


def similarity_and_flaws(
    kernel: Shaped[Array, "features classes"], center: bool
) -> tuple[Float[Array, "classes classes"], list[checks.Flaw]]:
    """The formula itself, with the first zero and the first non-finite class vector."""
    unit, flaws = unit_columns_and_flaws(kernel, center)
    return _gram(unit), flaws


def unit_columns_and_flaws(
    kernel: Shaped[Array, "features classes"], center: bool
) -> tuple[Float[Array, "features classes"], list[checks.Flaw]]:
    """Columns of length 1, with the first zero and the first non-finite class vector."""
    columns = class_columns(kernel, center)
    unit, lengths = unit_columns(columns)
    where = f"{'centred kernel' if center else 'kernel'}[:, {{i}}] (class {{i}})"
    return unit, [
        checks.Flaw.of(
            ~jnp.isfinite(columns).all(axis=0),
            who="every class vector",
            must="be finite",
            got=f"NaN or infinity in {where}",
            then="Look for the step where training diverged.",
        ),
        checks.Flaw.of(
            lengths == 0,
            who="every class vector",
            must="have a length above 0",
            got=f"zeros in {where}",
            then="An untrained head, or a class without examples, has no direction: train it or "
            "leave the class out.",
        ),
        checks.Flaw.of(
            (lengths > 0) & (lengths < checks.SMALLEST),
            lengths,
            who="every class vector",
            must=f"have a length of {checks.SMALLEST:g} or more",
            got=f"{{:.4g}} in {where}",
            then="Scale the kernel up: cosines do not change with it.",
        ),
    ]


def class_columns(
    kernel: Shaped[Array, "features classes"], center: bool
) -> Float[Array, "features classes"]:
    """The columns, or what they differ by from their mean: exactly zero where all are equal."""
    columns = jnp.asarray(kernel, jnp.float32)
    if not center:
        return columns
    if kernel.dtype.itemsize == 8:  # under jax_enable_x64: centred before it loses its digits
        columns = kernel - kernel.mean(axis=1, keepdims=True)
        columns = jnp.asarray(columns, jnp.float32)
    # Any common vector cancels; this one leaves no rounding error of the mean in equal columns.
    shifted = columns - jax.lax.stop_gradient(columns.max(axis=1, keepdims=True))
    centred = shifted - shifted.mean(axis=1, keepdims=True)
    noise = 8 * jnp.finfo(jnp.float32).eps * jnp.abs(columns).max()
    # A column at the mean is zero, not the direction of its rounding errors.
    return jnp.where(jnp.abs(centred).max(axis=0, keepdims=True) <= noise, 0, centred)


def unit_columns(
    columns: Float[Array, "features classes"],
) -> tuple[Float[Array, "features classes"], Float[Array, " classes"]]:
    """Columns of length 1, and their lengths before: those of length 0 stay so, with gradient 0."""
    scale = jax.lax.stop_gradient(jnp.abs(columns).max(axis=0, keepdims=True))
    is_zero = scale == 0  # false for NaN, which propagates
    scaled = columns / jnp.where(is_zero, 1, scale)
    squared_norm = jnp.where(is_zero, 1, jnp.square(scaled).sum(axis=0, keepdims=True))
    length = jnp.sqrt(squared_norm)
    return jnp.where(is_zero, 0, scaled / length), (scale * length)[0]


def _gram(unit: Float[Array, "features classes"]) -> Float[Array, "classes classes"]:
    """Products of every two columns: blocks above the diagonal, mirrored; half of the work."""
    num_classes = unit.shape[1]
    if num_classes <= GRAM_BLOCK or meshes.on_several_devices(unit):  # XLA splits one product best
        return _own_is_one(products(unit.T, unit.T))
    starts = np.minimum(np.arange(0, num_classes, GRAM_BLOCK), num_classes - GRAM_BLOCK)
    pairs = jnp.asarray(list(itertools.combinations(starts, 2)), jnp.int32)
    vectors = jax.lax.optimization_barrier(unit.T)  # so that a block is one piece of memory

    def block(i: Array) -> Array:
        return jax.lax.dynamic_slice_in_dim(vectors, i, GRAM_BLOCK)

    def mirrored(t: Array, similarity: Array) -> Array:
        i, j = pairs[t]
        product = jnp.clip(products(block(i), block(j)), -1, 1)
        similarity = jax.lax.dynamic_update_slice(similarity, product, (i, j))
        tell_watcher(len(pairs))
        return jax.lax.dynamic_update_slice(similarity, product.T, (j, i))

    def diagonal(t: Array, similarity: Array) -> Array:
        i = jnp.asarray(starts)[t]
        product = _own_is_one(products(block(i), block(i)))
        return jax.lax.dynamic_update_slice(similarity, product, (i, i))

    # The last block overlaps the one before it; its diagonal comes last and settles them.
    empty = jnp.zeros((num_classes, num_classes), jnp.float32)
    empty = meshes.varying(empty, meshes.varying_axes(unit))
    similarity = jax.lax.fori_loop(0, len(pairs), mirrored, empty)
    return jax.lax.fori_loop(0, len(starts), diagonal, similarity)


def products(
    a: Float[Array, "rows features"], b: Float[Array, "columns features"]
) -> Float[Array, "rows columns"]:
    """Inner products of every row of a with every row of b, at full float32 precision."""
    return jax.lax.dot_general(a, b, (((1,), (1,)), ((), ())), precision=jax.lax.Precision.HIGHEST)


def _own_is_one(product: Float[Array, "classes classes"]) -> Float[Array, "classes classes"]:
    """Exactly symmetric, in [-1, 1], with a diagonal of exactly 1 (or NaN)."""
    symmetric = jnp.clip((product + product.T) / 2, -1, 1)
    own = jnp.eye(product.shape[0], dtype=bool)
    return jnp.where(own & ~jnp.isnan(symmetric), 1, symmetric)
