"""A table of soft labels in full, `[K, K]`."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Shaped

from simsmooth_jax.method.arrays import checks, operands
from simsmooth_jax.method.tables import trainable
from simsmooth_jax.method.tables.row_loss import row_cross_entropy
from simsmooth_jax.method.tables.serialization import portable


@portable
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class DenseLabels:
    """A table of soft labels in full: row y is `table[y]`. What a bare array is wrapped in."""

    table: Shaped[Array | np.ndarray, "classes classes"] | Any  # as JAX fills its nodes

    makes_rows: ClassVar = False

    @property
    def num_classes(self) -> int:
        """K."""
        return np.shape(self.table)[0]

    @property
    def form(self) -> str:
        """The form and its shape, as messages show them."""
        return str(np.shape(self.table))

    def to_dense(self) -> Float[Array, "classes classes"]:
        """The table itself, in float32."""
        return jnp.asarray(self.table, jnp.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        """Its fields, as files hold them."""
        return {"table": np.asarray(self.table, np.float32)}

    def own_weights(self) -> Float[np.ndarray, " classes"]:
        """What each class keeps of its own label."""
        return np.diagonal(np.asarray(self.table))

    def opened(self, function: str) -> "DenseLabels":
        """With its array as programs take it; refuses what is no `[K, K]` matrix of numbers."""
        return dataclasses.replace(self, table=operands.square(function, "table", self.table))

    def flaws(self) -> list[checks.Flaw]:
        """Rows that are no targets."""
        return [trainable.sum_flaw(self.to_dense().sum(axis=1), self.table.dtype)]

    def refuse_untrainable(self, function: str) -> None:
        """Refuses rows that no classifier should be trained on."""
        trainable.refuse_rows(function, self.table)

    def cross_entropy(
        self,
        labels: Int[Array, "*batch"],
        peak: Float[Array, "*batch"],
        log_sum: Float[Array, "*batch"],
        logits: Float[Array, "*batch classes"],
    ) -> Float[Array, "*batch"]:
        """`-Σ_k t_k log p_k`, with `log p_k = (z_k - peak) - log_sum`."""
        return row_cross_entropy(_rows, True, self.to_dense(), labels, peak, log_sum, logits)

    def of_batch(self, labels: Int[Array, " batch"]) -> tuple[Array, ...]:
        """What `block` needs of each example: `[B, …]`."""
        return (labels,)

    def of_class(self) -> tuple[Array, ...]:
        """What `block` needs of each class: `[…, K]`, or of those that a device holds."""
        return (jnp.asarray(self.table),)

    def shares(self, labels: Array, batch: Any, classes: Any) -> tuple[Any, Any]:
        """`of_batch` and `of_class` on the Explicit mesh of the labels, split over these axes."""
        sharding = NamedSharding(jax.typeof(labels).sharding.mesh, PartitionSpec(batch, classes))
        return (_taken(jnp.asarray(self.table), labels, sharding),), ()

    def block(
        self,
        of_batch: tuple[Array, ...],
        of_class: tuple[Array, ...],
        first: Any,
        start: Any,
        size: int,
    ) -> Float[Array, "batch size"]:
        """The target rows at `size` classes from `start` of those that begin with class `first`."""
        if not of_class:  # the rows of the batch themselves, as `shares` has them
            return jax.lax.dynamic_slice_in_dim(of_batch[0], start, size, axis=1)
        columns = jax.lax.dynamic_slice_in_dim(of_class[0], start, size, axis=1)
        return jnp.asarray(columns[of_batch[0]], jnp.float32)


def _rows(matrix: Array, labels: Array, like: Array) -> Array:
    """`matrix[labels]` for labels in range, on Auto and on Explicit mesh axes."""
    return _taken(matrix, labels, jax.typeof(like).sharding)


def _taken(matrix: Array, labels: Array, sharding: Any) -> Array:
    return matrix.at[labels].get(mode="clip", wrap_negative_indices=False, out_sharding=sharding)
