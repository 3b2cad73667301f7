"""The package's front: nothing heavy at import, every public name at first use."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import simsmooth_jax as ss

SOURCE = ast.parse(Path(str(ss.__file__)).read_text())


def in_a_fresh_interpreter(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_import_loads_nothing_heavy():
    program = """
import sys
before = set(sys.modules)
import simsmooth_jax
assert not {"jax", "jaxlib", "numpy", "flax", "optax", "scipy"} & set(sys.modules)
dir(simsmooth_jax)
new = {name.split(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
print(*sorted(new))
simsmooth_jax.cosine_similarity
assert "jax" in sys.modules
assert "cosine_similarity" in vars(simsmooth_jax)
"""
    assert in_a_fresh_interpreter(program) == "simsmooth_jax"


def test_import_sets_no_option_of_jax():
    program = """
import jax
before = dict(jax.config.values)
import simsmooth_jax
for name in simsmooth_jax.__all__:
    getattr(simsmooth_jax, name)
print([name for name, value in jax.config.values.items() if before.get(name, value) != value])
"""
    assert in_a_fresh_interpreter(program) == "[]"


@pytest.mark.parametrize("name", ss.__all__)
def test_public_names_resolve_to_documented_objects_of_their_own(name):
    value = getattr(ss, name)
    assert value is getattr(ss, name)
    assert value.__name__ == name
    assert value.__module__.startswith("simsmooth_jax.")
    assert value is getattr(importlib.import_module(value.__module__), name)
    assert inspect.getdoc(value)


@pytest.mark.parametrize("name", [n for n in ss.__all__ if inspect.isfunction(getattr(ss, n))])
def test_functions_say_args_returns_raises_source_and_show_an_example(name):
    doc = inspect.getdoc(getattr(ss, name)) or ""
    for part in ("\nArgs:\n", "\nReturns:\n", "\nRaises:\n", "\nSource: CN 112434722 A", "  >>> "):
        assert part in doc, part
    for parameter in inspect.signature(getattr(ss, name)).parameters:
        assert f"\n  {parameter}: " in doc, parameter


def test_dir_lists_the_public_names():
    assert set(ss.__all__) <= set(dir(ss))
    assert list(ss.__all__) == sorted(ss.__all__)


def test_unknown_attributes_are_attribute_errors():
    with pytest.raises(AttributeError, match="module 'simsmooth_jax' has no attribute 'cosine'"):
        _ = ss.cosine  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ImportError, match="cannot import name 'cosine'"):
        exec("from simsmooth_jax import cosine")
    assert not hasattr(ss, "__wrapped__")


def test_types_names_and_modules_agree():
    (typed,) = [node for node in SOURCE.body if isinstance(node, ast.If)]
    assert ast.unparse(typed.test) == "TYPE_CHECKING"
    imports = [node for node in typed.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(typed.body)
    home = {alias.name: str(node.module) for node in imports for alias in node.names}
    assert home == {name: f"simsmooth_jax.{module}" for name, module in ss._MODULES.items()}
    assert sorted(home) == sorted(ss.__all__)
