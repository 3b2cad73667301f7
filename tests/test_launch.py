"""The lines of experiments/launch: syntax, options, and one of them in real processes."""

import os
import re
import subprocess
import sys
import time
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


def test_gpu_host_passes_a_signal_on_and_says_what_the_status_means(tmp_path: Path) -> None:
    """With programs in the place of `simsmooth` that wait for it, and then take their time."""
    program = tmp_path / "simsmooth"
    program.write_text(
        "#!/bin/bash\ntrap 'sleep 0.2; touch $$; exit 143' TERM\n"
        "touch started-$$\nfor i in {1..600}; do sleep 0.1; done\n"
    )
    program.chmod(0o755)
    values = environment() | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    script = subprocess.Popen(
        ["bash", LAUNCH / "gpu-host.sh", "2", "out"],
        cwd=tmp_path,
        env=values,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len([*tmp_path.glob("started-*")]) < 2:
        assert script.poll() is None
        time.sleep(0.01)
    script.terminate()
    errors = script.communicate(timeout=LIMIT)[1]
    assert script.returncode == 143
    assert len([path for path in tmp_path.iterdir() if path.name.isdigit()]) == 2  # to their ends
    assert "143: stopped by a signal; the same line goes on" in errors


@pytest.mark.heavy
def test_gpu_host_fails_with_its_processes(tmp_path: Path) -> None:
    failed = gpu_host(tmp_path, "--epochs", "0")
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[0].startswith("simsmooth: --epochs must be ")
