"""--profile: a trace of a few steps, written where it was asked for."""

import pytest
from program import simsmooth

pytestmark = pytest.mark.slow
TINY = ("--model", "mlp", "--width", 8, "--batch-size", 300)


def test_a_trace_of_the_first_training_is_written(tmp_path):
    output = simsmooth("train", "--epochs", 2, *TINY, "--profile", "trace", cwd=tmp_path).stdout
    traces = list((tmp_path / "trace").rglob("*.xplane.pb"))
    assert len(traces) == 1
    assert b"_train_step" in traces[0].read_bytes()
    assert "Profile of 5 steps: trace. Look at it with" in output


def test_a_file_is_no_directory_for_a_trace(tmp_path):
    (tmp_path / "trace").write_text("mine")
    errors = simsmooth("train", *TINY, "--profile", "trace", cwd=tmp_path, status=2).stderr
    assert errors == (
        "simsmooth: --profile must be a directory, got the file trace. Name a new directory.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["trace"]
