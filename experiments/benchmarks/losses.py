"""Losses against optax's, forward and backward, and a classifier of a million classes.

    python experiments/benchmarks/losses.py               # a minute on two CPU cores
    python experiments/benchmarks/losses.py --million     # 5 minutes

Expected: a dense table of 10,000 classes within 1.5 times optax's integer loss, a top-32 table
within 1.25 times; a million classes in less than 3 GB, in the time of one-hot labels.
"""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from measure import in_a_process, interleave, peak_memory, ratio, report, shown

import simsmooth_jax as ss

B, K, KEPT = 1024, 10_000, 32
MANY, FEATURES, BATCH = 1_000_000, 128, 256


def tables(num_classes: int) -> dict[str, Any]:
    """Tables as large as real ones, of random classes."""
    indices = jax.random.randint(jax.random.key(1), (num_classes, KEPT), 0, num_classes)
    weights = jax.nn.softmax(jax.random.normal(jax.random.key(2), (num_classes, KEPT)))
    return {
        "one-hot, as a top-1 table": ss.TopKLabels(
            jnp.arange(num_classes)[:, None], jnp.ones((num_classes, 1))
        ),
        "top-32": ss.TopKLabels(indices, weights),
    }


def losses(rounds: int) -> None:
    """Losses of logits."""
    logits = jax.random.normal(jax.random.key(0), (B, K))
    labels = jax.random.randint(jax.random.key(3), (B,), 0, K)
    kernel = jax.random.normal(jax.random.key(4), (64, K))
    forms = tables(K) | {
        "dense": ss.relation_labels_from_kernel(kernel),
        "factored": ss.factored_labels(kernel),
    }
    del forms["one-hot, as a top-1 table"]

    @jax.jit
    def theirs(logits: jax.Array, labels: jax.Array) -> Any:
        loss = optax.softmax_cross_entropy_with_integer_labels
        return jax.value_and_grad(lambda z: loss(z, labels).mean())(logits)

    @jax.jit
    def composed(logits: jax.Array, labels: jax.Array, table: jax.Array) -> Any:
        loss = optax.softmax_cross_entropy
        return jax.value_and_grad(lambda z: loss(z, table[labels]).mean())(logits)

    @jax.jit
    def ours(logits: jax.Array, labels: jax.Array, table: Any) -> Any:
        loss = ss.softmax_cross_entropy_with_label_table
        return jax.value_and_grad(lambda z: loss(z, labels, table).mean())(logits)

    base = "optax, integer labels"
    compiled = {base: theirs.lower(logits, labels).compile()}
    calls: dict[str, Any] = {base: lambda: theirs(logits, labels)}
    for name, table in forms.items():
        compiled[name] = ours.lower(logits, labels, table).compile()
        calls[name] = lambda table=table: ours(logits, labels, table)
    name = "optax, softmax_cross_entropy(z, table[y])"
    compiled[name] = composed.lower(logits, labels, forms["dense"]).compile()
    calls[name] = lambda: composed(logits, labels, forms["dense"])
    times = interleave(calls, rounds)

    def held(name: str) -> float:
        analysis: Any = compiled[name].memory_analysis()
        return analysis.temp_size_in_bytes + analysis.output_size_in_bytes + logits.nbytes

    rows = [
        [name, shown(ratio(times, name, base)), f"{held(name) / held(base):.2f}"] for name in calls
    ]
    title = f"Loss forward and backward, B={B}, K={K}: by optax's integer loss, {rounds} rounds"
    report("losses", title, ["", "time", "memory without the table"], rows)


def million(rounds: int) -> None:
    """Head and loss in one: times in turns, and the memory of each form in a process of its own."""
    base = "one-hot, as a top-1 table"
    forms = {name: one_form(name) for name in (base, "top-32", "factored")}
    times = interleave(forms | {"one-hot again": forms[base]}, rounds)
    rows = []
    for name in times:
        form = name if name in forms else base
        memory = in_a_process(__file__, "--form", form)["bytes"]
        rows.append([name, shown(ratio(times, name, base)), f"{memory / 1e9:.2f}"])
    title = f"Head and loss in one, K={MANY}, N={FEATURES}, B={BATCH}, {rounds} rounds"
    report("million", title, ["forward and backward", "time", "peak memory, GB"], rows)


def one_form(form: str) -> Callable[[], Any]:
    """A call that computes loss and gradients with that table."""
    kernel = 0.05 * jax.random.normal(jax.random.key(0), (FEATURES, MANY))
    features = jax.random.normal(jax.random.key(1), (BATCH, FEATURES))
    labels = jax.random.randint(jax.random.key(2), (BATCH,), 0, MANY)
    table = ss.factored_labels(kernel) if form == "factored" else tables(MANY)[form]

    @jax.jit
    def step(features: jax.Array, kernel: jax.Array, table: Any) -> Any:
        loss = ss.linear_cross_entropy_with_label_table
        mean = lambda x, w: loss(x, w, labels, table).mean()  # noqa: E731
        return jax.value_and_grad(mean, argnums=(0, 1))(features, kernel)

    return lambda: step(features, kernel, table)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # pyright: ignore
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--form", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.form:
        jax.block_until_ready(one_form(options.form)())
        print(json.dumps({"bytes": peak_memory()}))
    elif options.million:
        million(options.rounds)
    else:
        losses(options.rounds)


if __name__ == "__main__":
    sys.exit(main())
