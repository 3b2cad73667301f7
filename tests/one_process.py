"""One of several processes: the command line program, which notes the records that it reads.

`main([NOTES, START, SILENCE, *ARGUMENTS])`: START and SILENCE are the seconds that it waits for
others, in the place of minutes.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simsmooth_jax import __main__


class Noted:
    """Examples that write down which of them are taken."""

    def __init__(self, notes: Path, examples: Any, kind: str) -> None:
        self.notes, self.examples, self.kind = notes, examples, kind

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.examples.image_shape

    @property
    def dtype(self) -> Any:
        return self.examples.dtype

    def take(self, indices: Any) -> Any:
        with self.notes.open("a") as file:
            file.write(json.dumps([self.kind, *indices.tolist()]) + "\n")
        return self.examples.take(indices)


def main(arguments: Sequence[str]) -> int:
    """The exit status of the command."""
    notes = Path(arguments[0])
    logging.getLogger("absl").setLevel(logging.ERROR)  # as the program does: Grain has a notice

    from simsmooth_jax.data import streaming
    from simsmooth_jax.machine import ending, processes
    from simsmooth_jax.training import inputs

    processes.START_SECONDS, ending.SILENCE_SECONDS = map(float, arguments[1:3])
    training: Any = streaming.TrainingBatches
    evaluation: Any = streaming.EvaluationBatches
    inputs.TrainingBatches = lambda examples, *rest: training(
        Noted(notes, examples, "train"), *rest
    )
    streaming.EvaluationBatches = lambda examples, *rest: evaluation(
        Noted(notes, examples, f"evaluate {len(examples)}"), *rest
    )
    return __main__.main(arguments[3:])
