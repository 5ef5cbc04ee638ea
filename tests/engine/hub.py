"""A Hugging Face hub in miniature, on loopback: what huggingface_hub asks for when it downloads a model."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_BLOCK = 1 << 18  # bytes


@dataclass
class Faults:
    """What goes wrong, until it has happened as often as said."""

    cut_at: int | None = None
    """once: the connection of a weights file ends after so many bytes"""
    status: int = 503
    refusals: int = 0
    """so many requests for weights are answered with `status`"""
    wrong_sizes: int = 0
    """so many HEADs of weights tell one byte too many"""
    damaged: dict[str, int] = field(default_factory=dict)
    """file name → so often it is sent with one byte turned over"""
    pause_seconds: float = 0.0
    """before each block of weights"""


@dataclass
class Hub:
    """`folders`: repository id → the folder with its files."""

    folders: Mapping[str, Path]
    faults: Faults = field(default_factory=Faults)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, path, Range header) of all that was asked"""
    bytes_sent: dict[str, int] = field(default_factory=dict)
    """by file name"""
    endpoint: str = ""

    def ranges(self, name: str) -> list[str | None]:
        """The Range headers with which `name` was asked for."""
        return [asked for method, path, asked in self.requests if method == "GET" and path.endswith("/" + name)]


def checksum(name: str, content: bytes) -> str:
    """As the hub has it: SHA-256 of large files, which lie in Git LFS, and git's own of small ones."""
    if name.endswith(".safetensors"):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def damaged(content: bytes) -> bytes:
    """With one byte in its middle turned over."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


@contextmanager
def serving(folders: Mapping[str, Path], **faults) -> Iterator[Hub]:
    """A hub that answers at `endpoint` until the context ends."""
    hub = Hub(folders, Faults(**faults))
    stopping = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def log_message(self, *args):
            pass

        def answer(self, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append((self.command, path, self.headers.get("Range")))
            for repository, folder in hub.folders.items():
                if path == f"/api/models/{repository}":
                    return self.list_files(repository, folder)
                file = folder / path.removeprefix(f"/{repository}/resolve/").partition("/")[2]
                if path.startswith(f"/{repository}/resolve/") and file.is_file():
                    return self.send_file(file, body)
            self.refuse(404, "RepoNotFound")

        def refuse(self, status: int, code: str = "") -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def list_files(self, repository: str, folder: Path) -> None:
            siblings = [{"rfilename": file.name, "size": file.stat().st_size} for file in sorted(folder.iterdir())]
            content = json.dumps({"id": repository, "sha": COMMIT, "tags": [], "siblings": siblings}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def send_file(self, file: Path, body: bool) -> None:
            content = file.read_bytes()
            weights = file.suffix == ".safetensors"
            if weights and hub.faults.refusals:
                hub.faults.refusals -= 1
                return self.refuse(hub.faults.status)
            size = len(content)
            if weights and not body and hub.faults.wrong_sizes:
                hub.faults.wrong_sizes -= 1
                size += 1
            begin = (
                int(self.headers["Range"].removeprefix("bytes=").partition("-")[0]) if "Range" in self.headers else 0
            )
            if begin and begin >= size:
                return self.refuse(416)
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{size - 1}/{size}")
            self.send_header("ETag", f'"{checksum(file.name, content)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(size - begin))
            self.end_headers()
            if not body:
                return
            if hub.faults.damaged.get(file.name):
                hub.faults.damaged[file.name] -= 1
                content = damaged(content)
            end = len(content)
            if weights and hub.faults.cut_at is not None:
                end, hub.faults.cut_at = hub.faults.cut_at, None
            for position in range(begin, end, _BLOCK):
                block = content[position : min(position + _BLOCK, end)]
                if weights and stopping.wait(hub.faults.pause_seconds):
                    return
                try:
                    self.wfile.write(block)
                except OSError:  # the client has gone
                    self.close_connection = True
                    return
                hub.bytes_sent[file.name] = hub.bytes_sent.get(file.name, 0) + len(block)
            if end < len(content):
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield hub
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()
