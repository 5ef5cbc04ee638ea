"""What the owner of a running page has: its health, its figures, and an end that costs nobody their music."""

import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path

import httpx
import psutil
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from musicgen_ui.locales import catalogue
from tests.ui.conftest import ROOT, started

FAKE = Path(__file__).with_name("fake_app.py")
HALF = 300_000  # bytes


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


def test_an_engine_that_cannot_start_is_unusable_and_the_page_says_so(tmp_path: Path) -> None:
    """MindSpore is installed badly, say."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "mindspore.py").write_text("raise ImportError('libmindspore.so: cannot open shared object file')")
    with started(ROOT / "app.py", tmp_path / "log.txt", PYTHONPATH=str(broken)) as (url, _):
        deadline = time.monotonic() + 120
        while (health := httpx.get(f"{url}/healthz")).json()["engine"] != "broken":
            assert time.monotonic() < deadline, health.json()
            time.sleep(0.5)
        assert health.status_code == 503
        assert health.json() == {"status": "unusable", "engine": "broken", "queue": 0}
        assert figure(url, 'musicgen_engine_state{state="broken"}') == 1
        assert httpx.get(url).status_code == 200
        call = Call(url, tmp_path, seconds=1)
        call.join(90)
        assert call.sentence == catalogue("en")["error.engine_does_not_start"]


def figure(url: str, name: str) -> float:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


class Call(threading.Thread):
    """A program's call for `seconds` of music, one of its own session; `headers` as a proxy adds them."""

    def __init__(self, url: str, folder: Path, seconds: float, headers: dict[str, str] | None = None) -> None:
        super().__init__(daemon=True)
        self.client = Client(url, verbose=False, download_files=str(folder), headers=headers)
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
    assert not list((tmp_path / "gradio").iterdir())
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


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_one_address_leaves_room_in_the_queue_for_others(tmp_path: Path, language: str) -> None:
    """The proxy is on this machine, which uvicorn trusts: it says who comes."""

    def call(address: str) -> Call:
        headers = {"X-Forwarded-For": f"1.1.1.1, {address}", "Accept-Language": language}  # the first is made up
        return Call(url, tmp_path, seconds=29, headers=headers)

    settings = {"FAKE_SECONDS_PER_TOKEN": "0.1", "FAKE_WARM_UP": "0", "FAKE_QUEUE_PER_ADDRESS": "2"}
    with started(FAKE, tmp_path / "log.txt", **settings) as (url, _):
        accepted = [call("93.184.216.34"), call("93.184.216.34")]
        working(url, 2)
        third = call("93.184.216.34")
        third.join(60)
        assert third.sentence == catalogue(language)["error.queue_full_for_address"].format(limit=2)
        accepted.append(call("93.184.216.35"))
        working(url, 3)
        assert not any(taken.sentence for taken in accepted)
    assert "93.184" not in (tmp_path / "log.txt").read_text()


def test_what_a_killed_app_left_goes_at_the_next_start_and_nothing_of_one_that_runs(tmp_path: Path) -> None:
    def files() -> list[Path]:
        return [path for path in (tmp_path / "gradio").rglob("*") if path.is_file()]

    clip = tmp_path / "clip.wav"
    soundfile.write(clip, [0.1, -0.1] * 16_000, 32_000)
    settings = {"FAKE_SECONDS_PER_TOKEN": "0.001", "FAKE_WARM_UP": "0"}
    with started(FAKE, tmp_path / "running.txt", **settings) as (url, running):
        beside = Client(url, verbose=False, download_files=False)
        (kept,), _ = beside.predict(audio=handle_file(clip), max_new_tokens=53, api_name="/audio")
        its_own = files()
        with started(FAKE, tmp_path / "killed.txt", **settings) as (killed_url, process):
            client = Client(killed_url, verbose=False, download_files=False)
            client.predict(audio=handle_file(clip), max_new_tokens=53, api_name="/audio")
            under_way = begin_upload(killed_url)
            process.kill()
            process.wait()
            under_way.close()
        left = set(files()) - set(its_own)
        for what in ("gradio/*/clip.wav", "gradio/takes-*/*/take-1.wav", "incoming/*"):
            assert any(path.match(f"musicgen-*/{what}") for path in left), what
        with started(FAKE, tmp_path / "next.txt", **settings) as (next_url, newest):
            assert not any(path.exists() for path in left)
            assert all(path.exists() for path in its_own)
            assert httpx.get(f"{next_url}/healthz").status_code == 200
            end(newest)
        assert httpx.get(f"{url}/gradio_api/file={kept['path']}").status_code == 200
        end(running)
    assert files() == []


def end(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(25) == 0


def begin_upload(url: str) -> socket.socket:
    """The first half of an upload, HALF bytes of it; the rest never comes."""
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="long.wav"\r\n\r\n'
    address = httpx.URL(url)
    line = socket.create_connection((address.host, address.port))
    line.sendall(
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {address.host}\r\nContent-Length: {len(head) + 2 * HALF}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode()
        + head
        + bytes(HALF)
    )
    time.sleep(1)
    return line


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
    assert not list((tmp_path / "gradio").iterdir())
    log = (tmp_path / "log.txt").read_text()
    assert "Traceback" not in log
    (line,) = (line for line in log.splitlines() if "request id=" in line)
    assert "outcome=done takes=1 tokens=153" in line
    assert 'prompts="x"' in line
