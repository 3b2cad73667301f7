"""Whether a command's ending is honest, told without any code of the program.

Exit 0: all that an undisturbed command has made is there, and holds the same once it is decoded by
NumPy, Safetensors, Pillow, Orbax and hashlib. Otherwise: one line that names what is damaged.
"""

import functools
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy
from orbax.checkpoint import v1 as ocp
from PIL import Image

SUMS, LEDGER = "SHA256SUMS", ".simsmooth-files"
STEP = re.compile(r"(.*/\d+)/.*")


def wrong_content(out: Path, expected: Path) -> Iterator[str]:
    """What an undisturbed directory has and this one lacks, or has otherwise."""
    for name in names(expected):
        found = out / name
        if any((out / part).is_symlink() for part in (name, *_above(name))):
            yield f"{name} is a link"
        elif re.fullmatch(r".*/\d+", name):
            if _tree(found) != _tree(expected / name):
                yield f"{name} holds other numbers"
        elif not found.is_file():
            yield f"{name} is missing"
        elif name == LEDGER:
            whole, now = ({*path.read_bytes().splitlines()} for path in (expected / name, found))
            if lost := {line for line in whole - now if b"/.lock" not in line}:
                yield f"{name} has lost {lost}"
        elif not name.endswith(SUMS) and decoded(found) != decoded(expected / name):
            yield f"{name} has another content"
    for manifest in [
        out / name / SUMS for name in (".", *names(expected)) if (out / name).is_dir()
    ]:
        for line in manifest.read_text().splitlines()[1:]:
            digest, _, name = line.partition("  ")
            listed = manifest.parent / name
            if not listed.is_file():
                yield f"{name} of {manifest} is missing"
            elif hashlib.sha256(listed.read_bytes()).hexdigest() != digest:
                yield f"{name} is not as {manifest} says"


def _above(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


@functools.cache
def names(directory: Path) -> list[str]:
    """Files by name, and of each training its last step."""
    found, last = [], dict[str, int]()
    for path in directory.rglob("*"):
        name = path.relative_to(directory).as_posix()
        if step := STEP.fullmatch(name):
            training, _, number = step[1].rpartition("/")
            last[training] = max(int(number), last.get(training, 0))
        elif path.is_file() and not path.name.startswith(".lock"):
            found.append(name)
    return sorted([*found, *(f"{training}/{number}" for training, number in last.items())])


def decoded(path: Path) -> Any:
    """A file's content as its own library gives it."""
    whole = path.read_bytes()
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {name: _array(arrays[name]) for name in arrays.files}
    if path.suffix == ".safetensors":
        return {name: _array(v) for name, v in safetensors.numpy.load(whole).items()}
    if path.suffix == ".json":
        return json.loads(whole)
    if path.suffix == ".jsonl":
        lines = [json.dumps(json.loads(line), sort_keys=True) for line in whole.splitlines()]
        return sorted({*lines} if path.name.startswith("rows-") else lines)  # a row is one twice
    if path.suffix == ".png":
        with Image.open(path) as image:
            return image.size, image.tobytes()
    return whole


def _array(value: Any) -> tuple[str, tuple[int, ...], bytes]:
    value = np.asarray(value)
    return str(value.dtype), value.shape, value.tobytes()


def _tree(step: Path) -> Any:
    if not step.is_dir():
        return None
    files = sorted(path for path in step.rglob("*") if path.is_file())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    return _loaded(step, digest)


@functools.lru_cache(64)
def _loaded(step: Path, digest: str) -> Any:
    """The numbers of an Orbax step, by its files' content."""
    try:
        leaves, structure = jax.tree.flatten(ocp.load(str(step)))
        return str(structure), [_array(leaf) for leaf in leaves]
    except Exception as error:
        return f"{digest} is unreadable: {error}"


def wrong_ending(status: int | str, said: str, damaged: list[str]) -> str:
    """What is wrong with an ending that is none of success, or an empty text."""
    lines = [line for line in said.splitlines() if line and "━" not in line]  # a bar
    lines = [line for line in lines if not line.startswith("simsmooth: warning: ")]
    if status not in (1, 2):
        return f"status {status}"
    if len(lines) != 1 or not lines[0].startswith("simsmooth: "):
        return f"{len(lines)} lines: {said}"
    parts = {part for name in damaged for part in (name, os.path.basename(name))}
    parts |= {step[1] for name in damaged if (step := STEP.fullmatch(name))}
    if not any(part in lines[0] for part in parts):
        return f"does not name {damaged}: {lines[0]}"
    return ""


def everything(directory: Path) -> dict[str, str]:
    """All that lies in a directory, links as such, for what must stay as it is."""
    found = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "directory" if path.is_dir() else "no file"
    return found
