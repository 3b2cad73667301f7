"""The official archives: downloaded from a server of ours, verified, refused."""

import hashlib
import http.server
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from shared_images import ARCHIVES, needs_images
from tensorflow_datasets.image_classification import mnist

import simsmooth_jax as ss
from simsmooth_jax.config.data import SourceConfig
from simsmooth_jax.data.load import open_source
from simsmooth_jax.data.sources.official import find_archives

pytestmark = pytest.mark.slow


class Site(http.server.BaseHTTPRequestHandler):
    """Serves the official archives."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    cut_off = False

    def do_GET(self) -> None:
        content = (ARCHIVES / self.path.split("/")[-1]).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        half = len(content) // 2
        self.wfile.write(content[:half])
        if not self.cut_off:
            time.sleep(0.2)  # so that downloads at once overlap
            self.wfile.write(content[half:])

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The official addresses lead to a server of ours."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    opened = urllib.request.urlopen

    def redirected(request: Any, **options: Any) -> Any:
        url = request if isinstance(request, str) else request.full_url
        method = "GET" if isinstance(request, str) else request.get_method()
        host, port = server.server_address[:2]
        ours = f"http://{host}:{port}/{url.split('/')[-1]}"
        return opened(urllib.request.Request(ours, method=method), **options)

    monkeypatch.setattr(urllib.request, "urlopen", redirected)
    yield
    server.shutdown()
    server.server_close()


@needs_images
def test_archives_are_downloaded_and_verified(
    site: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the preparing itself, which other tests see."""
    monkeypatch.setattr("simsmooth_jax.data.sources.official._prepare", _stop)
    with pytest.raises(KeyboardInterrupt):
        open_source("fashion_mnist", SourceConfig(data_dir=tmp_path))
    manual = tmp_path / "downloads" / "manual"
    expected = {path.name: path.read_bytes() for path in ARCHIVES.iterdir()}
    assert {path.name: path.read_bytes() for path in manual.iterdir()} == expected


def _stop(*arguments: Any) -> None:
    raise KeyboardInterrupt


@needs_images
def test_downloads_at_once_do_not_touch_each_other(site: None, tmp_path: Path) -> None:
    builder, names = (
        mnist.FashionMNIST(data_dir=tmp_path),
        [path.name for path in ARCHIVES.iterdir()],
    )
    with ThreadPoolExecutor(3) as threads:
        ways = [threads.submit(find_archives, builder, names, tmp_path / "m") for _ in range(3)]
        for way in ways:
            for name, path in way.result().items():
                assert path.read_bytes() == (ARCHIVES / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == sorted(names)


@needs_images
def test_download_that_is_cut_off_leaves_nothing(
    site: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Site, "cut_off", True)
    with pytest.raises(ss.InputError, match=r"^archive http\S+gz: it must have the SHA-256 \w{64}"):
        open_source("fashion_mnist", SourceConfig(data_dir=tmp_path))
    assert list((tmp_path / "downloads" / "manual").iterdir()) == []


@needs_images
def test_archive_of_other_content_is_refused_by_both_digests(tmp_path: Path) -> None:
    manual = tmp_path / "downloads" / "manual" / "fashion_mnist"  # a folder of its own is found too
    manual.mkdir(parents=True)
    for path in ARCHIVES.iterdir():
        (manual / path.name).symlink_to(path)
    wrong = manual / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(wrong.read_bytes())
    content[100] ^= 1
    wrong.unlink()
    wrong.write_bytes(content)
    with pytest.raises(ss.InputError) as refused:
        open_source("fashion_mnist", SourceConfig(data_dir=tmp_path))
    recorded = "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
    found = hashlib.sha256(content).hexdigest()
    assert f"archive {wrong}: it must have the SHA-256 {recorded} that TFDS has" in str(
        refused.value
    )
    assert f"got {found}. Fetch it again" in str(refused.value)
    assert not (tmp_path / "fashion_mnist").exists()


def test_without_a_network_the_way_out_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*arguments: Any, **options: Any) -> Any:
        assert options["timeout"] <= 5
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(ss.InputError) as refused:
        open_source("cifar10", SourceConfig(data_dir=tmp_path / "sets"))
    assert str(refused.value) == (
        "`data=cifar10` must be prepared in `data_dir`, or its archives lie in "
        f"{tmp_path}/sets/downloads/manual, or the network reach them, got none of these (no route "
        "to host). Fetch into that directory: "
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    )
    assert not (tmp_path / "sets").exists()
