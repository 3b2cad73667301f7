"""Which of a network's kernels is its final layer: by name, by the number of classes, or refused.

A wrong layer would give labels that nobody notices to be wrong: what is not sure is refused, with
what would make it sure.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.heads.candidates import HEAD, HEADS, Candidate, Path, doubts_of, parts_of

LISTED = 8  # candidates that an error names


class Found(NamedTuple):
    """The kernel that was found, and why where it is not by its name."""

    path: Path
    because: str


def find_kernel(
    where: str,
    candidates: Mapping[Path, Candidate],
    head: str | None,
    num_classes: int | None,
    named_classes: int | None = None,
) -> Found:
    """The one candidate that is the head's kernel.

    Args:
      where: what an error's line starts with.
      candidates: at least one, by path.
      head: whole, contiguous parts of the path, separated by `/` or `.`; a whole path as it is
        listed goes before parts.
      num_classes: K, a size that the class axis must be able to have.
      named_classes: how many names of classes there are, a K that need not be right.

    Returns:
      The path of the one that holds `head`; else of the one whose module has a head's name and
      that no other speaks against; else of the one in no module; else of the only matrix with
      `num_classes` or `named_classes`.

    Raises:
      ValueError: none, or more than one, fits. The message lists them with their shapes, the
        likeliest first, and says how to name that.
    """
    doubts = doubts_of(candidates)
    because = ""
    if head is not None:
        found = [path for path in candidates if "/".join(path) == head]
        wanted = tuple(part for part in re.split(r"[./]", head) if part)
        found = found or [p for p in candidates if _contains(("params", *parts_of(p)), wanted)]
        asked = f"head={head!r}"
    else:
        found = _of_head_name(candidates, doubts)
        found = found or [path for path in candidates if not candidates[path].module]
        asked = f"be known by a name, as {', '.join(HEADS[:-1])} or {HEADS[-1]}"
    if num_classes is not None and found:
        asked = f"num_classes={num_classes}" if head is None else f"{asked}, {num_classes=}"
        found = [path for path in found if num_classes in candidates[path].num_classes]
    elif head is None and not found and (known := num_classes or named_classes):
        asked = f"num_classes={known}"
        found = [path for path in candidates if candidates[path].may_have(known)]
        because = f"the only matrix of {known} classes"
    if len(found) == 1:
        return Found(found[0], because)
    paths = sorted(found or candidates, key=lambda path: _rank(path, candidates, doubts))
    if num_classes is not None and not found:  # what fits it comes first
        paths.sort(key=lambda path: num_classes not in candidates[path].num_classes)
    listed = [_shown(path, candidates[path], doubts) for path in paths[:LISTED]]
    more = f", and {len(paths) - LISTED} more" if len(paths) > LISTED else ""
    raise InputError(
        f"{where}: exactly one kernel",
        asked if asked.startswith("be ") else f"fit {asked}",
        f"{len(found) or 'none of'}: {', '.join(listed)}{more}",
        _way_out(paths[0], candidates, num_classes),
    )


def _way_out(path: Path, candidates: Mapping[Path, Candidate], num_classes: int | None) -> str:
    """What would take this one."""
    likeliest = candidates[path]
    option = f"`head={'/'.join(path)!r}`"
    if num_classes is not None and num_classes not in likeliest.num_classes:
        size = likeliest.outputs
        return f"Try {option} {f'with `num_classes={size}`' if size else 'without `num_classes`'}."
    size, others = likeliest.outputs, [c for p, c in candidates.items() if p != path]
    if size is None or size < 2 or num_classes is not None or not likeliest.may_have(size):
        return f"Try {option}."
    named = [c for c in others if c.has_head_name and not c.is_other]
    if named or any(other.may_have(size) for other in others):
        return f"Try {option}."
    return f"Try {option}, or `num_classes={size}` if these are your classes."


def _of_head_name(candidates: Mapping[Path, Candidate], doubts: Mapping[Path, str]) -> list[Path]:
    """Those whose module has a head's name: of a Sequential the last, and of Flax `head` first."""
    heads = [p for p, c in candidates.items() if c.is_flax and c.module[-1:] == (HEAD,)]
    if heads:
        return heads
    named = [p for p, c in candidates.items() if c.has_head_name and not c.is_other]
    lasts: dict[Path, int] = {}
    for path in named:
        candidate = candidates[path]
        if candidate.place is not None:
            sequence = candidate.module[:-1]
            lasts[sequence] = max(candidate.place, lasts.get(sequence, 0))
    return [
        path
        for path in named
        if path not in doubts
        and candidates[path].place in (None, lasts.get(candidates[path].module[:-1]))
    ]


def _rank(
    path: Path, candidates: Mapping[Path, Candidate], doubts: Mapping[Path, str]
) -> tuple[object, ...]:
    """The likeliest first: a matrix of a head's name, whose outputs no other takes, far out."""
    candidate = candidates[path]
    inputs = {c.inputs for p, c in candidates.items() if p != path}
    numbers = [-int(digits) for digits in re.findall(r"\d+", "/".join(path))]
    return (
        not candidate.num_classes,
        candidate.is_other,
        not candidate.has_head_name or path in doubts,
        not candidate.is_matrix,
        candidate.outputs in inputs,
        len(candidate.layers),
        not candidate.has_head_name,
        not candidate.has_bias,
        numbers,
        path,
    )


def _shown(path: Path, candidate: Candidate, doubts: Mapping[Path, str]) -> str:
    doubt = f" ({doubts[path]})" if path in doubts else ""
    return f"{'/'.join(path)} {list(candidate.shape)}{doubt}"


def _contains(path: Path, wanted: Path) -> bool:
    starts = range(len(path) - len(wanted) + 1)
    return bool(wanted) and any(path[i : i + len(wanted)] == wanted for i in starts)
