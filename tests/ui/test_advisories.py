"""What Gradio's published advisories teach, tried on our page, as far as test_attackers.py doesn't. SECURITY.md has the
list: which advisory, and what holds it here."""

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio.routes import file_upload_statuses

from musicgen_ui.ui.guard import guard_files
from tests.ui.conftest import ROOT
from tests.ui.test_attackers import CALLER, answer_of, endpoint, handlers, upload

EVIL = "http://evil.example"


# Routes that the page doesn't use


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/deep_link?session_hash=x"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/component_server/"),
        ("POST", "/gradio_api/%63omponent_server"),
        ("POST", "/gradio_api/process_recording"),
        ("GET", "/gradio_api/custom_component/x/client/component/..%2f__init__.py"),
        ("GET", "/gradio_api/dev/reload"),
        ("GET", "/gradio_api/profiling/traces"),
        ("GET", "/gradio_api/vibe-code"),
        ("POST", "/gradio_api/vibe-code/"),
        ("POST", "/gradio_api/vibe-edit"),
        ("POST", "/gradio_api/undo-vibe-edit"),
        ("POST", "/gradio_api/vibe-starter-queries"),
        ("POST", "/gradio_api/stream/x"),
        ("POST", "/gradio_api/stream/x/close"),
        ("GET", "/gradio_api/stream/x/0/0/playlist.m3u8"),
        ("GET", "/gradio_api/stream/x/0/0/playlist-file"),
        ("GET", "/monitoring"),
        ("GET", "/monitoring/summary"),
        ("GET", "/monitoring/key"),
        ("GET", "/pwa_icon/100000"),
    ],
)
def test_what_the_page_does_not_use_is_refused(fake_app: str, method: str, path: str) -> None:
    answer = CALLER.request(method, f"{fake_app}{path}", timeout=10)
    assert (answer.status_code, answer.text) == (404, "Not found")


def test_no_route_of_gradios_is_new_to_us(fake_app: str) -> None:
    """A new version's new routes belong into this list, or into the guard's."""
    known = {
        *(
            "/",
            "/config",
            "/favicon.ico",
            "/manifest.json",
            "/robots.txt",
            "/theme.css",
            "/pwa_icon",
            "/login",
            "/logout",
        ),
        *("/assets/{path}", "/static/{path}", "/svelte/{path}"),
    }
    known_below = {
        *("api/{api_name}", "run/{api_name}", "call/{api_name}", "call/{api_name}/{event_id}", "call/v2/{api_name}"),
        *("call/v2/{api_name}/{event_id}", "queue/join", "queue/data", "queue/status", "cancel", "reset"),
        *("heartbeat/{session_hash}", "file={path_or_url}", "file/{path}", "proxy={url_path}"),
        *("upload", "upload_progress", "info", "openapi.json", "app_id", "startup-events", "theme.css"),
        *("login_check", "token", "user"),
    }
    routes = {path.rstrip("/") or "/" for path in CALLER.get(f"{fake_app}/openapi.json").json()["paths"]}
    refused = {path for path in routes if CALLER.put(f"{fake_app}{path}").text == "Not found"}
    assert len(refused) > 10
    assert routes - refused == known | {f"/gradio_api/{path}" for path in known_below}


@pytest.mark.parametrize("path", ["/login/huggingface", "/login/callback?_target_url=https://evil.example"])
def test_nobody_is_logged_in_by_gradios_pretended_oauth(fake_app: str, path: str) -> None:
    assert CALLER.get(f"{fake_app}{path}").status_code in (404, 405)
    assert CALLER.get(f"{fake_app}/gradio_api/token").json() == {"token": None, "user": None}


def test_start_up_is_not_done_again(fake_app: str) -> None:
    assert CALLER.get(f"{fake_app}/gradio_api/startup-events").json() is False


# Links


@pytest.mark.parametrize("name", ["deep_link", "deep%5Flink", "Deep_link&deep_link"])
def test_no_link_brings_a_page_of_its_own(fake_app: str, name: str) -> None:
    for path in ("/", "/config", "/config/"):
        assert CALLER.get(f"{fake_app}{path}?{name}=x").status_code == 404
        assert CALLER.get(f"{fake_app}{path}?lang=en").status_code == 200


# Pages of other sites


