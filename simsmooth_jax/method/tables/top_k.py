"""A table of soft labels that keeps k classes of each row: `[K, k]` instead of `[K, K]`."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.arrays import checks, meshes, operands
from simsmooth_jax.method.tables import targets, trainable
from simsmooth_jax.method.tables.serialization import portable


@portable
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class TopKLabels:
    """A table of soft labels that keeps k classes of each row: `[K, k]` instead of `[K, K]`.

    Row y is `weights[y, j]` at class `indices[y, j]` and 0 elsewhere.
    """

    # Any, as JAX fills its nodes with tracers, shapes and shardings as well.
    indices: Int[Array | np.ndarray, "classes k"] | Any
    weights: Float[Array | np.ndarray, "classes k"] | Any

    makes_rows: ClassVar = False

    @property
    def num_classes(self) -> int:
        """K."""
        return np.shape(self.indices)[0]

    @property
    def form(self) -> str:
        """The form and its shape, as messages show them."""
        return f"top-k {list(np.shape(self.indices))}"

    def to_dense(self) -> Float[Array, "classes classes"]:
        """All rows in full; refused where `[K, K]` would not fit into memory."""
        return targets.to_dense(self)

    def arrays(self) -> dict[str, np.ndarray]:
        """Its fields, as files hold them."""
        return {
            "indices": np.asarray(self.indices, np.int32),
            "weights": np.asarray(self.weights, np.float32),
        }

    def own_weights(self) -> Float[np.ndarray, " classes"]:
        """What each class keeps of its own label."""
        is_own = np.asarray(self.indices) == np.arange(self.num_classes)[:, None]
        return np.where(is_own, np.asarray(self.weights), 0).sum(axis=1)

    def opened(self, function: str) -> "TopKLabels":
        """With its arrays as programs take them; refuses what is not two matrices of one shape."""
        indices = operands.as_array(function, "indices", self.indices)
        weights = operands.real(function, "weights", self.weights)
        shape = indices.shape
        whole = jnp.issubdtype(indices.dtype, jnp.integer)
        if not whole or len(shape) != 2 or shape != weights.shape or 0 in shape:
            raise InputError(
                f"{function}: indices and weights",
                "be integers and floats of one shape [K, k]",
                f"{indices.dtype}{list(shape)} and {list(weights.shape)}",
                "Make them with top_k_labels.",
            )
        return dataclasses.replace(
            self, indices=operands.in_32_bits(indices, shape[0]), weights=weights
        )

    def flaws(self) -> list[checks.Flaw]:
        """Rows that are no targets."""
        indices = jnp.asarray(self.indices, jnp.int32)
        is_class = (indices >= 0) & (indices < self.num_classes)
        outside = checks.Flaw.of(
            ~is_class.all(axis=1),
            who="every index of a top-k table",
            must=f"be a class from 0 to {self.num_classes - 1}",
            got="another in row {i}",
            then="Make them with top_k_labels.",
        )
        sums = jnp.asarray(self.weights, jnp.float32).sum(axis=1)
        return [outside, trainable.sum_flaw(sums, self.weights.dtype)]

    def refuse_untrainable(self, function: str) -> None:
        """Refuses rows that no classifier should be trained on."""
        indices = np.asarray(self.indices)
        in_order = np.sort(indices, axis=1)
        wrong = (in_order[:, 0] < 0) | (in_order[:, -1] >= self.num_classes)
        wrong |= (np.diff(in_order, axis=1) == 0).any(axis=1)
        if wrong.any():
            row = int(wrong.argmax())
            raise InputError(
                f"{function}: every row of indices",
                f"be different classes from 0 to {self.num_classes - 1}",
                f"{indices[row].tolist()} in row {row}",
                "Make them with top_k_labels.",
            )
        trainable.refuse_rows(function, self.weights)

    @meshes.by_example
    def cross_entropy(
        self,
        labels: Int[Array, "*batch"],
        peak: Float[Array, "*batch"],
        log_sum: Float[Array, "*batch"],
        logits: Float[Array, "*batch classes"],
    ) -> Float[Array, "*batch"]:
        """`-Σ_k t_k log p_k`, with `log p_k = (z_k - peak) - log_sum`."""
        indices, weights = self.kept_of(labels)
        kept = jnp.take_along_axis(logits, indices, axis=-1)
        terms = weights * targets.negative_log_probabilities(kept, peak, log_sum)
        return jnp.where(weights == 0, 0, terms).sum(axis=-1)

    def of_batch(self, labels: Int[Array, " batch"]) -> tuple[Array, ...]:
        """What `block` needs of each example: `[B, …]`."""
        return self.kept_of(labels)

    def shares(self, labels: Array, batch: Any, classes: Any) -> tuple[Any, Any]:
        """`of_batch` and `of_class` on the Explicit mesh of the labels, split over these axes."""
        kept = meshes.on_auto_axes(type(self).kept_of, labels, P(batch))
        return kept(self, labels), ()

    def kept_of(self, labels: Int[Array, "*batch"]) -> tuple[Array, Array]:
        """Classes and weights of each example; NaN where one of its classes is none."""
        indices = jnp.asarray(self.indices, jnp.int32)[labels]
        known = jnp.clip(indices, 0, self.num_classes - 1)
        is_row = (indices == known).all(axis=-1, keepdims=True)
        weights = jnp.asarray(self.weights, jnp.float32)[labels]
        return known, jnp.where(is_row, weights, jnp.nan)

    def of_class(self) -> tuple[Array, ...]:
        """What `block` needs of each class: nothing."""
        return ()

    def block(
        self,
        of_batch: tuple[Array, ...],
        of_class: tuple[Array, ...],
        first: Any,
        start: Any,
        size: int,
    ) -> Float[Array, "batch size"]:
        """The target rows at `size` classes from `start` of those that begin with class `first`."""
        indices, weights = of_batch
        place = indices - (first + start)
        place = jnp.where((place >= 0) & (place < size), place, size)
        rows = jnp.arange(len(place), dtype=jnp.int32)[:, None]
        return jnp.zeros((len(place), size), jnp.float32).at[rows, place].add(weights, mode="drop")
