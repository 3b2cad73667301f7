"""What a kernel's relation labels will look like, before anything is trained on them."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Shaped

from simsmooth_jax.errors import InputError
from simsmooth_jax.literals import Rule
from simsmooth_jax.method.arrays import checks, operands
from simsmooth_jax.method.relations.diagnosis_numbers import diagnosis_program, sampled_rows

TEMPERATURES = (0.05, 0.1, 0.2, 0.5)  # shown where none is given, to choose one from
OWN_MASS_RANGE = (0.1, 0.99)  # outside it hardly anything is left of the label, or of the relation
NEARLY_UNIFORM = 0.8  # perplexity by K, above which a row hardly tells the other classes apart
WITHOUT_TEMPERATURE: tuple[Rule, ...] = ("literal", "clip", "shift")


@dataclasses.dataclass(frozen=True)
class RuleDiagnosis:
    """Labels of one rule with epsilon 1: no top-k, own class included where the rule has it.

    Errors are standard errors of a mean over a sample of the rows, and 0 where it is of all.
    """

    rule: Rule
    temperature: operands.Number | None
    well_posed: bool
    mean_own_mass: float | None  # None where a row sum is 0
    row_perplexity: float | None  # mean exp(entropy); None where a row is no distribution
    rows_own_not_on_top: int
    warning: str  # why this rule would train badly at epsilon 1; empty if it would not
    own_mass_error: float | None
    perplexity_error: float | None
    unreachable_rows: int = 0  # of the sampled ones: too many equal cosines for the perplexity


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
    sampled_rows: int  # K, or those that the numbers with an error are taken from
    negative_cosine_share_error: float

    def __str__(self) -> str:
        """A table of at most a hundred columns."""
        share = _with_error(self.negative_cosine_share, self.negative_cosine_share_error, ".1%")
        head = [
            f"kernel             {self.num_features} features x {self.num_classes} classes",
            f"row sums           {self.row_sum_min:.4f} to {self.row_sum_max:.4f}, "
            f"{self.nonpositive_row_sums} of {self.num_classes} are <= 0",
            f"negative cosines   {share} of the pairs of classes",
            f"sum of the columns {self.column_sum_ratio:.4f} of a mean column's length",
        ]
        if self.sampled_rows < self.num_classes:
            head.append(f"±                  standard error, of {self.sampled_rows} rows")
        rows = [("rule at epsilon 1", "own mass", "perplexity", "not on top", "")]
        for row in self.rules:
            spread = ".2f" if (row.row_perplexity or 0) < 1000 else ".0f"
            rows.append(
                (
                    row.rule + (f" τ={row.temperature:g}" if row.temperature else ""),
                    _with_error(row.mean_own_mass, row.own_mass_error, ".3f"),
                    _with_error(row.row_perplexity, row.perplexity_error, spread),
                    str(row.rows_own_not_on_top),
                    row.warning,
                )
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = [
            f"{name:<{widths[0]}}  {own:>{widths[1]}}  {spread:>{widths[2]}}  {count:>{widths[3]}}"
            f"   {warning}"
            for name, own, spread, count, warning in rows
        ]
        return "\n".join(line.rstrip() for line in [*head, "", *table])


def _with_error(value: float | None, error: float | None, form: str) -> str:
    """A number, with its error where it has one."""
    if value is None:
        return "none"
    return f"{value:{form}} ±{error:{form}}" if error else f"{value:{form}}"


def own_mass_warning(mean_own_mass: float) -> str:
    """What is wrong with labels that keep this much of the own class, or an empty string."""
    least, most = OWN_MASS_RANGE
    if mean_own_mass < least:
        return "own class nearly lost: lower epsilon"
    return "nearly one-hot: no relation is left" if mean_own_mass > most else ""


def diagnose(
    kernel: Shaped[Array | np.ndarray, "features classes"],
    *,
    center: bool = False,
    temperature: operands.Number | None = None,
    perplexity: operands.Number | None = None,
) -> Diagnosis:
    """Says which rules are well-posed on a kernel, and how much of the own class each one keeps.

    Row sums are `d_i = Σ_k S_ik`; claim 5 divides by them. Row perplexity is `exp(-Σ_k r_k log
    r_k)`: over how many classes a row is spread.

    No `[K, K]` array is built. Row sums and what follows from them are exact: literal's own mass
    `1 / d_i`, on top where `d_i >= 0`, and shift's, `2 / (K + d_i)`. The other means are those of
    1,024 rows where there are more, drawn the same way at every call, with their standard errors.
    If these hold no negative cosine, which would forbid literal, it is looked for in all rows.

    Args:
      kernel: `[N, K]` real, features first, as in `flax.linen.Dense`.
      center: subtract the mean column first.
      temperature: of the softmax rule, above 0; several are shown if not given.
      perplexity: of the neighbours rule, from 1 to below K - 1; it is shown only if given, with the
        number of rows that cannot have it, as too many of their largest cosines are equal.

    Returns:
      A frozen `Diagnosis` of Python numbers; `str` gives a table.

    Raises:
      ValueError: the kernel is no real matrix with K >= 2, a class vector is zero, NaN or infinite,
        the temperature or the perplexity is out of range, or a transformation is tracing the call.

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
    if checks.is_traced(kernel, temperature, perplexity):
        raise InputError(
            "diagnose: kernel",
            "be an array of values",
            "a tracer",
            "Call it outside of jit, vmap and grad: it gives Python numbers.",
        )
    if temperature is not None:
        operands.positive("diagnose", "temperature", temperature)
    num_features, num_classes = kernel.shape
    if perplexity is not None:
        perplexity = operands.perplexity("diagnose", perplexity, num_classes - 1)
    temperatures = TEMPERATURES if temperature is None else (temperature,)
    given = (kernel, temperatures, perplexity)
    numbers = jax.device_get(
        checks.run_checked("diagnose", diagnosis_program, *given, center=center)
    )
    share, share_error = map(float, numbers["negative_cosine_share"])
    shown: list[tuple[str, Rule, Any]] = [(rule, rule, None) for rule in WITHOUT_TEMPERATURE]
    for number, tau in enumerate(temperatures):
        shown.append((f"softmax {number}", "softmax", tau))
    if perplexity is not None:
        shown.append(("neighbours", "neighbours", None))
    return Diagnosis(
        num_features=num_features,
        num_classes=num_classes,
        row_sum_min=float(numbers["row_sum_min"]),
        row_sum_max=float(numbers["row_sum_max"]),
        nonpositive_row_sums=int(numbers["nonpositive_row_sums"]),
        negative_cosine_share=share,
        column_sum_ratio=float(numbers["column_sum_ratio"]),
        rules=tuple(
            _rule_diagnosis(rule, tau, name, numbers, num_classes) for name, rule, tau in shown
        ),
        sampled_rows=len(sampled_rows(num_classes)),
        negative_cosine_share_error=share_error,
    )


