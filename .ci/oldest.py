"""Prints the lower bounds of pyproject.toml as pip's constraints."""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
bounds = project["dependencies"] + project["optional-dependencies"]["dev"]
print("\n".join(bound.replace(">=", "==") for bound in bounds))
