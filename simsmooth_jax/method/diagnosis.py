"""What a kernel's relation labels will look like, before anything is trained on them."""

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from simsmooth_jax.errors import InputError
from simsmooth_jax.literals import Rule
from simsmooth_jax.method import checks, meshes, operands
from simsmooth_jax.method.rules import ROUNDING, relation_rows
from simsmooth_jax.method.similarity import (
    class_columns,
    cosine_rows,
    unit_columns_and_flaws,
)
from simsmooth_jax.method.strips import STRIP_ENTRIES, assemble

TEMPERATURES = (0.05, 0.1, 0.2, 0.5)  # shown where none is given, to choose one from
OWN_MASS_RANGE = (0.1, 0.99)  # outside it hardly anything is left of the label, or of the relation


@dataclasses.dataclass(frozen=True)
class RuleDiagnosis:
    """Labels of one rule with epsilon 1: no top-k, own class included."""

    rule: Rule
    temperature: float | Float[Array, ""] | None
    well_posed: bool
    mean_own_mass: float | None  # None where a row sum is 0
    row_perplexity: float | None  # mean exp(entropy); None where a row is no distribution
    rows_own_not_on_top: int
    warning: str  # why this rule would train badly at epsilon 1; empty if it would not


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """The cosines of a kernel in numbers; `print` shows them as a table."""

    num_features: int
    num_classes: int
    row_sum_min: float
    row_sum_max: float
    nonpositive_row_sums: int
    negative_cosine_share: float  # of the K (K - 1) / 2 pairs of classes
    column_sum_ratio: float  # ‖Σ_k w_k‖ / mean ‖w_k‖: tends to 0 as a classifier is trained
    rules: tuple[RuleDiagnosis, ...]

    def __str__(self) -> str:
        """A table of at most a hundred columns."""
        head = [
            f"kernel             {self.num_features} features x {self.num_classes} classes",
            f"row sums           {self.row_sum_min:.4f} to {self.row_sum_max:.4f}, "
            f"{self.nonpositive_row_sums} of {self.num_classes} are <= 0",
            f"negative cosines   {self.negative_cosine_share:.1%} of the pairs of classes",
            f"sum of the columns {self.column_sum_ratio:.4f} of a mean column's length",
            "",
            "rule at epsilon 1    own mass  perplexity  own not on top",
        ]
        rows = []
        for row in self.rules:
            name = row.rule if row.temperature is None else f"{row.rule} τ={row.temperature:g}"
            own = "none" if row.mean_own_mass is None else f"{row.mean_own_mass:.3f}"
            spread = "none" if row.row_perplexity is None else f"{row.row_perplexity:.2f}"
            numbers = f"{own:>8}  {spread:>10}"
            rows.append(f"{name:<20} {numbers}  {row.rows_own_not_on_top:14}   {row.warning}")
        return "\n".join(line.rstrip() for line in [*head, *rows])


def own_mass_warning(mean_own_mass: float) -> str:
    """What is wrong with labels that keep this much of the own class, or an empty string."""
    least, most = OWN_MASS_RANGE
    if mean_own_mass < least:
        return "the own class is nearly lost: lower epsilon"
    return "nearly one-hot: no relation is left" if mean_own_mass > most else ""


def diagnose(
    kernel: Shaped[Array | np.ndarray, "features classes"],
    *,
    center: bool = False,
    temperature: float | Float[Array, ""] | None = None,
) -> Diagnosis:
    """Says which rules are well-posed on a kernel, and how much of the own class each one keeps.

    Row sums are `d_i = Σ_k S_ik`; claim 5 divides by them. Row perplexity is `exp(-Σ_k r_k log
    r_k)`: over how many classes a row is spread. No `[K, K]` array is built.

    Args:
      kernel: `[N, K]` real, features first, as in `flax.linen.Dense`.
      center: subtract the mean column first.
      temperature: of the softmax rule, above 0; several are shown if not given.

    Returns:
      A frozen `Diagnosis` of Python numbers; `str` gives a table.

    Raises:
      ValueError: the kernel is no real matrix with K >= 2, a class vector is zero, NaN or infinite,
        the temperature is not above 0, or a transformation is tracing the call.

    Source: CN 112434722 A, claim 5, whose denominator it looks at.

    Example:
      >>> import jax.numpy as jnp
      >>> import simsmooth_jax as ss
      >>> kernel = jnp.array([[1.0, 2.0, -1.0], [0.0, 2.0, 3.0]])  # 2 features, 3 classes
      >>> diagnosis = ss.diagnose(kernel, temperature=0.2)
      >>> diagnosis.rules[0].well_posed  # literal: one of three cosines is negative
      False
      >>> print(f"{diagnosis.negative_cosine_share:.2f}")
      0.33
    """
    kernel = operands.kernel("diagnose", kernel, center)
    if checks.is_traced(kernel, temperature):
        raise InputError(
            "diagnose: kernel",
            "be an array of values",
            "a tracer",
            "Call it outside of jit, vmap and grad: it gives Python numbers.",
        )
    if temperature is not None:
        operands.positive("diagnose", "temperature", temperature)
    temperatures = TEMPERATURES if temperature is None else (temperature,)
    numbers = jax.device_get(
        checks.run_checked("diagnose", _diagnosis_program, kernel, temperatures, center=center)
    )
    rules = tuple(
        _rule_diagnosis(rule, tau, row, numbers["negative_cosine_share"] == 0)
        for (rule, tau), row in zip(_rows(temperatures), numbers["rules"], strict=True)
    )
    num_features, num_classes = kernel.shape
    return Diagnosis(
        num_features=num_features,
        num_classes=num_classes,
        row_sum_min=float(numbers["row_sum_min"]),
        row_sum_max=float(numbers["row_sum_max"]),
        nonpositive_row_sums=int(numbers["nonpositive_row_sums"]),
        negative_cosine_share=float(numbers["negative_cosine_share"]),
        column_sum_ratio=float(numbers["column_sum_ratio"]),
        rules=rules,
    )


