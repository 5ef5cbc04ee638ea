"""A take's sound on its way to the browser while it is being made, over a route of our own.

Not by Gradio's events: gr.Audio(streaming=True) encodes every piece anew and leaves a gap between two.
"""

import asyncio
import contextlib
import secrets
import struct
import threading
import time
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from musicgen_ui.events import Sound

LINGERS = 5.0
"""seconds after the run's end in which a listener on a slow line may still come"""
_CHUNK = 1 << 16  # bytes handed to the network at once
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy must not wait for the end either


class Broadcast:
    """The sound of one run. The run's thread adds to it, listeners in the server's event loop read along.

    All that was made is held until the run is over, but no more than the take is long (38 MB for 5 minutes
    of stereo), so a listener may come late. A listener is only a position in it: a slow one, one that left, or
    none at all costs the run nothing.
    """

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(16)
        self.ended: float | None = None
        self._begun: float | None = None
        self._sampling_rate = self._channels = self._size = 0
        self._pcm = bytearray()
        self._listeners: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def audible(self) -> bool:
        return bool(self._pcm)

    @property
    def seconds_making(self) -> float:
        """For how long the take has been in the making."""
        return 0.0 if self._begun is None else time.monotonic() - self._begun

    def begin(self) -> None:
        """The first token is being made. Later calls change nothing."""
        self._begun = self._begun or time.monotonic()

    def add(self, sound: Sound) -> None:
        if not self._size:
            self._sampling_rate, self._channels = sound.sampling_rate, len(sound.pcm)
            self._size = 2 * self._channels * (round(sound.seconds * sound.sampling_rate) - sound.start)
        self._pcm += sound.pcm.T.astype("<i2").tobytes()[: self._size - len(self._pcm)]  # (samples x channels)
        self._wake()

    def end(self) -> None:
        self.ended = time.monotonic()
        self._wake()

    async def wav(self, skip: int = 0) -> AsyncIterator[bytes]:
        """A WAV file that grows while it is read: its header tells the whole take's size, from sample `skip` on.

        It breaks off where the run was stopped.
        """
        position = 2 * self._channels * skip
        yield _wav_header(self._sampling_rate, self._channels, max(0, self._size - position))
        news = asyncio.Event()
        listener = (asyncio.get_running_loop(), news)
        self._listeners.add(listener)
        try:
            over = False
            while not over and position < self._size:
                news.clear()
                over = self.ended is not None  # asked before reading: nothing is added after the end
                while piece := bytes(self._pcm[position : position + _CHUNK]):
                    position += len(piece)
                    yield piece
                if not over and position < self._size:
                    await news.wait()
        finally:
            self._listeners.discard(listener)

    def _wake(self) -> None:
        for loop, news in tuple(self._listeners):
            with contextlib.suppress(RuntimeError):  # the server is being closed
                loop.call_soon_threadsafe(news.set)


class Broadcasts:
    """The runs that can be listened to, by a token that only their page knows."""

    def __init__(self) -> None:
        self._broadcasts: dict[str, Broadcast] = {}
        self._lock = threading.Lock()

    def open(self) -> Broadcast:
        broadcast = Broadcast()
        with self._lock:
            self._sweep()
            self._broadcasts[broadcast.token] = broadcast
        return broadcast

    def find(self, token: str) -> Broadcast | None:
        """The broadcast of that token, if there is something to hear; None soon after its run is over."""
        with self._lock:
            self._sweep()
            broadcast = self._broadcasts.get(token)
        return broadcast if broadcast and broadcast.audible else None

    def __len__(self) -> int:
        return len(self._broadcasts)

    def _sweep(self) -> None:
        deadline = time.monotonic() - LINGERS
        for token, broadcast in list(self._broadcasts.items()):
            if broadcast.ended is not None and broadcast.ended < deadline:
                del self._broadcasts[token]

    async def listen(self, request: Request) -> Response:
        """GET /listen/{token}?skip=SAMPLES"""
        broadcast = self.find(request.path_params["token"])
        skip = request.query_params.get("skip", "0")
        if broadcast is None or not skip.isdecimal():
            return PlainTextResponse("There is nothing to listen to here.", 404, _HEADERS)
        since = {"X-Seconds-Making": f"{broadcast.seconds_making:.3f}"}
        return StreamingResponse(broadcast.wav(int(skip)), headers={**_HEADERS, **since}, media_type="audio/wav")


def _wav_header(sampling_rate: int, channels: int, size: int) -> bytes:
    """44 bytes before `size` bytes of interleaved 16-bit samples."""
    block = 2 * channels
    return struct.pack(
        "<4sI8sIHHIIHH4sI",
        *(b"RIFF", 36 + size, b"WAVEfmt ", 16, 1, channels, sampling_rate, sampling_rate * block, block, 16),
        *(b"data", size),
    )
