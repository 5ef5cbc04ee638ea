"""What strangers try on a public page, by HTTP, without our page or gradio_client between: nothing of it works."""

import contextlib
import io
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import soundfile
from gradio_client import Client
from playwright.sync_api import Page, expect

from musicgen_ui.locales import catalogue
from musicgen_ui.paths import EXAMPLES
from musicgen_ui.ui.guard import MESSAGE_BYTES
from tests.ui.conftest import ROOT, launched
from tests.ui.steps import SOON, button, describe, done, heading, make_short, tab, words

CALLER = httpx.Client()  # one for many calls: each new one reads all certificates
SCRIPT = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A sound file of the server's that nobody was given."""
    path = tmp_path / "secret.wav"
    soundfile.write(path, (0.5 * np.sin(np.arange(32_000) * 0.05)).astype(np.float32), 32_000)
    return path


def upload(url: str, name: str, content: bytes, kind: str = "application/octet-stream") -> str:
    """The path on the server of a file that was sent there."""
    answer = httpx.post(f"{url}/gradio_api/upload", files={"files": (name, content, kind)})
    assert answer.status_code == 200
    return answer.json()[0]


def answer_of(url: str, fn_index: int, data: list[Any], session: str = "stranger", patience: float = 30.0) -> dict:
    """What Gradio's queue answers to a call of any of the page's handlers, public or not."""
    body = {"data": data, "fn_index": fn_index, "session_hash": session}
    joined = CALLER.post(f"{url}/gradio_api/queue/join", json=body)
    if joined.status_code != 200:
        return {"success": False, "output": joined.json()}
    with CALLER.stream("GET", f"{url}/gradio_api/queue/data?session_hash={session}", timeout=patience) as lines:
        for line in lines.iter_lines():
            message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
            if message.get("msg") == "process_completed":
                return message
    raise AssertionError("no answer")


def handlers(url: str) -> list[dict]:
    return CALLER.get(f"{url}/config").json()["dependencies"]


def endpoint(url: str, name: str) -> int:
    return next(handler["id"] for handler in handlers(url) if handler["api_name"] == name)


# Files of the server


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../../../etc/passwd",
        "..%2f..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/proc/self/environ",
        "/proc/self/cwd/app.py",
        "file:///etc/passwd",
        "//etc/passwd",
        "/etc/passwd%00.png",
        "C:\\Windows\\win.ini",
        str(ROOT / "app.py"),
        str(ROOT / "musicgen_ui" / "cli.py"),
        str(EXAMPLES / ".." / "locales" / "en.json"),
        str(EXAMPLES / ".." / ".." / "app.py"),
        str(EXAMPLES),
    ],
)
def test_no_file_but_the_pages_own_is_served(fake_app: str, path: str) -> None:
    for prefix in ("/gradio_api/file=", "/file=", "/static/", "/assets/", "/gradio_api/stream/"):
        answer = httpx.get(f"{fake_app}{prefix}{path}", follow_redirects=True)
        assert answer.status_code >= 400, prefix
        assert "root:" not in answer.text
        assert "def main" not in answer.text


def test_the_examples_are_served(fake_app: str) -> None:
    path = next(EXAMPLES.glob("*.ogg"))
    assert httpx.get(f"{fake_app}/gradio_api/file={path}").content == path.read_bytes()


def test_nobody_is_sent_on_to_another_address(fake_app: str) -> None:
    for address in ("https://evil.example/", "http://evil.example", "HTTPS://evil.example", "%68ttps://evil.example"):
        for prefix in ("/gradio_api/file=", "/file="):
            answer = httpx.get(f"{fake_app}{prefix}{address}")
            assert answer.status_code in (403, 404)
            assert "location" not in answer.headers
    assert httpx.get(f"{fake_app}/gradio_api/proxy=https://evil.example/").status_code == 400


def test_what_a_session_made_is_listed_nowhere(fake_app: str, tmp_path: Path) -> None:
    client = Client(fake_app, verbose=False, download_files=False)
    (file,), _ = client.predict(prompt="mine", max_new_tokens=53, api_name="/text")
    path = Path(file["path"])
    url = f"{fake_app}/gradio_api/file="
    assert httpx.get(f"{url}{path}").status_code == 200
    for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
        assert httpx.get(f"{url}{folder}").status_code == 403
        assert httpx.get(f"{url}{folder}/").status_code == 403
    assert len(path.parent.name) >= 11  # tempfile's: tmp and 8 characters of 37
    assert len(path.parent.parent.name) >= len("takes-") + 8


# Files of the caller


