"""The README's map of the package is complete, and imports run one way on it."""

import ast
import graphlib
import re
from pathlib import Path

from program import REPOSITORY

PACKAGE = REPOSITORY / "simsmooth_jax"
MAP = (REPOSITORY / "README.md").read_text().split("## Where things are")[1].split("## ")[0]


def modules_in(text: str) -> list[str]:
    return re.findall(r"`(\w+)(?:\.py|/)`", text)


def module_of(path: Path) -> str:
    """`data/` counts as one module."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """The package's own modules that a file imports, also inside of functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("simsmooth_jax"):
            parts = str(node.module).split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found - {module_of(path)}


def layers() -> dict[str, int]:
    served, table = MAP.split("\n\n| the method", 1)
    rank = dict.fromkeys(modules_in(served), 0)
    for row in table.splitlines()[2:]:
        cells = row.strip().strip("|").split("|")
        rank |= {m: layer for layer, cell in enumerate(cells, 1) for m in modules_in(cell)}
    return rank


def test_the_map_names_every_module() -> None:
    modules = {module_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__", "__main__"}
    assert set(layers()) == modules


def test_imports_run_one_way() -> None:
    rank = layers()
    files = [path for path in PACKAGE.rglob("*.py") if module_of(path) in rank]
    graph: dict[str, set[str]] = {}
    for path in files:
        graph.setdefault(module_of(path), set()).update(imports_of(path))
    upward = [(a, b) for a in graph for b in graph[a] if rank[b] > rank[a]]
    assert upward == []
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(rank)
    assert sum(map(len, graph.values())) > len(rank)  # the imports were seen
