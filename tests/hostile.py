"""Files that somebody has made to harm whoever names them, one for each way; nothing is read here.

`python tests/hostile.py DIRECTORY` writes and reads every one and says what that has cost.
"""

import io
import json
import os
import resource
import signal
import socket
import struct
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import safetensors.numpy
import tensorstore as ts

import simsmooth_jax as ss

MIB = 2**20
KERNEL = np.arange(32, dtype=np.float32).reshape(8, 4) - 9
SECONDS, BYTES, LETTERS = 5, 500 * MIB, 700  # of a refusal; of its line without paths
DEEP = "[" * 100_000


def orbax(path: Path) -> Path:
    """A tree of one head as Orbax lays it out, with Zarr's files in the open."""
    path.mkdir(parents=True, exist_ok=True)
    keys = [{"key": "head", "key_type": 2}, {"key": "kernel", "key_type": 2}]
    value = {"value_type": "jax.Array", "skip_deserialize": False}
    entry = {"key_metadata": keys, "value_metadata": value}
    tree = {"tree_metadata": {"('head', 'kernel')": entry}, "use_ocdbt": False, "use_zarr3": False}
    (path / "_METADATA").write_text(json.dumps(tree))
    noted = {"custom_metadata": {"class_names": list("abcd"), "class_counts": [1, 2, 3, 4]}}
    noted |= {"commit_timestamp_nsecs": 5, "item_handlers": "x"}
    (path / "_CHECKPOINT_METADATA").write_text(json.dumps(noted))
    kvstore = {"driver": "file", "path": f"{path}/head.kernel/"}
    spec = {"driver": "zarr", "kvstore": kvstore, "metadata": {"shape": [8, 4], "dtype": "<f4"}}
    ts.open(spec, create=True, delete_existing=True).result().write(KERNEL).result()
    return path


def npz(path: Path, **arrays: Any) -> Path:
    arrays = {"kernel": KERNEL} | arrays
    np.savez(path, **arrays)
    return path


def weights(path: Path, **metadata: str) -> Path:
    safetensors.numpy.save_file({"fc.weight": KERNEL.T.copy()}, path, metadata)
    return path


def sparse(path: Path, size: int, start: bytes = b"") -> Path:
    """A file that claims a size and takes no place."""
    path.write_bytes(start)
    os.truncate(path, size)
    return path


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# What a file that is named, or stands beside it, may turn out to be.
def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        before = os.getcwd()
        os.chdir(path.parent)  # an address has a hundred bytes
        try:
            made.bind(path.name)
        finally:
            os.chdir(before)


ODD: dict[str, Callable[[Path], Any]] = {
    "pipe": _pipe,
    "socket": _socket,
    "directory": Path.mkdir,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "device": lambda path: path.symlink_to("/dev/tty"),
    "circle": lambda path: path.symlink_to(path.name),
    "nowhere": lambda path: path.symlink_to("nothing"),
    "empty": Path.touch,
    "giant": lambda path: sparse(path, 2**40),
    "no text": lambda path: path.write_bytes(b"\xff\xfe" * 99),
    "deep": lambda path: path.write_text(DEEP),
    "of numbers": lambda path: path.write_text("9" * 5000),
    "long": lambda path: path.write_text(json.dumps({"\x1b[31m" * 10**6: 1})),
}


def _long_names(path: Path) -> Path:
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"{k}." + "x" * 5_000_000: entry for k in range(3)}).encode()
    return written(path, struct.pack("<Q", len(header)) + header)


def _many_members(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(21_000):
            archive.writestr(f"{number}.npy", b"")
    return path


def _bomb(path: Path) -> Path:
    """300 MB of zeros as an array, in 300 kB."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f4", "fortran_order": False, "shape": (75 * MIB, 1)}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:  # noqa: SIM117
        with archive.open("kernel.npy", "w", force_zip64=True) as file:
            file.write(head.getvalue())
            for _ in range(300):
                file.write(bytes(MIB))
    return path


def _claiming(path: Path) -> Path:
    """An archive whose list says that a member has 4 GB."""
    content = bytearray(npz(path).read_bytes())
    place = content.rindex(b"PK\x01\x02")
    content[place + 24 : place + 28] = struct.pack("<I", 2**32 - 2)
    return written(path, bytes(content))


def _many_arrays(path: Path) -> Path:
    tree = json.loads((orbax(path) / "_METADATA").read_text())
    ((name, entry),) = tree["tree_metadata"].items()
    tree["tree_metadata"] = {f"{name}{k}": entry for k in range(30_000)}
    (path / "_METADATA").write_text(json.dumps(tree))
    return path


def _with(name: str, content: str) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        (orbax(path) / name).write_text(content)
        return path

    return make


TWICE = '{"tree_metadata": {}, "tree_metadata": {}}'
NPY = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31)
SIZES: dict[str, Callable[[Path], Path]] = {
    "header.safetensors": lambda path: sparse(path, 2**30, struct.pack("<Q", 2**29)),
    "claims.safetensors": lambda path: written(path, struct.pack("<Q", 2**63) + b'{"a"'),
    "names.safetensors": _long_names,
    "header.npy": lambda path: sparse(path, 2**32, NPY),
    "axes.npy": lambda path: written(
        path,
        b"\x93NUMPY\x01\x00"
        + struct.pack("<H", 9000)
        + f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({'1,' * 2000})}}".encode().ljust(
            9000
        )
        + bytes(4),
    ),
    "members.npz": _many_members,
    "bomb.npz": _bomb,
    "claiming.npz": _claiming,
    "key.msgpack": lambda path: written(path, bytes(msgpack.packb({"k" * 10**7: 1}) or b"")),
    "lists.msgpack": lambda path: written(path, b"\x81\xa1a\xdd\xff\xff\xff\xff" + b"\xc0" * 10**7),
    "deep.msgpack": lambda path: written(path, b"\x81\xa1a" * 10**5),
    "arrays": _many_arrays,
    "twice": _with("_METADATA", TWICE),
    "nested": _with("_METADATA", '{"tree_metadata": ' + DEEP),
    "zarr": _with("head.kernel/.zarray", " " * 2 * MIB),
    "manifest": _with("manifest.ocdbt", " " * 2 * MIB),
}


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Ends what waits for ever."""

    def stop(*_: Any) -> None:
        raise AssertionError(f"not ended after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refusal(read: Callable[[], Any], *paths: Path) -> str | None:
    """The one line of a refusal, or None where it was read; anything else is an error."""
    began = time.process_time()
    try:
        with within(60):
            read()
        return None
    except (ss.InputError, OSError) as error:
        line = str(error)
    spent = time.process_time() - began
    assert spent < SECONDS, f"{spent:.1f} s for: {line[:300]}"
    assert line.isprintable(), ascii(line[:300])
    rest = line
    for path in paths:
        rest = rest.replace(str(path), "")
    assert len(rest) < LETTERS, line[:2000]
    return line


def main(directory: Path) -> dict[str, Any]:
    """Memory and seconds of all together."""
    ss.restore_head(npz(directory / "first.npz"))  # what is imported for it
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    held = {}
    for name, make in SIZES.items():
        path = make(directory / name)
        held[name] = refusal(lambda path=path: ss.restore_head(path), path)
    spent = time.process_time() - began
    more = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    return {"lines": held, "bytes": more, "seconds": spent}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