def _rule_diagnosis(rule: Rule, tau: Any, row: dict[str, Any], positive: bool) -> RuleDiagnosis:
    own_mass = float(row["mean_own_mass"])
    well_posed = rule != "literal" or bool(positive)
    return RuleDiagnosis(
        rule=rule,
        temperature=tau,
        well_posed=well_posed,
        mean_own_mass=own_mass if math.isfinite(own_mass) else None,
        row_perplexity=float(row["row_perplexity"]) if row["is_distribution"] else None,
        rows_own_not_on_top=int(row["rows_own_not_on_top"]),
        warning=own_mass_warning(own_mass) if well_posed else "ill-posed: a cosine is negative",
    )


def _rows(temperatures: tuple[Any, ...]) -> list[tuple[Rule, Any]]:
    without: list[tuple[Rule, Any]] = [("literal", None), ("clip", None), ("shift", None)]
    return without + [("softmax", tau) for tau in temperatures]


@partial(jax.jit, static_argnames="center")
def _diagnosis_program(
    kernel: Array, temperatures: tuple[Any, ...], *, center: bool
) -> tuple[dict[str, Any], list[checks.Flaw]]:
    return meshes.by_class(partial(_numbers, center=center), kernel, temperatures, class_axis=None)


def _numbers(
    kernel: Array, temperatures: tuple[Any, ...], *, center: bool
) -> tuple[dict[str, Any], list[checks.Flaw]]:
    unit, flaws = unit_columns_and_flaws(kernel, center)
    columns = class_columns(kernel, center)
    columns /= jnp.abs(columns).max()  # so that no square overflows or vanishes
    mean_length = jnp.linalg.norm(columns, axis=0).mean()
    vectors, num_classes = unit.T, unit.shape[1]
    size = min(num_classes, max(1, STRIP_ENTRIES // num_classes))

    def strip(start: Array) -> dict[str, Array]:
        similarity = cosine_rows(vectors, start, size)
        own = (start + jnp.arange(size))[:, None] == jnp.arange(num_classes)[None]
        row_sums = similarity.sum(axis=1)
        negative = (similarity < -ROUNDING).sum(axis=1, dtype=jnp.float32)
        found = {"row_sums": row_sums, "negative": negative}
        for index, (rule, tau) in enumerate(_rows(temperatures)):
            numbers = _label_numbers(relation_rows(similarity, own, tau, rule), own)
            found |= {f"{name} {index}": value for name, value in numbers.items()}
        return found

    rows = assemble(strip, num_classes, size)
    return {
        "row_sum_min": rows["row_sums"].min(),
        "row_sum_max": rows["row_sums"].max(),
        "nonpositive_row_sums": (rows["row_sums"] <= 0).sum(),
        "negative_cosine_share": rows["negative"].sum() / num_classes / (num_classes - 1),
        "column_sum_ratio": jnp.linalg.norm(columns.sum(axis=1)) / mean_length,
        "rules": [
            {
                "mean_own_mass": rows[f"own_mass {index}"].mean(),
                "is_distribution": rows[f"is_distribution {index}"].all(),
                "row_perplexity": rows[f"perplexity {index}"].mean(),
                "rows_own_not_on_top": rows[f"own_not_on_top {index}"].sum(),
            }
            for index in range(len(_rows(temperatures)))
        ],
    }, flaws


def _label_numbers(
    relation: Float[Array, "rows classes"], own: Array
) -> dict[str, Shaped[Array, " rows"]]:
    own_mass = jnp.where(own, relation, 0).sum(axis=1)
    other_mass = jnp.where(own, -jnp.inf, relation).max(axis=1)
    information = jnp.where(relation == 0, 0, -relation * jnp.log(relation))
    return {
        "own_mass": own_mass,
        "is_distribution": ((relation >= 0) & jnp.isfinite(relation)).all(axis=1),
        "perplexity": jnp.exp(information.sum(axis=1)),
        "own_not_on_top": own_mass < other_mass - ROUNDING,
    }
