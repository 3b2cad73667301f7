"""Relation labels from a kernel against the bare product `WᵀW`, and what scikit-learn takes.

    python experiments/benchmarks/labels.py            # 6 minutes on two CPU cores
    python experiments/benchmarks/labels.py --top-k    # 10 minutes
    python experiments/benchmarks/labels.py --diagnosis  # 2 minutes

Expected: labels of 21,841 classes at about the cost of the product alone, in the memory of the
table and a tenth; top-k labels of 100,000 classes within 1.5 times the bare blocked product;
their diagnosis in half of their time.
"""

import argparse
import json
import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from measure import held_memory, in_a_process, interleave, peak_memory, ratio, report, shown
from sklearn.metrics.pairwise import cosine_similarity

import simsmooth_jax as ss
from simsmooth_jax.method.arrays import strips
from simsmooth_jax.method.arrays.strips import STRIP_ENTRIES

N, K = 1024, 21_841
TOP_N, TOP_K, KEPT = 128, 100_000, 32
DIAGNOSED, CHECKED = (64, 50_000), 10_000


def dense(rounds: int) -> None:
    """Tables `[K, K]`."""
    kernel = jax.random.normal(jax.random.key(0), (N, K))
    columns = np.ascontiguousarray(np.asarray(kernel).T)
    product = jax.jit(lambda w: jnp.matmul(w.T, w, precision="highest"))
    programs = {
        "bare jitted WᵀW": lambda: product(kernel),
        "scikit-learn, cosines alone": lambda: cosine_similarity(columns),
        "cosine_similarity": lambda: ss.cosine_similarity(kernel),
        "labels, clip": lambda: ss.relation_labels_from_kernel(kernel),
        "labels, softmax": lambda: ss.relation_labels_from_kernel(
            kernel, "softmax", temperature=0.1
        ),
    }
    times = interleave(programs, rounds)
    rows = []
    for name in programs:
        memory = ""
        if name.startswith("labels"):
            found = in_a_process(__file__, "--memory", name.split()[-1])
            memory = f"{found['bytes'] / (4 * K * K):.2f}"
        rows.append([name, shown(ratio(times, name, "bare jitted WᵀW")), memory])
    title = f"Labels from a kernel, N={N}, K={K}: times by the bare product's, {rounds} rounds"
    report("labels", title, ["", "time", "peak memory / table"], rows)


def memory(rule: str) -> None:
    """Prints by how much the peak of making one table is above what the process held before.

    The kernel comes from NumPy, which leaves no higher peak of its own behind.
    """
    kernel = jax.device_put(np.random.default_rng(0).standard_normal((N, K), np.float32))
    kernel.block_until_ready()
    before = held_memory()
    temperature = 0.1 if rule == "softmax" else None
    labels = ss.relation_labels_from_kernel(kernel, rule, temperature=temperature)  # pyright: ignore[reportArgumentType]
    labels.block_until_ready()
    print(json.dumps({"bytes": peak_memory() - before}))


