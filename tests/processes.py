"""Processes of one command on this machine, and the images that they train on."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import one_process
from program import LIMIT, Forked

OPTIONS = ("--data", "npz:images.npz", "--model", "mlp", "--width", 8, "--depth", 1)
OPTIONS += ("--batch-size", 16, "--learning-rate", 0.1, "--checkpoint-every", 1)
STEPS, TRAIN, VALIDATION, TEST = 5, 90, 10, 300  # of an epoch; 2 batches of the test images


def write_images(path: Path) -> Path:
    """Images of three classes, which lie in three places, and the folder that they are in."""
    random = np.random.RandomState(0)
    arrays: dict[str, Any] = {}
    for split, count in (("train", TRAIN + VALIDATION), ("test", TEST)):
        labels = random.randint(0, 3, count)
        images = random.randint(0, 200, (count, 3, 3)) + 55 * np.eye(3, dtype=int)[labels][:, None]
        arrays |= {f"{split}_images": images.astype(np.uint8), f"{split}_labels": labels}
    np.savez(path / "images.npz", **arrays)
    return path


class Processes:
    """Processes of one command, numbered; what they print goes to files."""

    def __init__(
        self,
        cwd: Path,
        *arguments: object,
        count: int = 2,
        start: int = LIMIT,
        silence: int = LIMIT,
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.cwd, self.count, self.bounds = cwd, count, (start, silence)
        self.started: list[Forked] = []
        for process in range(count):
            self.start(process, *arguments)

    def start(self, process: int, *arguments: object, devices: int | None = None) -> None:
        name = self.cwd / f"{self.port}-{process}"
        variables = {"JAX_NUM_CPU_DEVICES": str(devices or 8 // self.count)}
        command: list[object] = [f"{name}.notes", *self.bounds, *arguments]
        if self.count > 1:
            command += ["--coordinator", f"127.0.0.1:{self.port}"]
            command += ["--num-processes", self.count, "--process-id", process]
        files = [Path(f"{name}.{kind}") for kind in ("out", "err")]
        for file in files:
            file.touch()
        one = Forked(
            *command, cwd=self.cwd, main=one_process.main, variables=variables, files=files
        )
        self.started.append(one)

    def read(self, process: int, kind: str) -> str:
        return (self.cwd / f"{self.port}-{process}.{kind}").read_text()

    def notes(self, process: int) -> list[list[Any]]:
        return [json.loads(line) for line in self.read(process, "notes").splitlines()]

    def statuses(self) -> list[int]:
        """How all of them end, within a bound."""
        deadline = time.monotonic() + LIMIT
        return [process.wait(deadline - time.monotonic()) for process in self.started]

    def succeed(self) -> None:
        found = self.statuses()
        assert found == [0] * self.count, [self.read(p, "err") for p in range(self.count)]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < deadline
            assert all(p.poll() is None for p in self.started), [
                self.read(p, "err") for p in range(self.count)
            ]
            time.sleep(0.001)

    def kill(self) -> None:
        for process in self.started:
            process.kill()
        for process in self.started:
            process.wait()


@contextlib.contextmanager
def none_outlives(folder: Path) -> Iterator[Callable[..., Processes]]:
    """Starts processes in a folder, and kills those that are left at the end."""
    made: list[Processes] = []

    def start(*arguments: object, **options: Any) -> Processes:
        made.append(Processes(folder, *arguments, **options))
        return made[-1]

    try:
        yield start
    finally:
        for some in made:
            some.kill()
