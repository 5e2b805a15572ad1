"""Downloads: cached, checked, and never left half-written."""

from __future__ import annotations

import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kcompile.ir.errors import KCompileError
from kcompile.utils import ChecksumError, DownloadError, cache_dir, get_file

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WRONG_SHA256 = "0" * 64


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT: whole, without its length, cut short, or not at all."""

    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path != "/no-length":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:-1] if self.path == "/truncated" else CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server():
    handler = type("FreshHandler", (Handler,), {"requests": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("KCOMPILE_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def url(server: ThreadingHTTPServer, path: str) -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def cached(home: Path) -> list[Path]:
    return list((home / "datasets").iterdir())


@pytest.mark.parametrize(
    ("path", "progress"), [("/whole", "1.0/1.0 MB"), ("/no-length", "1.0/? MB")]
)
def test_download_then_cache_hit(server, home, capsys, path, progress):
    file = get_file("data.bin", url(server, path), SHA256)
    assert file == home / "datasets" / "data.bin"
    assert file.read_bytes() == CONTENT
    output = capsys.readouterr()
    assert progress in output.err
    assert output.out == ""

    assert get_file("data.bin", url(server, path), SHA256.upper()) == file
    assert server.RequestHandlerClass.requests == [path]
    assert cached(home) == [file]


def test_subdirectory(server, home):
    file = get_file("data.bin", url(server, "/whole"), SHA256, cache_subdir="models/small")
    assert file == home / "models" / "small" / "data.bin"


def test_wrong_download_leaves_nothing(server, home):
    with pytest.raises(ChecksumError) as caught:
        get_file("data.bin", url(server, "/whole"), WRONG_SHA256)
    text = str(caught.value)
    assert SHA256 in text and WRONG_SHA256 in text and str(home / "datasets/data.bin") in text
    assert cached(home) == []


def test_truncated_download_leaves_nothing(server, home):
    with pytest.raises(DownloadError, match="ended after 1023999 of 1024000 bytes"):
        get_file("data.bin", url(server, "/truncated"), SHA256)
    assert cached(home) == []


def test_missing_on_server(server, home):
    with pytest.raises(DownloadError, match="404"):
        get_file("data.bin", url(server, "/missing"), SHA256)
    assert cached(home) == []


def test_offline_says_what_to_do(home):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # never listens: connections to it are refused
        origin = f"http://127.0.0.1:{unused.getsockname()[1]}/data.bin"
        with pytest.raises(DownloadError) as caught:
            get_file("data.bin", origin, SHA256)
    text = str(caught.value)
    assert isinstance(caught.value, KCompileError)
    assert text.startswith(f"{origin}: can't download: ")
    assert text.endswith(f"to {home / 'datasets/data.bin'}; its SHA-256 must be {SHA256}")
    assert cached(home) == []


def test_wrong_cached_file_is_refused_and_kept(server, home):
    file = home / "datasets" / "data.bin"
    file.parent.mkdir()
    file.write_bytes(b"mine")
    with pytest.raises(ChecksumError) as caught:
        get_file("data.bin", url(server, "/whole"), SHA256)
    assert str(file) in str(caught.value) and SHA256 in str(caught.value)
    assert file.read_bytes() == b"mine"
    assert server.RequestHandlerClass.requests == []


def test_cache_dir_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KCOMPILE_HOME", "~/kept")
    assert cache_dir() == tmp_path / "kept"
    monkeypatch.setenv("KCOMPILE_HOME", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_dir().name == "kcompile"
    assert cache_dir().is_relative_to(tmp_path)
