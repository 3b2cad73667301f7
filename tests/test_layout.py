"""The layers of the package: each folder imports only from those before it."""

import ast
import graphlib
import statistics
import sys
from collections import Counter
from pathlib import Path

from program import REPOSITORY

PACKAGE = REPOSITORY / "simsmooth_jax"
METHOD = ["arrays", "relations", "tables", "labels", "losses", "heads", "objectives"]
LAYERS = ["errors", "literals", "config", "machine"]
LAYERS += [*(f"method.{folder}" for folder in METHOD), "method", "metrics"]
LAYERS += ["formats.stores", "formats", "data", "training", "study", "program"]
FILES = [path for path in PACKAGE.rglob("*.py") if not path.name.startswith("__")]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports_of(path: Path) -> set[str]:
    """The package's own modules that a file imports, also inside of functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("simsmooth_jax"):
            base = str(node.module).removeprefix("simsmooth_jax").lstrip(".")
            for alias in node.names:
                whole = ".".join(filter(None, (base, alias.name)))
                place = PACKAGE.joinpath(*whole.split("."))
                is_module = place.with_suffix(".py").exists() or place.is_dir()
                found.add(whole if is_module else base)
    return found


def layer_of(module: str) -> int:
    """The place of its folder among the layers, or of the folder around that."""
    while module not in LAYERS and "." in module:
        module = module.rpartition(".")[0]
    return LAYERS.index(module)


def test_a_folder_imports_only_what_stands_before_it() -> None:
    graph = {name_of(path): imports_of(path) for path in FILES}
    layer = {name: layer_of(name) for name in set().union(graph, *graph.values())}
    assert [(a, b) for a in graph for b in graph[a] if layer[b] > layer[a]] == []
    assert {*graphlib.TopologicalSorter(graph).static_order()} >= {*graph}  # no circle
    assert sum(map(len, graph.values())) > 2 * len(graph)  # the imports were seen


def test_files_are_small_and_their_names_are_their_own() -> None:
    lines = [len(path.read_text().splitlines()) for path in FILES]
    assert max(lines) <= 250
    assert 90 <= statistics.median(lines) <= 150
    assert len([path for path in PACKAGE.iterdir() if path.is_file()]) <= 8
    assert max(Counter(path.parent for path in FILES).values()) <= 12
    assert {path.stem for path in FILES} & {*sys.stdlib_module_names, "profiling"} == set()
