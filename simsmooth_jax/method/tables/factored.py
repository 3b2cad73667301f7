"""A table of soft labels that is never built: unit columns `[N, K]` and the sums of the rows."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.arrays import checks, meshes, operands
from simsmooth_jax.method.relations import rules
from simsmooth_jax.method.tables import targets
from simsmooth_jax.method.tables.row_loss import row_cross_entropy
from simsmooth_jax.method.tables.serialization import portable

OFFSETS = {"literal": 0.0, "shift": 1.0}  # of a cosine, by the rules that factor


@portable
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class FactoredLabels:
    """A table of soft labels that is never built: unit columns `[N, K]` and the rows' sums `[K]`.

    Row y is `(1 - epsilon) e_y + epsilon (offset + S_y) / (offset K + d_y)`, with `S_y = kernel[:,
    y]ᵀ kernel`: the offset is 0 under rule literal and 1 under shift, whose name may be given.
    """

    # Any, as JAX fills its nodes with tracers, shapes and shardings as well.
    kernel: Float[Array | np.ndarray, "features classes"] | Any
    row_sums: Float[Array | np.ndarray, " classes"] | Any
    epsilon: Float[Array | np.ndarray, ""] | Any
    # An array, so that every kind of checkpoint keeps the rule.
    offset: Float[Array | np.ndarray, ""] | Any

    makes_rows: ClassVar = True  # a loss goes through whole rows, which stand nowhere

    def __post_init__(self) -> None:
        """The offset of a rule's name."""
        if isinstance(self.offset, str) and self.offset in OFFSETS:
            object.__setattr__(self, "offset", jnp.float32(OFFSETS[self.offset]))

    @property
    def num_classes(self) -> int:
        """K."""
        return np.shape(self.kernel)[1]

    @property
    def form(self) -> str:
        """The form and its shape, as messages show them."""
        return f"factored {list(np.shape(self.kernel))}"

    def to_dense(self) -> Float[Array, "classes classes"]:
        """All rows in full; refused where `[K, K]` would not fit into memory."""
        return targets.to_dense(self)

    def arrays(self) -> dict[str, np.ndarray]:
        """Its fields, as files hold them."""
        arrays = {"kernel": self.kernel, "row_sums": self.row_sums, "epsilon": self.epsilon}
        if float(self.offset) != OFFSETS["shift"]:  # which hashes of before had no number for
            arrays["offset"] = self.offset
        return {name: np.asarray(array, np.float32) for name, array in arrays.items()}

    def own_weights(self) -> Float[np.ndarray, " classes"]:
        """What each class keeps of its own label."""
        similar = jnp.square(jnp.asarray(self.kernel)).sum(axis=0)
        relation = self._relation(similar, self.row_sums, self.offset)
        return np.asarray(rules.mixed(1, relation, self.epsilon))

    def opened(self, function: str) -> "FactoredLabels":
        """With its arrays as programs take them; refuses what `factored_labels` does not give."""
        kernel = operands.matrix(function, "kernel", self.kernel, "[N, K]")
        row_sums = operands.real(function, "row_sums", self.row_sums)
        if row_sums.shape != kernel.shape[1:]:
            raise InputError(
                f"{function}: row_sums",
                f"be a number for each of {kernel.shape[1]} columns",
                list(row_sums.shape),
                "Make them with factored_labels.",
            )
        if isinstance(self.offset, str):
            raise InputError(
                f"{function}: offset", "be 'literal' or 'shift'", repr(self.offset), "Or 0 or 1."
            )
        epsilon = operands.fraction(function, "epsilon", self.epsilon)
        offset = operands.fraction(function, "offset", self.offset)
        return type(self)(kernel, row_sums, epsilon, offset)

    def flaws(self) -> list[checks.Flaw]:
        """Rows that are no targets: columns without their length, or sums of others."""
        kernel = jnp.asarray(self.kernel, jnp.float32)
        sums = jnp.matmul(kernel.sum(axis=1), kernel, precision=jax.lax.Precision.HIGHEST)
        error = jnp.abs(sums - self.row_sums)
        lengths = jnp.square(kernel).sum(axis=0)
        wrong = ~((lengths < 1 + 1e-2) & (error <= 1e-2 * jnp.maximum(1, jnp.abs(sums))))
        return [
            checks.Flaw.of(
                wrong,
                who="every column of a factored table",
                must="have length 1 and its own row sum",
                got="another in column {i}",
                then="Make it with factored_labels.",
            )
        ]

    def refuse_untrainable(self, function: str) -> None:
        """Refuses nothing: the rows are distributions by their formula."""

    @meshes.by_example
    def cross_entropy(
        self,
        labels: Int[Array, "*batch"],
        peak: Float[Array, "*batch"],
        log_sum: Float[Array, "*batch"],
        logits: Float[Array, "*batch classes"],
    ) -> Float[Array, "*batch"]:
        """`-Σ_k t_k log p_k`, with `log p_k = (z_k - peak) - log_sum`."""
        return row_cross_entropy(_rows, False, self, labels, peak, log_sum, logits)

    def of_batch(self, labels: Int[Array, " batch"]) -> tuple[Array, ...]:
        """What `block` needs of each example: `[B, …]`."""
        weight, offset = (jnp.full(labels.shape, x) for x in (self.epsilon, self.offset))
        return labels, weight, self.row_sums[labels], self.kernel.T[labels], offset

    def of_class(self) -> tuple[Array, ...]:
        """What `block` needs of each class: `[…, K]`, or of those that a device holds."""
        return (jnp.asarray(self.kernel),)

    def shares(self, labels: Array, batch: Any, classes: Any) -> tuple[Any, Any]:
        """`of_batch` and `of_class` on the Explicit mesh of the labels, split over these axes."""
        mesh = jax.typeof(labels).sharding.mesh
        of_batch = meshes.on_auto_axes(type(self).of_batch, labels, P(batch))
        return of_batch(self, labels), meshes.put(self.of_class(), mesh, None, classes)

    def block(
        self,
        of_batch: tuple[Array, ...],
        of_class: tuple[Array, ...],
        first: Any,
        start: Any,
        size: int,
    ) -> Float[Array, "batch size"]:
        """The target rows at `size` classes from `start` of those that begin with class `first`."""
        columns = jax.lax.dynamic_slice_in_dim(of_class[0], start, size, axis=1)
        labels, weight, sums, own, offset = (x[:, None] if x.ndim == 1 else x for x in of_batch)
        similar = jnp.matmul(own, columns, precision=jax.lax.Precision.HIGHEST)
        is_own = labels == (first + start + jnp.arange(size, dtype=jnp.int32))[None]
        return rules.mixed(is_own, self._relation(similar, sums, offset), weight)

    def _relation(self, similar: Any, row_sums: Any, offset: Any) -> Any:
        """Relations to some classes, from the cosines to them."""
        similar = jnp.where(offset == 0, rules.not_below_zero(similar), similar)
        return (offset + similar) / (offset * self.num_classes + row_sums)


def _rows(table: FactoredLabels, labels: Array, like: Array) -> Array:
    """The rows of all classes, a product that a backward pass makes again."""
    flat = table.of_batch(labels.reshape(-1))
    return table.block(flat, table.of_class(), 0, 0, table.num_classes).reshape(like.shape)