@pytest.mark.parametrize("meta", [{"_type": "gradio.FileData"}, {}])
@pytest.mark.parametrize("name", ["/audio", "restore", "generate"])
def test_a_path_of_the_servers_is_no_clip(fake_app: str, secret: Path, meta: dict, name: str) -> None:
    given = {"path": str(secret), "url": f"{fake_app}/gradio_api/file={secret}", "meta": meta, "orig_name": "a.wav"}
    answer = call_with_file(fake_app, name, given)
    assert not made_anything(answer)
    assert "secret" not in json.dumps(answer).replace(str(secret), "")


def test_addresses_are_not_fetched(fake_app: str, visited: tuple[str, list[str]]) -> None:
    address, visits = visited
    for name in ("/audio", "restore", "generate"):
        for url in (f"{address}/a.wav", f"{address}/a.wav#.mp3", address.replace("http", "HTTP") + "/a.wav"):
            for file in (
                {"path": url, "url": url, "meta": {"_type": "gradio.FileData"}},
                {"path": "a.wav", "url": url, "meta": {"_type": "gradio.FileData"}},
                {"path": url, "meta": {}},
                url,
            ):
                assert not made_anything(call_with_file(fake_app, name, file)), (name, file)
    given = {"path": "http://93.184.215.14/a.wav", "meta": {"_type": "gradio.FileData"}}  # Gradio would fetch that
    assert call_with_file(fake_app, "/audio", given)["output"]["error"] == catalogue("en")["page.error.api_audio"]
    assert visits == []


def call_with_file(url: str, name: str, file: object) -> dict:
    """Calls /audio, or the page's own handler of that name, with `file` where it takes one."""
    if name == "/audio":
        return answer_of(url, endpoint(url, "audio"), ["", file, "continue", 53, *[None] * 6, 1, "nano", "auto", False])
    config = httpx.get(f"{url}/config").json()
    kinds = {component["id"]: component["type"] for component in config["components"]}
    wanted = {"restore": "uploadbutton", "generate": "audio"}[name]
    handler = next(h for h in config["dependencies"] if wanted in [kinds[i] for i in h["inputs"]] and h["backend_fn"])
    data: list[object] = [None] * len(handler["inputs"])
    data[[kinds[i] for i in handler["inputs"]].index(wanted)] = file
    if name == "generate":
        data[0], data[6], data[9] = "audio", 53, "nano"
    return answer_of(url, handler["id"], data)


def made_anything(answer: dict) -> bool:
    return answer["success"] and "take-" in json.dumps(answer)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.html", "text/html"), ("a.svg", "image/svg+xml"), ("a.xml", "text/xml"), ("a.xhtml", "text/html"),
     ("a.js", "text/javascript"), ("a.wav", "text/html"), ("a.txt", "text/html"), ("a", "text/html")],
)  # fmt: skip
@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-"}, {"Range": "bytes=0-5"}])
def test_an_upload_is_no_page(fake_app: str, name: str, kind: str, headers: dict) -> None:
    content = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(1)</script></svg>"
    path = upload(fake_app, name, content, kind)
    answer = httpx.get(f"{fake_app}/gradio_api/file={quote(path)}", headers=headers)
    assert answer.status_code in (200, 206)
    harmless = ("application/octet-stream", "audio/", "text/plain")
    assert answer.headers["content-type"].startswith(harmless)
    assert answer.headers["x-content-type-options"] == "nosniff"
    if not answer.headers["content-type"].startswith(("audio/", "text/plain")):
        assert answer.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "name", ["../../../../tmp/evil.wav", "/etc/evil.wav", "..\\..\\evil.wav", "a\0b.wav", "x" * 5_000 + ".wav", ".", ""]
)
def test_an_uploads_name_leads_nowhere(fake_app: str, name: str) -> None:
    answer = httpx.post(f"{fake_app}/gradio_api/upload", files={"files": (name, b"RIFF", "audio/wav")})
    assert answer.status_code < 600
    if answer.status_code == 200 and answer.json():
        path = Path(answer.json()[0]).resolve()
        assert "gradio" in path.parts
        assert len(path.name) <= 255
    assert not Path("/tmp/evil.wav").exists()
    assert not Path("/etc/evil.wav").exists()
    assert httpx.get(f"{fake_app}/healthz").status_code == 200


# Sizes


def test_a_message_without_end_takes_no_memory(fake_app: str) -> None:
    """Without a Content-Length, so that only counting helps."""

    def long() -> Iterator[bytes]:
        for _ in range(256):
            yield b" " * (1 << 20)

    before = memory(fake_app)
    for path in ("queue/join", "call/text", "run/predict"):
        with contextlib.suppress(httpx.TransportError):  # it hangs up
            headers = {"Content-Type": "application/json"}
            answer = httpx.post(f"{fake_app}/gradio_api/{path}", content=long(), headers=headers)
            assert answer.status_code in (400, 413)
    assert memory(fake_app) - before < 64 << 20


