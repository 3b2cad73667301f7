"""What the thread does that watches for the ends of other processes."""

import json
import threading

import pytest

from simsmooth_jax.machine import ending


class Service:
    """JAX's, in which another process has told its last line after all have saved together."""

    def __init__(self) -> None:
        """Knows nothing."""
        self.values: dict[str, str] = {}

    def key_value_set(self, key: str, value: str, allow_overwrite: bool = False) -> None:
        assert allow_overwrite or key not in self.values
        self.values[key] = value

    def key_value_dir_get(self, directory: str) -> list[tuple[str, str]]:
        ending.done.set()  # by the main thread, that comes to the barrier at this moment
        first = {"process": 0, "status": 143, "message": "SIGTERM: saved"}
        self.values[ending._FIRST] = json.dumps(first)
        return [pair for pair in self.values.items() if pair[0].startswith(directory)]


def test_those_that_stop_together_each_say_so_themselves(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another one may have said it before this one's thread looks for a last time."""
    monkeypatch.setattr(ending, "done", threading.Event())
    monkeypatch.setattr(ending, "jax_service", lambda: (Service(), 1))
    monkeypatch.setattr(ending, "fail", lambda *said: pytest.fail(f"said {said}"))
    ending.watch()
    assert capfd.readouterr() == ("", "")
