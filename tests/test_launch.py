"""The lines of experiments/launch: syntax, options, and one of them in real processes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from program import LIMIT, REPOSITORY, environment, simsmooth

LAUNCH = REPOSITORY / "experiments" / "launch"
SCRIPTS = sorted(path for path in LAUNCH.iterdir() if path.suffix in (".sh", ".sbatch"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_is_sound_and_listed(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    assert f"{script.name} " in (LAUNCH / "README.md").read_text()
    assert f"{script.name} " in script.read_text()  # its own line of use


def test_options_are_those_of_the_command(tmp_path: Path) -> None:
    shown = simsmooth("run", "--help", cwd=tmp_path).stdout
    assert len(SCRIPTS) == 3
    for path in (*SCRIPTS, LAUNCH / "README.md"):
        text = path.read_text().replace("\\\n", "")
        lines = [line for line in text.splitlines() if "simsmooth run" in line or ".sh" in line]
        assert lines, path
        for option in re.findall(r"(?<=[ `])--[a-z-]+", "\n".join(lines).split("--command")[-1]):
            assert option in shown or option == "--kill-on-bad-exit", (path, option)


def gpu_host(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Two processes on CPU devices, one in each: CUDA's variable is for GPUs alone."""
    values = environment() | {"JAX_NUM_CPU_DEVICES": "1", "PORT": "18476"}
    values["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{values['PATH']}"
    command = ["bash", LAUNCH / "gpu-host.sh", "2", "out", "--model", "mlp", "--width", "8"]
    return subprocess.run(
        [*command, "--depth", "1", *options],
        cwd=folder,
        env=values,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


@pytest.mark.heavy
def test_gpu_host_starts_a_process_for_each_device(tmp_path: Path) -> None:
    done = gpu_host(tmp_path, "--epochs", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "out: finished"
    assert (tmp_path / "out" / "report.json").exists()


@pytest.mark.heavy
def test_gpu_host_fails_with_its_processes(tmp_path: Path) -> None:
    failed = gpu_host(tmp_path, "--epochs", "0")
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[0].startswith("simsmooth: --epochs must be ")