def memory(url: str) -> float:
    """Bytes that the server has in use."""
    return float(re.search(r"^process_resident_memory_bytes (\S+)", httpx.get(f"{url}/metrics").text, re.M)[1])  # type: ignore[index]


def test_a_message_that_is_too_long_is_refused(fake_app: str) -> None:
    body = json.dumps({"data": ["x" * MESSAGE_BYTES], "fn_index": 0, "session_hash": "stranger"})
    assert httpx.post(f"{fake_app}/gradio_api/queue/join", content=body).status_code == 413


def test_a_full_disk_takes_no_uploads_and_says_so(tmp_path: Path) -> None:
    script = Path(__file__).with_name("fake_app.py")
    with launched(script, tmp_path / "log.txt", FAKE_FREE_DISK_BYTES=str(10**18)) as url:
        files = {"files": ("a.wav", b"RIFF", "audio/wav")}
        answer = httpx.post(f"{url}/gradio_api/upload", files=files, headers={"Accept-Language": "zh-CN"})
        assert (answer.status_code, answer.text) == (507, catalogue("zh-CN")["error.upload_disk_full"])
        client = Client(url, verbose=False, download_files=str(tmp_path))
        assert client.predict(prompt="x", max_new_tokens=53, api_name="/text")[0]


# Anything at all


ODD = [None, 2**70, "x", {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, [["x"]]]


def test_no_handler_tells_of_the_inside(fake_app: str) -> None:
    """Every handler of the page, given odd values of every kind in every place."""
    calls = [
        (handler["id"], [odd] * len(handler["inputs"]), f"stranger {handler['id']} {number}")
        for handler in handlers(fake_app)
        if handler["backend_fn"]
        for number, odd in enumerate(ODD)
    ]
    assert len(calls) > 50
    with ThreadPoolExecutor(8) as pool:
        answers = [json.dumps(answer) for answer in pool.map(lambda call: answer_of(fake_app, *call, 60), calls)]
    for call, answer in zip(calls, answers, strict=True):
        for inside in ("Traceback", str(ROOT), "site-packages", "root:"):
            assert inside not in answer, call
    assert httpx.get(f"{fake_app}/healthz").status_code == 200


def test_a_fault_tells_no_secret(tmp_path: Path) -> None:
    """What stands in the environment (a Space keeps its secrets there) is in no answer."""
    script = Path(__file__).with_name("fake_app.py")
    with launched(script, tmp_path / "log.txt", HF_TOKEN="hf_verysecret", FAKE_WARM_UP="0") as url:
        public = ("/", "/config", "/metrics", "/healthz", "/gradio_api/info")
        texts = [httpx.get(f"{url}{path}").text for path in public]
        for call in (
            ["x", *[None] * 7, 1, "~/models", "auto"],
            ["x", *[None] * 7, 1, "$HF_TOKEN", "${HF_TOKEN}"],
            ["{self.engine}", *[None] * 7, 1, "{0.__class__}", "auto"],
        ):
            answer = answer_of(url, endpoint(url, "text"), call)
            assert not answer["success"]
            texts.append(json.dumps(answer))
        assert "hf_verysecret" not in "".join(texts)
        assert str(Path.home()) not in texts[-1]


# In a browser


def test_prompts_and_file_names_are_text(fake_app: str, open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page(fake_app)
    make_short(page)
    describe(page, SCRIPT)
    button(page, "page.generate").click()
    expect(done(page)).to_be_visible(timeout=SOON)
    expect(heading(page)).to_have_text(SCRIPT)
    page.get_by_role("button", name=words("page.result.record")).click()
    expect(page.get_by_role("row", name="prompt").first).to_contain_text("onerror")
    tab(page, "page.tab.audio").click()
    clip = io.BytesIO()
    soundfile.write(clip, 0.3 * np.sin(np.arange(32_000) / 20), 32_000, format="WAV")
    named = "<img src=x onerror=document.title='owned'>.wav"
    file = {"name": named, "mimeType": "audio/wav", "buffer": b"no sound"}
    page.locator("#mg-tabs input[type=file]").first.set_input_files(file)  # type: ignore[arg-type]
    page.wait_for_timeout(1_500)
    button(page, "page.generate").click()
    expect(page.get_by_role("alert").filter(has_text=".wav")).to_be_visible(timeout=SOON)
    page.wait_for_timeout(500)
    assert page.title() == "MusicGen"
    assert page.locator("img[onerror]").count() == 0
    assert page.faults == []  # type: ignore[attr-defined]
