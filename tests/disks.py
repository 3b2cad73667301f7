"""Real disks that are nobody else's: a tmpfs in a namespace that ends with a process.

They need no rights but to make a namespace, and are seen through `/proc`, from outside of it.
"""

import contextlib
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path


@functools.cache
def why_none() -> str:
    """Why there are none here; an empty text where they can be made."""
    if not shutil.which("unshare") or not shutil.which("nsenter"):
        return "no unshare and nsenter here"
    tried = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
    found = subprocess.run(tried, capture_output=True, text=True, check=False)
    return f"no namespace with mounts here: {found.stderr.strip()}" if found.returncode else ""


class Disk:
    """A file system that can be filled, closed and taken away, and mended."""

    def __init__(self, folder: Path) -> None:
        self.place, self.aside = folder / "disk", folder / "aside"
        # `mount` writes in /run itself. A lock's path is resolved to one outside of the namespace:
        # what is made there must not be seen in the place of a disk that was taken away.
        shell = f"mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs {folder} && mkdir {self.place} "
        shell += f"{self.aside} && mount -t tmpfs -o size=8m,nr_inodes=1000 tmpfs {self.place} "
        shell += "&& echo mounted && exec sleep 600"
        self.process = subprocess.Popen(
            ["unshare", "-rm", "sh", "-c", shell], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "mounted\n"
        self.path = Path(f"/proc/{self.process.pid}/root{self.place}")
        self.filler = self.path / "filler"

    def fill(self, free: int) -> None:
        """Leaves so many bytes of it, in whole pages."""
        self.filler.mkdir()
        with (self.filler / "bytes").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(self.path).free - free)

    def fill_names(self, free: int) -> None:
        """Leaves room for so many more files and directories."""
        self.filler.mkdir()
        for number in range(os.statvfs(self.path).f_favail - free):
            (self.filler / str(number)).touch()

    def make_room(self) -> None:
        shutil.rmtree(self.filler)

    def close(self) -> None:
        """Makes it read-only by a mount over it: while files are open it cannot become so."""
        self._inside("mount", "--bind", self.place, self.place)
        self._inside("mount", "-o", "remount,bind,ro", self.place)

    def open(self) -> None:
        self._inside("umount", "-l", self.place)

    def take_away(self) -> None:
        self._inside("mount", "--move", self.place, self.aside)

    def bring_back(self) -> None:
        self._inside("mount", "--move", self.aside, self.place)

    def _inside(self, *command: object) -> None:
        enter = ["nsenter", "-t", str(self.process.pid), "-U", "-m", "--preserve-credentials"]
        subprocess.run([*enter, *map(str, command)], check=True)


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """Such a disk, which is gone at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Disk(folder)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()
