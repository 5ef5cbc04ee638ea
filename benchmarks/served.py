"""The whole app as its users start it, in a process of its own, for the scripts that use it from outside."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx

PATIENCE = 300  # s until the engine is ready


class Served(NamedTuple):
    url: str
    pid: int
    folder: Path
    """where all that it may write lies: Gradio's folder, the system's for temporary files, the hub's cache"""
    log: Path


@contextlib.contextmanager
def served(**environment: str) -> Iterator[Served]:
    """The app with its engine ready; its log goes to stderr where it breaks down."""
    with socket.socket() as probe, tempfile.TemporaryDirectory() as temporary:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        folder, log = Path(temporary) / "folder", Path(temporary) / "log.txt"
        (folder / "tmp").mkdir(parents=True)
        settings = {
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_TEMP_DIR": str(folder / "gradio"),
            "TMPDIR": str(folder / "tmp"),
            "HF_HOME": str(folder / "hub"),
        }
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "app.py"], env=os.environ | settings | environment, stdout=output, stderr=output
            )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, process, log)
            yield Served(url, process.pid, folder, log)
        finally:
            process.terminate()
            process.wait(60)


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/healthz").json()["engine"] == "ready":
                return
        time.sleep(0.5)
    raise RuntimeError(f"the app isn't ready:\n{log.read_text()[-4000:]}")