@pytest.mark.parametrize("origin", ["null", EVIL, "http://localhost.evil.example", "http://127.0.0.1.evil.example"])
def test_another_sites_page_reads_nothing_of_an_app_at_home(fake_app: str, origin: str) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    for path in ("/", "/config", "/gradio_api/info", "/gradio_api/queue/join", "/metrics"):
        for method in ("GET", "OPTIONS"):
            answer = CALLER.request(method, f"{fake_app}{path}", headers=asked)
            assert "access-control-allow-origin" not in answer.headers
    own = CALLER.get(f"{fake_app}/config", headers={"Origin": "http://localhost:1"})
    assert own.headers["access-control-allow-origin"] == "http://localhost:1"


@pytest.mark.parametrize("origin", ["null", EVIL])
def test_another_sites_page_sends_nothing_to_an_app_at_home(fake_app: str, origin: str) -> None:
    """A form with a file needs no leave of the server's: only the answer is hidden from the page that sends it."""
    files = {"files": ("a.wav", b"RIFF", "audio/wav")}

    def sent(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return CALLER.post(f"{fake_app}/gradio_api/upload", files=files, headers=named).status_code

    assert sent(Origin=origin, Sec_Fetch_Site="cross-site") == 403
    assert sent(Origin=fake_app, Sec_Fetch_Site="same-origin") == 200
    assert sent(Origin=EVIL, Sec_Fetch_Site="same-origin") == 200  # behind a proxy that names this machine as the host
    assert sent(Origin=EVIL, Sec_Fetch_Site="cross-site", Host="music.example") == 200  # a public app, used elsewhere
    assert sent() == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_starts_nothing(fake_app: str, kind: str) -> None:
    """Another site's page can send these kinds unasked; JSON it can't."""
    call = json.dumps({"data": [], "fn_index": 0, "session_hash": "a form"})
    for path in ("queue/join", "run/predict", "call/text"):
        answer = CALLER.post(f"{fake_app}/gradio_api/{path}", content=call, headers={"Content-Type": kind})
        assert answer.status_code == 422


def test_there_is_no_cookie_to_steal(fake_app: str) -> None:
    """On a public app any site may read the answers; it gets what everybody gets."""
    for path in ("/", "/config", "/gradio_api/info", "/gradio_api/login_check", "/gradio_api/token", "/healthz"):
        assert "set-cookie" not in CALLER.get(f"{fake_app}{path}").headers


# Headers of proxies


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "X-Gradio-Server", "Host"])
def test_whom_a_stranger_names_as_the_host_is_told_to_nobody_else(fake_app: str, header: str) -> None:
    named = "evil.example" if header != "X-Gradio-Server" else EVIL

    def others(_: int) -> str:
        CALLER.get(f"{fake_app}/config", headers={header: named})
        return "".join(CALLER.get(f"{fake_app}{path}").text for path in ("/config", "/gradio_api/info"))

    own = CALLER.get(f"{fake_app}/config", headers={header: named})
    assert own.json()["root"] == EVIL
    assert not {"etag", "last-modified", "expires", "cache-control"} & set(own.headers)  # no cache keeps it by itself
    with ThreadPoolExecutor(8) as pool:
        assert "evil.example" not in "".join(pool.map(others, range(40)))
    assert "evil.example" not in CALLER.get(f"{fake_app}/").text


def test_nobody_is_visited_because_he_was_named_as_the_host(fake_app: str, visited: tuple[str, list[str]]) -> None:
    address, visits = visited
    headers = {"X-Forwarded-Host": address.removeprefix("http://"), "X-Gradio-Server": address}
    clip = {"path": "a.wav", "url": f"{address}/gradio_api/file=a.wav", "meta": {"_type": "gradio.FileData"}}
    call = {"data": ["", clip, "continue", 53], "fn_index": endpoint(fake_app, "audio"), "session_hash": "named"}
    assert CALLER.post(f"{fake_app}/gradio_api/run/audio", json=call, headers=headers).status_code == 500
    assert CALLER.get(f"{fake_app}/gradio_api/proxy={address}/", headers=headers).status_code == 400
    for path in ("/", "/config", "/gradio_api/file=a.wav", "/logout"):
        CALLER.get(f"{fake_app}{path}", headers=headers)
    assert visits == []


