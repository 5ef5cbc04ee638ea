"""A browser, and apps to point it at: each app is a process of its own, as its users run it."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def find_chromium() -> str | None:
    """A browser that is installed; None means playwright's own."""
    for candidate in (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(candidate) if candidate else None
        if path:
            return path
    return None


@contextlib.contextmanager
def launched(script: Path, log: Path, **environment: str) -> Iterator[str]:
    """`python script` on a free port; gives its base URL once it answers."""
    with started(script, log, **environment) as (url, _):
        yield url


@contextlib.contextmanager
def started(script: Path, log: Path, **environment: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """As `launched`, and gives the process too."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        **os.environ,
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": str(log.parent / "gradio"),
        **environment,
    }
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, str(script)], cwd=ROOT, env=settings, stdout=output, stderr=output)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, process, log)
            yield url, process
        finally:
            process.terminate()  # once: no new requests
            time.sleep(0.1)  # or both would count as one
            process.terminate()  # twice: at once
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(url: str, process: subprocess.Popen, log: Path, patience: float = 120.0) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.2)
    raise RuntimeError(f"no page at {url}:\n{log.read_text()[-4000:]}")


@pytest.fixture(scope="session")
def fake_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of the page on the fake engine."""
    script = Path(__file__).with_name("fake_app.py")
    with launched(script, tmp_path_factory.mktemp("fake") / "log.txt", FAKE_SECONDS_PER_TOKEN="0.004") as url:
        yield url


@pytest.fixture(scope="session")
def real_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of the whole app, as a user starts it."""
    with launched(ROOT / "app.py", tmp_path_factory.mktemp("real") / "log.txt") as url:
        yield url


@pytest.fixture
def visited() -> Iterator[tuple[str, list[str]]]:
    """(address of a server in the same network, the paths that it was asked for)"""
    visits: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visits.append(self.path)
            self.send_error(404)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", visits
    server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=30_000)  # ms, not 5: another page is tested at the same time
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_OPTIONS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """open_page(url, locale=…, width=…) gives a page in a context of its own: another user, another tab."""
    contexts = []

    def opened(url: str, *, locale: str = "en-US", width: int = 1280, dark: bool = False) -> Page:
        context = browser.new_context(
            locale=locale,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.faults = []  # type: ignore[attr-defined]
        page.on("pageerror", lambda error: page.faults.append(str(error)))  # type: ignore[attr-defined]
        page.goto(url)
        page.locator("#mg-estimate p").wait_for(timeout=30_000)
        return page

    yield opened
    for context in contexts:
        context.close()
