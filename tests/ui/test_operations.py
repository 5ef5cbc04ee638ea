"""What the owner of a running page has: its health, its figures, and an end that costs nobody their music."""

import signal
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path

import httpx
import psutil
import pytest
import soundfile
from gradio_client import Client
from gradio_client.exceptions import AppError

from musicgen_ui.locales import catalogue
from tests.ui.conftest import ROOT, started

FAKE = Path(__file__).with_name("fake_app.py")


def test_health_and_figures(fake_app: str, tmp_path: Path) -> None:
    health = httpx.get(f"{fake_app}/healthz")
    assert health.status_code == 200
    assert health.json()["status"] == "ok"
    assert set(health.json()) == {"status", "engine", "queue"}
    name = 'musicgen_requests_total{engine="other",mode="text",model="nano",outcome="done"}'
    before = figure(fake_app, name)
    client = Client(fake_app, verbose=False, download_files=str(tmp_path))
    client.predict(prompt="a secret song", max_new_tokens=53, api_name="/text")
    assert figure(fake_app, name) == before + 1
    assert "secret" not in httpx.get(f"{fake_app}/metrics").text
    assert httpx.post(f"{fake_app}/metrics").status_code == 405


def figure(url: str, name: str) -> float:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


class Call(threading.Thread):
    """A program's call for `seconds` of music, one of its own session."""

    def __init__(self, url: str, folder: Path, seconds: float) -> None:
        super().__init__(daemon=True)
        self.client = Client(url, verbose=False, download_files=str(folder))
        self.tokens = round(50 * seconds) + 3
        self.files: list[str] = []
        self.sentence = ""
        self.start()

    def run(self) -> None:
        try:
            self.files, _ = self.client.predict(prompt="x", max_new_tokens=self.tokens, api_name="/text")
        except AppError as fault:
            self.sentence = str(fault)
        except CancelledError:
            pass  # the app is gone


def working(url: str, queue: int, patience: float = 120.0) -> None:
    """Waits until that many requests wait or run, the first of them making music."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        health = httpx.get(f"{url}/healthz").json()
        if (health["engine"], health["queue"]) == ("working", queue):
            return
        time.sleep(0.1)
    raise AssertionError(health)


def test_an_end_lets_the_running_take_end_and_begins_no_other(tmp_path: Path) -> None:
    with started(FAKE, tmp_path / "log.txt", FAKE_SECONDS_PER_TOKEN="0.02", FAKE_WARM_UP="0") as (url, process):
        late = Client(url, verbose=False)
        running = Call(url, tmp_path, seconds=6)
        working(url, 1)
        waiting = Call(url, tmp_path, seconds=6)
        working(url, 2)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert httpx.get(f"{url}/healthz").status_code == 503
        stopping = catalogue("en")["error.engine_stopping"]
        with pytest.raises(AppError) as refused:
            late.predict(prompt="x", max_new_tokens=53, api_name="/text")
        assert str(refused.value) == stopping
        running.join(30)
        waiting.join(30)
        assert waiting.sentence == stopping
        assert soundfile.info(running.files[0]).duration == pytest.approx(6.0)
        assert process.wait(25) == 0
    assert not list((tmp_path / "gradio").glob("takes-*"))
    assert "Traceback" not in (tmp_path / "log.txt").read_text()


def test_a_take_that_is_too_long_for_the_end_is_kept_as_far_as_it_came(tmp_path: Path) -> None:
    settings = {"FAKE_SECONDS_PER_TOKEN": "0.02", "FAKE_WARM_UP": "0", "FAKE_STOP_SECONDS": "12"}
    with started(FAKE, tmp_path / "log.txt", **settings) as (url, process):
        running = Call(url, tmp_path, seconds=29)
        working(url, 1)
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        running.join(20)
        assert 1 < soundfile.info(running.files[0]).duration < 15
        assert process.wait(15) == 0
        assert time.monotonic() - begun < 12 + 3


def test_an_idle_app_ends_soon(tmp_path: Path) -> None:
    with started(FAKE, tmp_path / "log.txt", FAKE_WARM_UP="0") as (_, process):
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_the_second_signal_ends_at_once(tmp_path: Path) -> None:
    with started(FAKE, tmp_path / "log.txt", FAKE_SECONDS_PER_TOKEN="0.02", FAKE_WARM_UP="0") as (url, process):
        Call(url, tmp_path, seconds=20)
        working(url, 1)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(2) == 128 + signal.SIGTERM


def test_the_real_app_ends_so_too_though_its_engine_hears_the_signal(tmp_path: Path) -> None:
    """systemd sends SIGTERM to every process of a service."""
    with started(ROOT / "app.py", tmp_path / "log.txt", MUSICGEN_LOG_PROMPTS="1") as (url, process):
        running = Call(url, tmp_path, seconds=3)
        working(url, 1)
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        for child in children:
            child.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        running.join(60)
        assert running.files, running.sentence
        assert soundfile.info(running.files[0]).duration == pytest.approx(3.0)
        assert process.wait(30) == 0
        assert psutil.wait_procs(children, timeout=5)[1] == []
    log = (tmp_path / "log.txt").read_text()
    assert "Traceback" not in log
    (line,) = (line for line in log.splitlines() if "request id=" in line)
    assert "outcome=done takes=1 tokens=153" in line
    assert 'prompts="x"' in line
