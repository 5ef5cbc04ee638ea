"""The guard around the page's server, mostly without one."""

import gc
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio_client import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from musicgen_ui.limits import Limits
from musicgen_ui.locales import catalogue
from musicgen_ui.ui.broadcast import Broadcasts
from musicgen_ui.ui.guard import MESSAGE_BYTES, guard_files, guarded
from musicgen_ui.ui.page import build_page, launch_options
from musicgen_ui.ui.sessions import Sessions
from tests.coroutines import run
from tests.ui.fake_engine import FakeEngine


def test_names_of_files_are_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with gr.Blocks() as page:
        player = gr.Audio()
    guard_files(page)
    take = tmp_path / "take.wav"
    take.touch()
    assert run(player.async_move_resource_to_block_cache(str(take))) == str(take)
    page.upload_file_set.update([str(take)])
    assert not any([player.temp_files, page.upload_file_set, *page.temp_file_sets])


async def count(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@pytest.mark.parametrize("path", ["/call", "/gradio_api/upload"])
@pytest.mark.parametrize("told", [True, False])
def test_messages_are_bounded_whether_their_length_is_told_or_not(path: str, told: bool, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    limits = Limits(prompts=2, clip_bytes=3_000_000, free_disk_bytes=0)
    most = MESSAGE_BYTES if path == "/call" else 6_000_000
    app = Starlette(routes=[Route(path, count, methods=["POST"])], middleware=guarded(limits))

    async def answer(size: int) -> httpx.Response:
        async def pieces():
            for _ in range(size // 1_000):
                yield b" " * 1_000

        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
            content = b" " * size if told else pieces()
            return await client.post(path, content=content, headers={"Accept-Language": "zh-CN"})

    fits, beyond = run(answer(most // 1_000 * 1_000)), run(answer(most + 1_000_000))
    assert (fits.status_code, fits.text) == (200, str(most // 1_000 * 1_000))
    assert fits.headers["x-content-type-options"] == "nosniff"
    assert beyond.status_code == 413
    assert beyond.text == catalogue("zh-CN")["error.message_bytes"].format(limit=most >> 20)


def test_events_of_long_ago_are_forgotten_and_cost_nothing() -> None:
    limits = Limits()
    page = build_page(FakeEngine(limits), limits, Broadcasts(), Sessions(limits))
    queue = page._queue
    for number in range(20_000):
        queue.event_analytics[f"event {number}"] = {"status": "queued", "process_time": None, "function": "text"}
        queue.event_analytics[f"event {number}"] |= {"status": "success", "process_time": 1.0}
        if number < 3 or number > 19_990:
            queue.compute_analytics_summary(queue.event_analytics)
    assert len(queue.event_analytics) == 1_000
    assert "event 19999" in queue.event_analytics
    assert queue.event_count_at_last_cache <= 1_000


@pytest.fixture
def served():
    """A page that is served, to three visitors at most."""
    limits = Limits(sessions=3)
    engine = FakeEngine(limits, seconds_per_token=0, warm_up=0)
    page = build_page(engine, limits, Broadcasts(), Sessions(limits))
    page.launch(**launch_options(limits, ()), prevent_thread_lock=True, quiet=True)
    yield page
    page.close()


def test_gradio_keeps_nothing_of_what_is_over(served) -> None:
    """Else every call's request for ever, and of each of 10,000 visitors the whole page, two megabytes."""
    clients = [Client(served.local_url, verbose=False, download_files=False) for _ in range(5)]
    for client in clients:
        assert client.predict(max_new_tokens=20, api_name="/unconditional")
    gc.collect()
    assert len(served._queue.event_ids_to_events) <= 1
    assert len(served._queue._asyncio_tasks) <= 1
    assert len(served.app.state_holder.session_data) == 3