def _rule_diagnosis(
    rule: Rule, tau: Any, name: str, numbers: dict[str, Any], num_classes: int
) -> RuleDiagnosis:
    own_mass, own_mass_error = map(float, numbers["own_mass"][name])
    perplexity, perplexity_error = map(float, numbers["perplexity"][name])
    well_posed = rule != "literal" or not numbers["negative_cosine_share"][0]
    finite = math.isfinite(own_mass)
    unreachable = int(numbers["unreachable_rows"]) if rule == "neighbours" else 0
    if not well_posed:
        warning = "ill-posed: a cosine is negative"
    elif unreachable:
        warning = f"too tied: {unreachable} of {len(sampled_rows(num_classes))} rows"
    elif perplexity > NEARLY_UNIFORM * num_classes:
        warning = "nearly uniform: no relation is left"
    else:
        warning = own_mass_warning(own_mass)
    # Only a negative divisor turns the order of a row that has the own class: under the others the
    # own cosine, 1, is the largest and its label as well.
    not_on_top = {"literal": int(numbers["negative_row_sums"]), "neighbours": num_classes}
    return RuleDiagnosis(
        rule=rule,
        temperature=tau,
        well_posed=well_posed,
        mean_own_mass=own_mass if finite else None,
        row_perplexity=perplexity if well_posed else None,
        rows_own_not_on_top=not_on_top.get(rule, 0),
        warning=warning,
        own_mass_error=own_mass_error if finite else None,
        perplexity_error=perplexity_error if well_posed else None,
        unreachable_rows=unreachable,
    )
