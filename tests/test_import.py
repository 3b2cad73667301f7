"""The package's front: nothing heavy at import, every public name at first use."""

import functools
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import simsmooth_jax as ss

NAMES = [*ss.__all__, *(f"objectives.{name}" for name in ss.objectives.__all__)]
NAMES += [f"metrics.{name}" for name in ss.metrics.__all__]


def public(name: str) -> Any:
    return functools.reduce(getattr, name.split("."), ss)


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
"""
    assert in_a_fresh_interpreter(program) == "lazy_loader simsmooth_jax"


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


@pytest.mark.parametrize("name", NAMES)
def test_public_names_resolve_to_documented_objects_of_their_own(name):
    value = public(name)
    assert value is public(name)
    assert inspect.getdoc(value)
    if not inspect.ismodule(value):
        assert value.__name__ == name.split(".")[-1]
        assert value.__module__.startswith("simsmooth_jax.")
        assert value is getattr(importlib.import_module(value.__module__), value.__name__)


@pytest.mark.parametrize("name", [n for n in NAMES if inspect.isfunction(public(n))])
def test_functions_say_args_returns_raises_source_and_show_an_example(name):
    doc = inspect.getdoc(public(name)) or ""
    for part in ("\nArgs:\n", "\nReturns:\n", "\nRaises:\n", "\nSource: ", "  >>> "):
        assert part in doc, part
    for parameter in inspect.signature(public(name)).parameters:
        assert f"\n  {parameter}: " in doc, parameter


def test_dir_lists_the_public_names_alone():
    assert list(ss.__all__) == sorted(ss.__all__) == dir(ss)


def test_unknown_attributes_are_attribute_errors():
    with pytest.raises(AttributeError, match="No simsmooth_jax attribute cosine"):
        _ = ss.cosine  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ImportError, match="cannot import name 'cosine'"):
        exec("from simsmooth_jax import cosine")
    assert not hasattr(ss, "__wrapped__")


@pytest.mark.slow
def test_pyright_knows_every_public_name_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "user.py"
    lines = [
        "import simsmooth_jax as ss",
        *(f"ss.{name}" for name in ss.__all__),
        "ss.no_such_name",
    ]
    file.write_text("\n".join(lines))
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
    command += ["--outputjson", str(file)]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    errors = [e for e in json.loads(found)["generalDiagnostics"] if e["severity"] == "error"]
    assert [error["rule"] for error in errors] == ["reportAttributeAccessIssue"]
    assert '"no_such_name" is not a known attribute' in errors[0]["message"]
