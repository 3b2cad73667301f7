"""How the package is built: `python experiments/rooms.py [PACKAGE]`, at once.

Rooms are modules (a file that only re-exports or documents a folder is none), floors the longest
way of imports from the ground up, and arrows the imports of one module by another, also inside of
functions. With another checkout's folder as PACKAGE it counts that one.
"""

import ast
import graphlib
import sys
from collections import Counter
from pathlib import Path


def imports_of(package: Path, file: Path) -> set[Path]:
    """The modules of the package that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        parts = node.module.split(".")
        if parts[0] != package.name:
            continue
        folder = package.joinpath(*parts[1:])
        for name in [alias.name for alias in node.names]:
            places = (folder / f"{name}.py", folder.with_suffix(".py"), folder / "__init__.py")
            found |= set([place for place in places if place.exists()][:1])
    return found - {file}


def main() -> None:
    """Counts and prints."""
    package = Path(sys.argv[1] if len(sys.argv) > 1 else "simsmooth_jax").resolve()
    files = [file for file in package.rglob("*.py") if "import" in file.read_text()]
    files = [file for file in files if file.parent != package or not file.name.startswith("__")]
    graph = {file: imports_of(package, file) for file in files}
    floors: dict[Path, int] = {}
    for file in graphlib.TopologicalSorter(graph).static_order():  # raises on a circle
        floors[file] = 1 + max((floors[below] for below in graph.get(file, ())), default=0)
    lines = sorted(len(file.read_text().splitlines()) for file in files)
    folders = Counter(str(file.parent.relative_to(package)) for file in files)
    print(
        f"{len(files)} rooms on {max(floors.values())} floors, "
        f"{sum(map(len, graph.values()))} import arrows, none back"
    )
    print(f"lines of a file: median {lines[len(lines) // 2]}, most {lines[-1]}")
    between = {(a.parent, b.parent) for a in graph for b in graph[a] if a.parent != b.parent}
    print(f"{len(folders)} folders with {len(between)} arrows between them")
    print("files: " + ", ".join(f"{name} {count}" for name, count in sorted(folders.items())))


if __name__ == "__main__":
    main()
