"""Heads of Orbax checkpoints in buckets, read from emulators on loopback; other kinds of path."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tensorstore as ts
import write_checkpoints as stored
from program import simsmooth
from write_checkpoints import BIAS, KERNEL

import simsmooth_jax as ss
from simsmooth_jax.formats.stores.opening import open_stored
from simsmooth_jax.training.saved import checkpoints

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(shared_directory: Path) -> Path:
    return stored.written(shared_directory)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    """TensorStore's own variable says where the emulator is."""
    server = pytest.importorskip(
        "gcp_storage_emulator.server", reason="pip install gcp-storage-emulator runs this"
    )
    port = free_port()
    emulator = server.create_server("localhost", port, in_memory=True, default_bucket="models")
    emulator.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORSTORE_GCS_HTTP_URL", f"http://localhost:{port}")
        yield "gs://models"
    emulator.stop()


@pytest.fixture(scope="module")
def amazon() -> Iterator[str]:
    moto = pytest.importorskip("moto.server", reason="pip install 'moto[s3,server]' runs this")
    boto3 = pytest.importorskip("boto3", reason="pip install 'moto[s3,server]' runs this")
    port = free_port()
    server = moto.ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    values = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**values, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
            patch.setenv(name, value)
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="models")
        yield "s3://models"
    server.stop()


def upload(directory: Path, url: str) -> None:
    store = ts.KvStore.open(spec_of(url)).result()
    writes = [
        store.write(path.relative_to(directory).as_posix(), path.read_bytes())
        for path in directory.rglob("*")
        if path.is_file()
    ]
    for write in writes:
        write.result()


def spec_of(url: str) -> dict[str, str]:
    import os

    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    found = {"driver": {"gs": "gcs"}.get(scheme, scheme), "bucket": bucket, "path": f"{key}/"}
    if scheme == "s3":
        found |= {"endpoint": os.environ["AWS_ENDPOINT_URL"], "aws_region": "us-east-1"}
    return found


# Google's emulator does not send the generation of an object, which reading OCDBT asks for.
@pytest.mark.parametrize(
    ("bucket", "name"),
    [("google", "pytree_files"), ("amazon", "pytree_files"), ("amazon", "manager_default")],
)
def test_heads_in_buckets(
    request: pytest.FixtureRequest, files: Path, bucket: str, name: str
) -> None:
    """With OCDBT, of which the root holds steps, and with a file for each chunk."""
    url = f"{request.getfixturevalue(bucket)}/{name}/run"
    local = files / name / "one" / "params"
    upload(local, url)
    for path in (url, f"{url}/", Path(url)):  # pathlib makes one slash of two
        found = ss.restore_head(path)
        assert (found.kernel == KERNEL).all()
        assert found.bias is not None
        assert (found.bias == BIAS).all()
    here = open_stored(local)
    there = open_stored(url)
    assert str(there.path) == url
    assert there.format == here.format or name == "pytree_files"
    assert there.arrays == here.arrays
    with pytest.raises(ss.InputError, match=f"be an existing directory, got {url}x. List the buck"):
        ss.restore_head(f"{url}x")
    with pytest.raises(ss.InputError, match=f"this machine, .* got {url}. Copy it: .* {url} ."):
        checkpoints.resolve(Path(url))


def test_other_formats_in_buckets_are_copied_first(google: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    upload(tmp_path, f"{google}/hub")
    for place in ("hub", "hub/model.safetensors"):
        with pytest.raises(ss.InputError, match="Copy it: gcloud storage cp -r gs://models/hub"):
            ss.restore_head(f"{google}/{place}")


def test_home_and_urls_of_files(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "my head.safetensors"
    file.write_bytes((files / "others" / "fc-float32.safetensors").read_bytes())
    ways: list[Callable[[], str | Path]] = [
        lambda: "~/my head.safetensors",
        lambda: Path("~/my head.safetensors"),
        lambda: f"file://{file}",
        lambda: file.as_uri(),
        lambda: Path(file.as_uri()),
    ]
    for way in ways:
        assert (ss.restore_head_kernel(way()) == KERNEL).all()
    output = simsmooth("inspect", file.as_uri(), cwd=tmp_path).stdout
    assert output.startswith(f"{file}: safetensors, ")


def test_other_urls_are_refused_by_name(tmp_path: Path) -> None:
    error = simsmooth("labels", "https://host/x.safetensors", cwd=tmp_path, status=2).stderr
    assert error == (
        "simsmooth: CHECKPOINT must be a path, or a URL of file://, gs:// or s3://, got "
        "https://host/x.safetensors. Download it, and name the file.\n"
    )
