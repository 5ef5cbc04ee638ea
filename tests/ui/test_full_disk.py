"""The page and the API where the disk is full: one sentence, and the next request works. No browser, no server."""

import errno
import os
import zipfile
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
import soundfile
from starlette.applications import Starlette
from starlette.testclient import TestClient

from musicgen_ui.limits import Limits
from musicgen_ui.locales import catalogue
from musicgen_ui.request import Settings
from musicgen_ui.ui.api import Api
from musicgen_ui.ui.broadcast import Broadcasts
from musicgen_ui.ui.routes import make_routes
from musicgen_ui.ui.runs import Runs
from musicgen_ui.ui.sessions import Sessions
from tests.ui.fake_engine import FakeEngine

LIMITS = Limits()
READER = SimpleNamespace(session_hash="tab", headers={"accept-language": "en"})


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """Full once its `room` (bytes) is used up: files beyond that break off in their middle."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    disk = SimpleNamespace(room=0, folder=tmp_path)

    def write(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: disk.room])
        if len(content) > disk.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        disk.room -= len(content)
        return len(content)

    monkeypatch.setattr(Path, "write_bytes", write)
    return disk


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("room", [0, 20_000, 40_000])
def test_the_api_says_so(disk: SimpleNamespace, room: int) -> None:
    """Two takes of half a second: 32 KB each."""
    sessions = Sessions()
    api = Api(FakeEngine(LIMITS, 0, 0), sessions, LIMITS)
    call = {"prompt": "x", "max_new_tokens": 28, "takes": 2, "request": READER}
    disk.room = room
    with pytest.raises(gr.Error) as told:
        api.text(**call)
    name = f"take-{1 + room // 33_000}.wav"
    assert told.value.message == catalogue("en")["error.disk_full"].format(name=name)
    assert not any(name.endswith(".part") for name in files_in(disk.folder))
    assert not sessions.busy
    disk.room = 10**9
    files, records = api.text(**call)
    assert [soundfile.info(file["path"]).duration for file in files] == [0.5, 0.5]
    assert len(records) == 2


def test_the_page_says_so_and_goes_on(disk: SimpleNamespace) -> None:
    sessions = Sessions()
    runs = Runs(FakeEngine(LIMITS, 0, 0), sessions, LIMITS, Broadcasts(), SimpleNamespace(), 13)
    settings = vars(Settings(28, 3.0, True, 1.0, 250, 1.0))
    asked = {
        "tab": "text", "prompts": "x", "clip": None, "mode": "continue", "description": "", "more_clips": None,
        "model": "nano", "takes": 1, "seed": 1, "locked": False, "engine": "auto", "changes": {},
        "without_drums": False, "batch": None, "request": READER,
        "length": settings.pop("max_new_tokens"), **settings,
    }  # fmt: skip
    for room in (0, 40_000):  # no take; a take, but no other file of it
        disk.room = room
        *_, last = runs.generate(**asked)
        assert 'data-state="fault"' in last[0]
        assert "The disk is full" in last[0]
        assert last[2]["interactive"]
        assert not sessions.busy
    disk.room = 10**9
    *_, last = runs.generate(**asked)
    assert 'data-state="done"' in last[0]


@pytest.mark.parametrize(("language", "locale"), [("en-GB,en;q=0.8", "en"), ("zh-CN", "zh-CN")])
def test_a_download_says_so_and_leaves_nothing_behind(
    disk: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, language: str, locale: str
) -> None:
    """The archive of all takes, and a take in a format that is made when it is asked for."""
    sessions = Sessions()
    disk.room = 10**9
    session = sessions.open("tab", "k" * 32)
    Api(FakeEngine(LIMITS, 0, 0), sessions, LIMITS).text(prompt="x", max_new_tokens=28, request=READER)
    folder = session.shelf.folder.name
    before = files_in(disk.folder)

    def write(*given: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with TestClient(
        Starlette(routes=make_routes(Broadcasts(), sessions)), headers={"accept-language": language}
    ) as client:
        paths = {f"/takes/{folder}.zip": "takes.zip", f"/takes/{folder}/take-1.flac": "take-1.flac"}
        disk.room = 0
        with monkeypatch.context() as patch:
            patch.setattr(zipfile.ZipFile, "write", write)
            for path, name in paths.items():
                answer = client.get(path)
                assert answer.status_code == 507
                assert answer.text == catalogue(locale)["error.disk_full"].format(name=name)
        assert files_in(disk.folder) == before
        disk.room = 10**9
        assert [client.get(path).status_code for path in paths] == [200, 200]
