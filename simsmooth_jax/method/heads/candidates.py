"""Arrays that may be a network's final layer: what their names and shapes say for and against."""

import dataclasses
import re
from collections.abc import Mapping

HEAD = "head"
# In Flax and timm; torchvision; Hugging Face; Haiku.
HEADS = (HEAD, "fc", "classifier", "logits")
INSIDE = ("linear", "out_proj")  # what the matrix is called inside of a module with such a name
# Layers that are like a head and are another one, or a table of vectors that has no inputs.
OTHERS = re.compile(
    r"aux.*|bbox.*|.*_dist|.*_distill|distillation_.*|pre_?(logits|classifier)", re.I
)
TABLES = re.compile(r"(.*_)?(embed|embedding|embeddings|wte|wpe|shared|.*_bias)(_.*)?", re.I)
WIDE = 64  # outputs: fewer are as many as another layer's inputs by chance

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An array that may be the head's kernel.

    `module` is its path without the leaf; `num_classes` are the sizes that its class axis may have,
    `outputs` and `inputs` those of its two axes where its name says which is which.
    """

    shape: tuple[int, ...]
    module: tuple[str, ...]
    num_classes: frozenset[int]
    outputs: int | None
    inputs: int | None
    has_bias: bool = False
    is_flax: bool = True

    @property
    def is_matrix(self) -> bool:
        """Also one whose leading axis is a copy for each device."""
        return bool(self.num_classes) and len(self.shape) <= 3

    @property
    def layers(self) -> tuple[str, ...]:
        """Its module without the places in a Sequential."""
        return tuple(part for part in self.module if not part.isdigit())

    @property
    def place(self) -> int | None:
        """Its place in a Sequential."""
        return int(self.module[-1]) if self.module and self.module[-1].isdigit() else None

    @property
    def has_head_name(self) -> bool:
        """Whether the module, or the one that it is the matrix of, is called as heads are."""
        last = self.layers[-1:]
        inside = last[:1] and last[0] in INSIDE
        return any(part in HEADS for part in (self.layers[-2:-1] if inside else last))

    def may_have(self, num_classes: int) -> bool:
        """Whether it is a matrix of a final layer with so many classes, as far as one can see."""
        fits = num_classes in (self.num_classes if self.outputs is None else (self.outputs,))
        return fits and self.is_matrix and not self.is_other

    @property
    def is_other(self) -> bool:
        """Whether the names say that it is another layer than the head."""
        if any(OTHERS.fullmatch(part) for part in self.layers):
            return True
        return any(TABLES.fullmatch(part) for part in self.layers[-2:])


def doubts_of(candidates: Mapping[Path, Candidate]) -> dict[Path, str]:
    """Why some that have a head's name may be inner layers."""
    inputs = {candidate.inputs for candidate in candidates.values()}
    outer = [
        len(candidate.layers)
        for candidate in candidates.values()
        if candidate.num_classes and candidate.has_bias and not candidate.has_head_name
    ]
    doubts = {}
    for path, candidate in candidates.items():
        if not candidate.has_head_name or (candidate.is_flax and candidate.module[-1] == HEAD):
            continue
        if not candidate.num_classes:
            doubts[path] = "no matrix" if len(candidates) > 1 else ""
        elif candidate.is_other:
            doubts[path] = "another head"
        elif len(candidate.layers) > min(outer, default=len(candidate.layers)):
            doubts[path] = "inside of others"
        elif candidate.place == 0:
            doubts[path] = "the first of several"
        elif (candidate.outputs or 0) >= WIDE and candidate.outputs in inputs:
            doubts[path] = f"layers take {candidate.outputs} inputs"
    return {path: doubt for path, doubt in doubts.items() if doubt}


def parts_of(path: Path) -> Path:
    """The parts of a path, whose names may be paths as `fc.weight`, without a box's `value`."""
    parts = tuple(re.split(r"[./]", "/".join(path)))
    return parts[:-1] if len(parts) > 1 and parts[-1] == "value" else parts


def flax_candidate(path: Path, shape: tuple[int, ...], has_bias: bool = False) -> Candidate:
    """A leaf named `kernel`, or Haiku's `w`: features and classes are its last axes.

    Args:
      path: the leaf's path.
      shape: two dimensions or more.
      has_bias: whether a vector stands beside it.

    Returns:
      What is asked of it when the head is searched.
    """
    module = tuple(part for part in parts_of(path)[:-1] if part not in ("params", "~"))
    is_spatial = any(size > 1 for size in shape[-4:-2]) and shape[3:] != ()
    classes = frozenset() if is_spatial else frozenset(shape[-1:])
    inputs, outputs = shape[-2:]
    return Candidate(shape, module, classes, outputs, inputs, has_bias)