@pytest.mark.parametrize(
    "path", ["/logout?_target_url=https://evil.example", "//evil.example/", "//evil.example/%2e%2e"]
)
def test_no_link_leads_to_another_address(fake_app: str, path: str) -> None:
    location = CALLER.get(f"{fake_app}{path}").headers.get("location", fake_app)
    assert location.startswith(fake_app)
    assert "evil" not in location


# Files of the server


def test_no_handler_copies_a_file_of_the_servers(fake_app: str, tmp_path: Path) -> None:
    """Every handler, given a path in every place, in all the forms that Gradio once took for a file of the caller's."""
    content = b"nobody was given this: %f" % time.time()
    secret = tmp_path / "secret.txt"
    secret.write_bytes(content)
    uploads = Path(upload(fake_app, "known.txt", content)).parent.parent

    def copies() -> list[Path]:
        return [path for path in uploads.parent.rglob("*") if path.is_file() and path.read_bytes() == content]

    assert [path.name for path in copies()] == ["known.txt"]
    file = {"path": str(secret), "orig_name": "a.txt", "size": len(content), "mime_type": "text/plain"}
    marked = {**file, "meta": {"_type": "gradio.FileData"}}
    forms = [str(secret), file, marked, [marked], json.dumps(marked)]
    calls = [
        (handler["id"], [form] * len(handler["inputs"]), f"copier {handler['id']} {number}")
        for handler in handlers(fake_app)
        if handler["backend_fn"]
        for number, form in enumerate(forms)
    ]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda call: answer_of(fake_app, call[0], call[1], call[2], 60), calls))
    assert content.decode() not in json.dumps(answers)
    assert [path.name for path in copies()] == ["known.txt"]


@pytest.mark.parametrize("path", ["run/audio", "api/audio", "call/audio"])
def test_a_path_is_no_clip_beside_the_queue_either(fake_app: str, path: str) -> None:
    clip = {"path": str(ROOT / "README.md"), "meta": {"_type": "gradio.FileData"}}
    answer = CALLER.post(f"{fake_app}/gradio_api/{path}", json={"data": ["", clip, "continue", 53]})
    if path == "call/audio":
        answer = CALLER.get(f"{fake_app}/gradio_api/{path}/{answer.json()['event_id']}", timeout=30)
        assert "event: error" in answer.text
    else:
        assert answer.status_code == 500
    assert "take-" not in answer.text


