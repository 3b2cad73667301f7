"""Archives of tiny features: three classes that a line separates."""

from pathlib import Path
from typing import Any

import numpy as np

RANDOM = np.random.RandomState(0)
CENTRES = 4 * np.eye(3, 5) + 7  # far from zero, where embeddings may lie
LABELS = {"train": np.arange(60) % 3, "test": np.arange(18) % 3}
ARRAYS: dict[str, Any] = {"class_names": np.array(["ant", "bee", "cat"])}
for part, labels in LABELS.items():
    noise = RANDOM.normal(size=(len(labels), 5))
    ARRAYS |= {f"{part}_features": (CENTRES[labels] + noise / 2).astype(np.float16)}
    ARRAYS |= {f"{part}_labels": labels}


def save(path: Path, **changes: Any) -> Path:
    """An archive of these arrays but for the changes; what is None is left out."""
    arrays = {name: value for name, value in (ARRAYS | changes).items() if value is not None}
    np.savez(path, **arrays)
    return path
