"""Directories in buckets, gs:// and s3://: listed and read by TensorStore's own drivers.

Each needs what its driver needs and no other package: Google's application default credentials, or
AWS's variables and files. An endpoint of another kind of server is told as to its own programs:
`TENSORSTORE_GCS_HTTP_URL`, `AWS_ENDPOINT_URL`.
"""

import dataclasses
import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import tensorstore as ts

from simsmooth_jax.errors import InputError, first_line

COPY = {"gs": "gcloud storage cp -r {} .", "s3": "aws s3 cp --recursive {} ."}
ACCESS = {
    "gs": "Log in with: gcloud auth application-default login",
    "s3": "Log in with: aws configure, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
}
SECONDS = 120  # for a listing; TensorStore tries for many minutes


@dataclasses.dataclass(frozen=True, order=True)
class BucketPath:
    """A place in a bucket, with those methods of a `pathlib.Path` that reading a tree needs."""

    scheme: str
    bucket: str
    key: str
    root: str = dataclasses.field(compare=False)  # what was listed

    def __str__(self) -> str:
        """The URL."""
        return f"{self.scheme}://{self.bucket}/{self.key}".rstrip("/")

    def __truediv__(self, name: str) -> "BucketPath":
        """A place below it."""
        return dataclasses.replace(self, key=f"{self.key}/{name}".strip("/"))

    @property
    def name(self) -> str:
        """Its last part."""
        return self.key.rpartition("/")[2] or self.bucket

    @property
    def parent(self) -> "BucketPath":
        """The place that it is in."""
        return dataclasses.replace(self, key=self.key.rpartition("/")[0])

    def relative_to(self, other: "BucketPath") -> PurePosixPath:
        """Its way from another."""
        return PurePosixPath(self.key).relative_to(other.key)

    @property
    def spec(self) -> dict[str, Any]:
        """What TensorStore opens it by."""
        path = f"{self.key}/" if self.key else ""
        return {**_driver(self.scheme, self.bucket), "path": path}

    def is_file(self) -> bool:
        """Whether there is an object of this name."""
        return self.key in self._keys()

    def is_dir(self) -> bool:
        """Whether there are objects below this name."""
        return any(self._below())

    def iterdir(self) -> Iterator["BucketPath"]:
        """What is directly below it."""
        start = len(self.key) + bool(self.key)
        names = {key[start:].split("/")[0] for key in self._below()}
        return iter([self / name for name in sorted(names - {""})])

    def rglob(self, _: str = "*") -> Iterator["BucketPath"]:
        """All that is below it."""
        return (dataclasses.replace(self, key=key) for key in self._below())

    def read_bytes(self) -> bytes:
        """The object's content."""
        path = dataclasses.replace(self, key=self.parent.key)
        found = ts.KvStore.open(path.spec).result().read(self.name).result()
        if found.state != "value":
            raise FileNotFoundError(f"{self} is not there")
        return found.value

    def _keys(self) -> frozenset[str]:
        return _listed(self.scheme, self.bucket, self.root)

    def _below(self) -> Iterator[str]:
        prefix = f"{self.key}/" if self.key else ""
        return (key for key in sorted(self._keys()) if key.startswith(prefix))


def local_or_bucket(path: str | os.PathLike[str]) -> Path | BucketPath:
    """What a user's path means: `~` is the home directory, and URLs name what they name.

    Args:
      path: a path, or a URL with file://, gs:// or s3:// (of whose slashes pathlib leaves one).

    Returns:
      A path here, or one in a bucket, listed when it is first asked.

    Raises:
      ValueError: it is another kind of URL.
    """
    text = os.fspath(path)
    found = re.match(r"([a-z][a-z0-9+.-]+):/+(.*)", text, re.DOTALL)
    if not found or os.path.exists(text):
        return Path(os.path.expanduser(text))
    scheme, rest = found.groups()
    if scheme == "file":
        return Path("/" + unquote(rest.removeprefix("localhost/")))
    if scheme in COPY:
        bucket, _, key = rest.partition("/")
        return BucketPath(scheme, bucket, key.strip("/"), key.strip("/"))
    raise InputError(
        "`checkpoint`",
        "be a path, or a URL of file://, gs:// or s3://",
        f"{scheme}://{rest}",
        "Download it, and name the file.",
    )


def here(path: str | os.PathLike[str]) -> Path:
    """The same for what is read from this machine's own files alone.

    Args:
      path: as for `local_or_bucket`.

    Returns:
      A path here.

    Raises:
      ValueError: it is in a bucket; the message has the command that copies it.
    """
    place = local_or_bucket(path)
    if isinstance(place, BucketPath):
        raise not_here(place)
    return place


def not_here(place: BucketPath) -> InputError:
    """The error for what is read in a bucket only as an Orbax checkpoint's head."""
    return InputError(
        "`checkpoint`",
        "be on this machine, or an Orbax checkpoint of which the head alone is read",
        place,
        f"Copy it: {COPY[place.scheme].format(place)}",
    )


def _driver(scheme: str, bucket: str) -> dict[str, Any]:
    if scheme == "gs":
        return {"driver": "gcs", "bucket": bucket}
    variables = {
        "endpoint": os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"),
        "aws_region": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
    }
    told = {name: value for name, value in variables.items() if value}
    return {"driver": "s3", "bucket": bucket, **told}


@functools.lru_cache(maxsize=1)
def _listed(scheme: str, bucket: str, root: str) -> frozenset[str]:
    """The names of all objects at or below a place."""
    place = BucketPath(scheme, bucket, root, root)
    try:
        store = ts.KvStore.open({**_driver(scheme, bucket), "path": ""}).result(timeout=SECONDS)
        most = root[:-1] + chr(ord(root[-1]) + 1) if root else ""
        keys = store.list(ts.KvStore.KeyRange(root, most)).result(timeout=SECONDS)
    except Exception as error:
        raise InputError(
            f"checkpoint {place}: its bucket",
            "be one that can be listed",
            re.split(r" \[(?:tensorstore_spec|source locations)=", first_line(error))[0][:240],
            f"{ACCESS[scheme]}.",
        ) from error
    texts = [key.decode() for key in keys]
    found = [key for key in texts if key == root or key.startswith(f"{root}/" if root else "")]
    if not found:
        raise InputError(
            "`checkpoint`",
            "be an existing directory",
            place,
            f"List the bucket: {'gcloud storage ls' if scheme == 'gs' else 'aws s3 ls'} "
            f"{scheme}://{bucket}/",
        )
    return frozenset(found)
