"""What all tests share: eight CPU devices, a compilation cache, repeatable property tests."""

import datetime
import importlib.metadata
import json
import os
import platform
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# The suite is about eight fake CPU devices, also on a machine with an accelerator.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling is most of its time, and a third as long without LLVM's optimizations and with XLA's
# plain way of emitting what it has fused: its passes over the program remain.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    " --xla_cpu_parallel_codegen_split_count=1"
    # XLA ends where it knows no such flag.
    + " --xla_cpu_use_fusion_emitters=false"
    * importlib.metadata.version("jaxlib").startswith("0.10."),
)

import hypothesis
import jax
import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

# A suite in the background (`pytest &` of a script) is started deaf to Ctrl-C, and so are all that
# it starts; the tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # by nohup: what the tests start must hear it
    signal.signal(signal.SIGHUP, lambda number, frame: None)

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_compilation_cache_dir", str(REPOSITORY / ".cache" / "xla"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

hypothesis.settings.register_profile("suite", derandomize=True, deadline=None, max_examples=20)
hypothesis.settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as fast what is nothing else, and puts it last, to fill the end."""
    for item in items:
        if not any(map(item.get_closest_marker, ("slow", "heavy", "browser"))):
            item.add_marker("fast")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Keeps the last result of the whole `pytest -m heavy`, which is committed."""
    of_all = config.args_source.name != "ARGS" and not config.option.keyword
    if config.option.markexpr != "heavy" or not of_all:
        return
    stats = terminalreporter.stats
    passed = [report for report in stats.get("passed", []) if report.when == "call"]
    seconds = {report.nodeid: round(report.duration) for report in passed}
    result = {
        "command": "pytest -m heavy",
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("jax", "flax", "orbax-checkpoint")},
        **{kind: len(stats.get(kind, [])) for kind in ("passed", "failed", "error", "skipped")},
        "failures": [
            report.nodeid for kind in ("failed", "error") for report in stats.get(kind, [])
        ],
        "seconds": dict(sorted(seconds.items(), key=lambda item: -item[1])[:10]),
    }
    path = REPOSITORY / "tests" / "heavy_result.json"
    path.write_text(json.dumps(result, indent=2) + "\n")


@pytest.fixture(scope="session")
def devices() -> list[Any]:
    """Eight CPU devices: a test that needs them fails without them, and is never skipped."""
    found = jax.devices("cpu")
    assert len(found) == 8, f"the suite needs 8 CPU devices, got {len(found)}"
    return found


@pytest.fixture(scope="session")
def shared_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new directory for what all processes of one session make together."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="module")
def no_rank_promotion() -> Iterator[None]:
    """Broadcasting between different ranks raises: the array functions never rely on it."""
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(scope="session")
def equations() -> Callable[..., list[Any]]:
    """`equations(f, *args)`: every equation of f's program, those of inner programs included."""

    def walk(jaxpr: Any) -> Iterator[Any]:
        for equation in jaxpr.eqns:
            yield equation
            for inner in jax.tree.leaves(list(equation.params.values())):
                if hasattr(inner, "eqns"):
                    yield from walk(inner)

    return lambda function, *arguments: list(walk(jax.make_jaxpr(function)(*arguments)))


@pytest.fixture(scope="session")
def simplex_kernel() -> Callable[[int], np.ndarray]:
    """`simplex_kernel(K)`: columns at the corners of a simplex with 1% noise, as after collapse."""

    def build(num_classes: int) -> np.ndarray:
        columns = np.eye(num_classes) - 1 / num_classes
        columns /= np.linalg.norm(columns, axis=0)
        noise = np.random.default_rng(num_classes).normal(size=columns.shape)
        noise /= np.linalg.norm(noise, axis=0)
        return (columns + 0.01 * noise).astype(np.float32)

    return build
