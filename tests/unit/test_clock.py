"""The machine's clock is set by hours, forwards or back, while the page is in use: nobody is to notice."""

import asyncio
import datetime
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from gradio import route_utils

from musicgen_ui.limits import Limits
from musicgen_ui.take import Take
from musicgen_ui.ui.asks import Ask
from musicgen_ui.ui.broadcast import Broadcasts
from musicgen_ui.ui.page import build_page
from musicgen_ui.ui.runs import Runs
from musicgen_ui.ui.sessions import Sessions
from tests.coroutines import run
from tests.ui.fake_engine import FakeEngine

LIMITS = Limits()
READER = SimpleNamespace(session_hash="tab", headers={"accept-language": "en"})
HOURS = pytest.mark.parametrize("hours", [10, -10])


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """set_clock(hours) sets the time of day by so many hours from what it really is."""

    def set_clock(hours: float) -> None:
        class Moved(datetime.datetime):
            @classmethod
            def now(cls, tz=None):
                return super().now(tz) + datetime.timedelta(hours=hours)

        really = time.monotonic() - time.time()
        monkeypatch.setattr(time, "time", lambda: time.monotonic() - really + 3_600 * hours)
        monkeypatch.setattr(route_utils, "datetime", Moved)

    return set_clock


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))


def a_take() -> Take:
    return Take(np.zeros((1, 640), np.float32), 32_000, np.zeros((4, 1), np.int16), {"seed": 1, "prompt": "x"})


@HOURS
def test_takes_and_uploads_stay(hours: float, tmp_path: Path, set_clock: Callable, monkeypatch) -> None:
    """Also what Gradio does from time to time, told here that the time has come."""
    sessions = Sessions(LIMITS)
    page = build_page(FakeEngine(LIMITS), LIMITS, Broadcasts(), sessions)
    player = next(block for block in page.blocks.values() if isinstance(block, gr.Audio))
    shelf = sessions.open("tab", None).shelf
    (take,) = shelf.keep((a_take(),), Ask("text", ("x",)))
    clip = tmp_path / "clip.wav"
    clip.touch()
    at_once = SimpleNamespace(create_task=asyncio.create_task, sleep=lambda seconds: asyncio.sleep(0.01))
    monkeypatch.setattr(route_utils, "asyncio", at_once)

    async def serve() -> list[bool]:
        app = gr.routes.App.create_app(page)
        await player.async_move_resource_to_block_cache(str(take.wav))
        page.upload_file_set.update([str(clip)])
        set_clock(hours)
        async with app.router.lifespan_context(app):
            await asyncio.sleep(0.5)
            return [take.wav.exists(), clip.exists()]

    assert run(serve()) == [True, True]
    sessions.of("another")
    assert sessions.open("reloaded", shelf.key).shelf is shelf
    assert shelf.takes


@HOURS
def test_who_has_long_been_silent_goes_all_the_same(hours: float, set_clock: Callable) -> None:
    sessions = Sessions(LIMITS)
    shelf = sessions.open("tab", None).shelf
    set_clock(hours)
    shelf.last_used -= LIMITS.forgotten_seconds + 1
    sessions.of("another")
    assert sessions.find("tab") is None


@HOURS
def test_a_run_takes_as_long_as_it_takes(hours: float, set_clock: Callable) -> None:
    runs = Runs(FakeEngine(LIMITS, 0.02, 0.0), Sessions(LIMITS), LIMITS, Broadcasts(), SimpleNamespace(), 13)
    said = []
    asked = {"tab": "text", "prompts": "x", "clip": None, "mode": "continue", "description": "", "more_clips": None,
             "length": 53, "guidance_scale": 3.0, "do_sample": True, "model": "nano", "takes": 1, "temperature": 1.0,
             "top_k": 250, "top_p": 1.0, "seed": 1, "locked": False, "engine": "auto", "changes": {},
             "without_drums": False, "batch": None, "request": READER}  # fmt: skip
    for count, update in enumerate(runs.generate(**asked)):
        if count == 3:
            set_clock(hours)
        if isinstance(update[0], str):
            said.append(update[0])
    assert len(said) > 5
    assert 'data-state="done"' in said[-1]
    times = [float(told) for line in said for told in re.findall(r"(?:about|in) ([\d.]+) s", line)]
    assert len(times) > 3
    assert 0 <= min(times) <= max(times) < 5
    assert not any(re.search(r"\d min", line) for line in said)


def test_takes_of_a_machine_without_a_clock_are_packed(tmp_path: Path) -> None:
    """After a start without one it is 1970, which no archive can hold."""
    sessions = Sessions(LIMITS)
    shelf = sessions.open("tab", None).shelf
    (take,) = shelf.keep((a_take(),), Ask("text", ("x",)))
    os.utime(take.wav, (0, 0))
    assert shelf.zipped().stat().st_size > 1_000
