"""A run's sound on its way to listeners, without a browser."""

import asyncio
import io
import threading
import time
from collections.abc import Callable

import httpx
import numpy as np
import pytest
import soundfile
from starlette.applications import Starlette

from musicgen_ui.events import Sound
from musicgen_ui.ui import broadcast
from musicgen_ui.ui.broadcast import Broadcast, Broadcasts
from musicgen_ui.ui.routes import make_routes
from musicgen_ui.ui.sessions import Sessions
from tests.coroutines import run

Get = Callable[[str], httpx.Response]
RATE = 32_000  # Hz
TAKE = np.random.default_rng(1).integers(-32767, 32768, (2, RATE)).astype(np.int16)
"""(channels, samples): one second of stereo"""


def pieces(take: np.ndarray = TAKE, size: int = 3_001) -> list[Sound]:
    seconds = take.shape[1] / RATE
    return [Sound(take[:, i : i + size], i, RATE, seconds) for i in range(0, take.shape[1], size)]


def made(take: np.ndarray = TAKE) -> Broadcast:
    whole = Broadcast()
    for piece in pieces(take):
        whole.add(piece)
    return whole


async def listen(to: Broadcast, skip: int = 0) -> bytes:
    return b"".join([chunk async for chunk in to.wav(skip)])


def samples(wav: bytes) -> np.ndarray:
    """(channels, samples)"""
    sound, rate = soundfile.read(io.BytesIO(wav), dtype="int16", always_2d=True)
    assert rate == RATE
    return sound.T


@pytest.fixture
def broadcasts() -> Broadcasts:
    return Broadcasts()


@pytest.fixture
def get(broadcasts: Broadcasts) -> Get:
    async def answer(path: str) -> httpx.Response:
        app = httpx.ASGITransport(Starlette(routes=make_routes(broadcasts, Sessions())))
        async with httpx.AsyncClient(transport=app, base_url="http://page") as client:
            return await client.get(f"/listen/{path}")

    return lambda path: run(answer(path))


@pytest.mark.parametrize("channels", [1, 2])
def test_listeners_hear_what_is_made_meanwhile(channels: int) -> None:
    take = TAKE[:channels]
    running = Broadcast()
    first, *others = pieces(take)
    running.add(first)

    def make() -> None:
        for piece in others:
            time.sleep(0.01)
            running.add(piece)
        running.end()

    async def listen_twice() -> list[bytes]:
        thread = threading.Thread(target=make)
        thread.start()
        heard = await asyncio.gather(listen(running), listen(running))
        thread.join()
        return heard

    for heard in run(listen_twice()):
        assert np.array_equal(samples(heard), take)


def test_a_late_listener_hears_it_from_the_beginning() -> None:
    assert np.array_equal(samples(run(listen(made()))), TAKE)


def test_a_listener_can_go_on_where_its_connection_broke_off() -> None:
    assert np.array_equal(samples(run(listen(made(), skip=12_345))), TAKE[:, 12_345:])
    assert samples(run(listen(made(), skip=10**9))).shape[1] == 0


def test_a_stopped_run_ends_the_file_early() -> None:
    stopped = Broadcast()
    stopped.add(pieces()[0])
    stopped.end()
    wav = run(listen(stopped))
    assert int.from_bytes(wav[40:44], "little") == TAKE.nbytes
    assert len(wav) == 44 + pieces()[0].pcm.nbytes


def test_no_more_is_held_than_the_take_is_long() -> None:
    whole = made()
    for piece in pieces():
        whole.add(piece)
    assert len(run(listen(whole))) == 44 + TAKE.nbytes


def test_who_leaves_or_dawdles_holds_nothing_up() -> None:
    running = Broadcast()
    first, *others = pieces()
    running.add(first)

    async def leave() -> None:
        gone, slow = running.wav(), running.wav()
        for listener in (gone, slow):
            assert len(await anext(listener)) == 44
            assert await anext(listener) == first.pcm.T.tobytes()
        await gone.aclose()
        for piece in others:
            running.add(piece)
        running.end()
        rest = b"".join([chunk async for chunk in slow])
        assert rest == TAKE[:, first.pcm.shape[1] :].T.tobytes()

    run(leave())
    assert not running._listeners


def test_the_route_gives_the_take_and_since_when_it_is_made(broadcasts: Broadcasts, get: Get) -> None:
    running = broadcasts.open()
    running.begin()
    for piece in pieces():
        running.add(piece)
    running.end()
    answer = get(running.token)
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["cache-control"] == "no-store"
    assert 0 < float(answer.headers["x-seconds-making"]) < 60
    assert np.array_equal(samples(answer.content), TAKE)
    assert np.array_equal(samples(get(f"{running.token}?skip=100").content), TAKE[:, 100:])


def test_there_is_nothing_elsewhere(broadcasts: Broadcasts, get: Get) -> None:
    silent, heard = broadcasts.open(), broadcasts.open()
    heard.add(pieces()[0])
    heard.end()
    for path in ("x", silent.token, heard.token[:-1], f"{heard.token}?skip=-1", f"{heard.token}?skip=x"):
        assert get(path).status_code == 404
    assert len(heard.token) > 20


def test_it_is_gone_soon_after_the_run(broadcasts: Broadcasts, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    over, running = broadcasts.open(), broadcasts.open()
    for each in (over, running):
        each.add(pieces()[0])
    over.end()
    assert get(over.token).status_code == 200
    monkeypatch.setattr(broadcast, "LINGERS", -1.0)
    assert get(over.token).status_code == 404
    assert broadcasts.find(running.token) is running
    assert len(broadcasts) == 1
