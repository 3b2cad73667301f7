"""The official archives of a TFDS builder: found, downloaded where they can be, and verified."""

import hashlib
import http.client
import shutil
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import wrap_file

from simsmooth_jax.errors import InputError

REACHABLE_SECONDS = 5


def find_archives(builder: Any, names: list[str], manual: Path) -> dict[str, Path]:
    """The named archives, each with the SHA-256 that the builder has recorded.

    They are looked for in the manual directory and in its folder with the set's name; those that
    are in neither are downloaded into it.
    """
    recorded = {Path(url).name: (url, info.checksum) for url, info in builder.url_infos.items()}
    paths = {}
    for name in names:
        places = (manual / name, manual / builder.name / name)
        paths[name] = next((path for path in places if path.is_file()), None)
    missing = [recorded[name] for name in names if paths[name] is None]
    if missing:
        paths |= _download(builder.name, missing, manual)
    for name in names:
        _refuse_other_content(paths[name], recorded[name][1], paths[name])
    return paths


def _refuse_other_content(path: Path, expected: str, shown: str | Path) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"archive {shown}: it must be a file that can be read, got {error.strerror}. "
            "Fetch it again."
        ) from error
    if found != expected:
        raise InputError(
            f"archive {shown}: it must have the SHA-256 {expected} that TFDS has recorded, got "
            f"{found}. Fetch it again, or delete it to have it downloaded."
        )


def _download(name: str, wanted: list[tuple[str, str]], manual: Path) -> dict[str, Path]:
    """Fetches archives, each with its SHA-256, after a short look whether they can be had.

    TFDS would try for minutes. Each process writes a file of its own, which gets the archive's
    name when it is whole.
    """
    paths = {}
    try:
        for url, expected in wanted:
            look = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(look, timeout=REACHABLE_SECONDS).close()
            manual.mkdir(parents=True, exist_ok=True)
            path = manual / Path(url).name
            with (
                urllib.request.urlopen(url, timeout=60) as source,
                tempfile.TemporaryDirectory(prefix=".part-", dir=manual) as directory,
            ):
                part = Path(directory) / path.name
                size = int(source.headers.get("Content-Length", 0))
                console = Console(stderr=True)
                with (
                    part.open("wb") as target,
                    wrap_file(source, size, description=path.name, console=console) as shown,
                ):
                    shutil.copyfileobj(shown, target)
                _refuse_other_content(part, expected, url)
                paths[path.name] = part.replace(path)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"--data {name} must be prepared in --data-dir, or its archives lie in {manual}, or "
            f"the network reach them, got none of these ({reason}). Fetch into that directory: "
            f"{' '.join(url for url, _ in wanted)}"
        ) from error
    return paths
