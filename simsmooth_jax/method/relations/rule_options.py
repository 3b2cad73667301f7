"""What the options of a rule may be: its own number, epsilon and how many classes it keeps."""

from typing import Any, get_args

import numpy as np

from simsmooth_jax.errors import InputError
from simsmooth_jax.literals import Rule
from simsmooth_jax.method.arrays import operands

RULES: tuple[Rule, ...] = get_args(Rule)


def checked_options(
    function: str,
    num_classes: int,
    epsilon: Any,
    temperature: Any,
    perplexity: Any,
    *,
    rule: Rule,
    top_k: int | None,
    include_self: bool,
) -> tuple[Any, Any]:
    """Epsilon and the rule's own number, or None, as programs take them; raises out of range."""
    if rule not in RULES:
        raise InputError(
            f"{function}: rule",
            f"be one of {', '.join(map(repr, RULES))}",
            f"{rule!r}",
            "See the table in the documentation of relation_labels.",
        )
    epsilon = operands.fraction(function, "epsilon", epsilon)
    example = "'softmax' with 0.2 for 10 classes or 0.1 for 100"
    _refuse_number(function, "temperature", temperature, rule, "softmax", example)
    example = "'neighbours' with 3 for 10 classes or 20 for 100"
    _refuse_number(function, "perplexity", perplexity, rule, "neighbours", example)
    if not isinstance(include_self, bool):
        raise InputError(
            f"{function}: include_self",
            "be True or False",
            f"{include_self!r}",
            "It is part of the program, not an array.",
        )
    if top_k is not None:
        advice = "Leave it out to keep every class."
        refuse_top_k(function, "top_k", top_k, num_classes, include_self, advice)
    if temperature is not None:
        return epsilon, operands.positive(function, "temperature", temperature)
    if perplexity is not None:
        others = (num_classes if top_k is None else top_k) - 1
        return epsilon, operands.perplexity(function, perplexity, others)
    return epsilon, None


def _refuse_number(
    function: str, argument: str, value: Any, rule: Rule, taker: Rule, example: str
) -> None:
    """Raises where a number and the one rule that takes it are not given together."""
    if (value is not None) != (rule == taker):
        raise InputError(
            f"{function}: {argument}",
            f"be given with rule {taker!r} and with no other",
            f"{argument}={value} with rule {rule!r}",
            f"Set both, as {example}, or neither.",
        )


def refuse_top_k(
    function: str, argument: str, value: Any, num_classes: int, include_self: bool, advice: str
) -> None:
    """Raises for a number of kept classes that is no integer, or out of range."""
    least = 1 if include_self else 2
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= value <= num_classes:
        raise InputError(
            f"{function}: {argument}",
            f"be an integer from {least} to {num_classes} (the number of classes)",
            f"{value!r}",
            advice,
        )