def top_k(rounds: int) -> None:
    """Tables `[K, k]`."""
    kernel = jax.random.normal(jax.random.key(0), (TOP_N, TOP_K))

    @partial(jax.jit, static_argnums=1)
    def blocked_product(kernel: jax.Array, size: int) -> jax.Array:
        vectors = kernel.T

        def strip(t: jax.Array, total: jax.Array) -> jax.Array:
            start = jnp.minimum(t * size, TOP_K - size)
            some = jax.lax.dynamic_slice_in_dim(vectors, start, size)
            return total + jnp.matmul(some, vectors.T, precision="highest")[0, 0]

        return jax.lax.fori_loop(0, -(-TOP_K // size), strip, jnp.float32(0))

    size = STRIP_ENTRIES // TOP_K  # classes at a time, of top_k_labels as well
    base = "bare blocked product"
    programs = {
        base: lambda: blocked_product(kernel, size),
        "the same in strips of twice the size": lambda: blocked_product(kernel, 2 * size),
        f"top_k_labels, k={KEPT}": lambda: ss.top_k_labels(kernel, KEPT).weights,
    }
    times = interleave(programs, rounds)
    rows = [[name, shown(ratio(times, name, base))] for name in programs]
    besides = peak_memory() - 8 * TOP_K * KEPT  # of the whole process, JAX and kernel included
    rows.append(["peak memory besides the table, GB", f"{besides / 1e9:.2f}"])
    title = f"Top-k labels, N={TOP_N}, K={TOP_K}: times by the bare product's, {rounds} rounds"
    report("top_k", title, ["", ""], rows)


def diagnosis(rounds: int) -> None:
    """What is known before the labels, against the labels; and how far its means are off."""
    kernel = jax.random.normal(jax.random.key(0), DIAGNOSED)
    positive = jnp.abs(kernel)
    # Few entries are not zero, and a turn hides that none is negative: every angle is wide.
    turn = jnp.linalg.qr(jax.random.normal(jax.random.key(1), (DIAGNOSED[0], DIAGNOSED[0])))[0]
    is_there = jax.random.uniform(jax.random.key(2), DIAGNOSED) < 0.3
    turned = turn @ jnp.where(is_there, positive, 0)
    base = f"top_k_labels, k={KEPT}"
    programs = {
        base: lambda: ss.top_k_labels(kernel, KEPT).weights,
        "diagnose": lambda: ss.diagnose(kernel).row_sum_min,
        "diagnose, no cosine is negative": lambda: ss.diagnose(positive).row_sum_min,
        "the same, sparse and turned": lambda: ss.diagnose(turned).row_sum_min,
        "top_k_labels that a bar watches": lambda: _watched(kernel),
    }
    times = interleave(programs, rounds)
    rows = [[name, shown(ratio(times, name, base))] for name in programs]
    error = _largest_error(kernel[:, :CHECKED])
    rows.append([f"largest error of a mean, K={CHECKED}", f"{error:.2%}"])
    n, k = DIAGNOSED
    title = f"Diagnosis, N={n}, K={k}: times by the labels', {rounds} rounds"
    report("diagnosis", title, ["", ""], rows)


def _watched(kernel: jax.Array) -> Any:
    with strips.watched_by(_nothing):
        return ss.top_k_labels(kernel, KEPT).weights


def _nothing(num_strips: int) -> None:
    """A watcher that is told of every strip."""


def _largest_error(kernel: jax.Array) -> float:
    """By how much a mean of the sample is off that of all rows in float64, of the latter."""
    unit = np.asarray(kernel, np.float64)
    unit /= np.linalg.norm(unit, axis=0)
    found, rows = ss.diagnose(kernel), []
    for some in np.array_split(unit, 50, axis=1):
        cosines = some.T @ unit
        row = [(cosines < 0).sum(axis=1) / (len(cosines[0]) - 1)]
        for rule in found.rules[1:]:
            if rule.rule == "softmax":
                mass = np.exp((cosines - 1) / rule.temperature)
            else:
                mass = np.maximum(cosines, 0) if rule.rule == "clip" else 1 + cosines
            mass /= mass.sum(axis=1, keepdims=True)
            row += [mass.max(axis=1), np.exp(scipy.special.entr(mass).sum(axis=1))]
        rows.append(np.array(row))
    exact = np.concatenate(rows, axis=1).mean(axis=1)
    means = [found.negative_cosine_share]
    for rule in found.rules[1:]:
        means += [rule.mean_own_mass, rule.row_perplexity]
    return float(np.abs(np.array(means) / exact - 1).max())


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # pyright: ignore
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--top-k", action="store_true")
    parser.add_argument("--diagnosis", action="store_true")
    parser.add_argument("--memory", choices=["clip", "softmax"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        memory(options.memory)
    elif options.diagnosis:
        diagnosis(options.rounds)
    elif options.top_k:
        top_k(options.rounds)
    else:
        dense(options.rounds)


if __name__ == "__main__":
    sys.exit(main())