def test_words_that_name_a_file_stay_words(fake_app: str) -> None:
    """Gradio's JSON component once took a text for what it describes, and handed the file out."""
    words = json.dumps({"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}})
    answer = answer_of(fake_app, endpoint(fake_app, "text"), [words, 53, *[None] * 6, 1, "nano", "auto"], "words")
    assert answer["success"], answer
    assert answer["output"]["data"][1][0]["prompt"] == words
    assert "passwd" not in json.dumps(answer["output"]["data"][0])


@pytest.mark.parametrize(
    "path",
    ["{0}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "{0}%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd", "{1}"],
)
def test_no_way_leads_out_of_a_folder_that_is_served(fake_app: str, path: str) -> None:
    known = Path(upload(fake_app, "known.txt", b"known"))
    assert CALLER.get(f"{fake_app}/gradio_api/file={known}").content == b"known"
    for prefix in ("file=", "file/"):
        url = f"{fake_app}/gradio_api/{prefix}" + path.format(known.parent, str(ROOT / "app.py").upper())
        answer = httpx.get(httpx.URL(url), follow_redirects=True)
        assert answer.status_code in (403, 404)


# What others do


def test_a_stranger_stops_nobodys_run(fake_app: str) -> None:
    index = endpoint(fake_app, "text")
    call = {"data": ["mine", 500, *[None] * 6, 1, "nano", "auto"], "fn_index": index, "session_hash": "victim7f3k9"}
    mine = CALLER.post(f"{fake_app}/gradio_api/queue/join", json=call).json()["event_id"]
    assert re.fullmatch("[0-9a-f]{32}", mine)  # who knows it, or the session, could; neither can be guessed
    answers: list[dict] = []
    listening = threading.Thread(target=lambda: answers.append(heard(fake_app, "victim7f3k9")))
    listening.start()
    for session, event in [("stranger", "0" * 32), ("", ""), ("None", "None"), ("victim7f3k", "x"), ("*", "*")]:
        guess = {"session_hash": session, "fn_index": index, "event_id": event}
        assert CALLER.post(f"{fake_app}/gradio_api/cancel", json=guess).status_code == 200
        CALLER.post(f"{fake_app}/gradio_api/reset", json={"event_id": event})
    listening.join(30)
    assert answers[0]["success"]
    assert answers[0]["output"]["data"][1][0]["prompt"] == "mine"


def test_who_started_a_run_can_stop_it(fake_app: str) -> None:
    """So that the test above tries what works."""
    index = endpoint(fake_app, "text")
    call = {"data": ["mine", 1_500, *[None] * 6, 1, "nano", "auto"], "fn_index": index, "session_hash": "stopper"}
    mine = CALLER.post(f"{fake_app}/gradio_api/queue/join", json=call).json()["event_id"]
    time.sleep(0.5)
    own = {"session_hash": "stopper", "fn_index": index, "event_id": mine}
    assert CALLER.post(f"{fake_app}/gradio_api/cancel", json=own).status_code == 200
    assert "take-" not in json.dumps(heard(fake_app, "stopper"))


def heard(url: str, session: str) -> dict:
    with httpx.stream("GET", f"{url}/gradio_api/queue/data?session_hash={session}", timeout=30) as lines:
        for line in lines.iter_lines():
            message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
            if message.get("msg") in ("process_completed", "unexpected_error"):
                return message
    raise AssertionError("no answer")


def test_a_stranger_hears_nothing_of_others(fake_app: str) -> None:
    """Neither of their runs nor of what they upload."""
    assert heard(fake_app, "nobody")["session_not_found"]
    status = CALLER.get(f"{fake_app}/gradio_api/queue/status").json()
    assert status["event_id"] is None
    files = {"files": ("private.wav", b"RIFF", "audio/wav")}
    assert CALLER.post(f"{fake_app}/gradio_api/upload?upload_id=h2k9s0", files=files).status_code == 200
    answer = CALLER.get(f"{fake_app}/gradio_api/upload_progress?upload_id=h2k9s1", timeout=10)
    assert (answer.status_code, answer.text) == (404, "Upload not found")


def test_the_progress_of_uploads_is_forgotten() -> None:
    with gr.Blocks() as page:
        pass
    guard_files(page)
    for number in range(5_000):
        file_upload_statuses.track(f"sent {number}")
        file_upload_statuses._signals[f"asked for {number}"].is_set()
    assert len(file_upload_statuses._statuses) == len(file_upload_statuses._signals) == 1_000
    assert file_upload_statuses._signals["sent 4999"].is_set()
    assert not file_upload_statuses.is_done("sent 4999")


# Forms without end


PART = b'--xyz\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\nRIFF\r\n'
MUCH = 20_000_000


@pytest.mark.parametrize(
    ("boundary", "form"),
    [
        ("xyz", PART + b"--xyz" + b"-" * MUCH),
        ("xyz", PART + b"--xyz--" + b"\r\n" * (MUCH // 2)),
        ("xyz", b"\r\n" * (MUCH // 2) + PART + b"--xyz--\r\n"),
        ("xyz", b"x" * MUCH),
        ("xyz", b"--xyz\r\nContent-Disposition: " + b"x" * MUCH),
        ("xyz", PART.replace(b"a.wav", b"a" * MUCH)),
        ("xyz", b"--xyz\r\n" + b"A: b\r\n" * (MUCH // 6)),
        ("xyz", PART * 20_000),
        ("xyz", PART[:-2] + b"\r\n--xy" * (MUCH // 6)),
        ("y" * 60_000, b"--" + b"y" * MUCH),
        ("", PART),
    ],
    ids=["dashes", "end", "beginning", "no part", "header", "name", "headers", "parts", "almost", "boundary", "none"],
)
def test_no_form_keeps_the_server_busy(fake_app: str, boundary: str, form: bytes) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    started = time.monotonic()
    answer = httpx.post(f"{fake_app}/gradio_api/upload", content=form, headers=headers, timeout=60)
    assert answer.status_code in (200, 400, 500)
    assert "Traceback" not in answer.text
    assert CALLER.get(f"{fake_app}/healthz").status_code == 200
    assert time.monotonic() - started < 20


def test_a_form_that_is_whole_is_taken(fake_app: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=xyz"}
    answer = httpx.post(f"{fake_app}/gradio_api/upload", content=PART + b"--xyz--\r\n", headers=headers)
    assert Path(answer.json()[0]).read_bytes() == b"RIFF"
