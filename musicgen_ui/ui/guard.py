"""What strangers must not get from the page's server: its memory, its disk, its network, its good name.

Gradio bounds each uploaded file, but neither their number nor the size of other messages; it sends browsers on to any
address that stands behind /file=, fetches addresses that a caller gives instead of a file, and remembers for ever the
name of each file that it has handed out. It also has routes that this page never uses, some of which write files, run
ffmpeg on what was sent, or build the page anew.
"""

import asyncio
import re
import shutil
import tempfile
import weakref
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
from gradio.context import LocalContext
from gradio.route_utils import CustomCORSMiddleware
from gradio.routes import file_upload_statuses
from gradio.utils import get_upload_folder
from gradio_client.utils import is_http_url_like
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from musicgen_ui.errors import AppError, InputError, MachineError
from musicgen_ui.limits import Limits
from musicgen_ui.locales import choose_language
from musicgen_ui.ui.strings import language_of, say

MESSAGE_BYTES = 4 * 1024 * 1024
"""of a call that brings no files"""
_EVENTS = 1_000  # more than ever wait at once: those Gradio still writes to
_FORM_BYTES = 64 * 1024  # what a form adds to the files in it
_ELSEWHERE = re.compile(r"/file=\s*https?:", re.I)
_UNUSED = (  # the beginnings of Gradio's routes that the page has no use for
    "/gradio_api/component_server",  # calls functions of components
    "/gradio_api/custom_component/",  # reads files beside a component's module
    "/gradio_api/deep_link",  # writes a session's components to the disk, to stay there
    "/gradio_api/dev/",
    "/gradio_api/process_recording",  # runs ffmpeg
    "/gradio_api/profiling/",
    "/gradio_api/stream/",  # keeps an entry of every session it is asked for
    "/gradio_api/undo-vibe-edit",
    "/gradio_api/vibe-",  # reads and writes the app's source
    "/monitoring",  # its summary is there without `enable_monitoring`
    "/pwa_icon/",  # an icon of any size
)


class Guard:
    """Stands around the whole server (ASGI)."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._cors = CustomCORSMiddleware(app)
        self._upload_bytes = limits.prompts * limits.clip_bytes + _FORM_BYTES
        self._free_bytes = limits.free_disk_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        uploads = scope["path"].rstrip("/").endswith("/upload")
        most = self._upload_bytes if uploads else MESSAGE_BYTES
        too_long = InputError("error.message_bytes", limit=most >> 20)
        refusal = None
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > most:
            refusal = _sentence(too_long, headers, 413)
        elif uploads and _free_disk() < self._free_bytes:
            refusal = _sentence(MachineError("error.upload_disk_full"), headers, 507)
        elif _ELSEWHERE.search(scope["path"]) or _unused(scope):
            refusal = PlainTextResponse("Not found", 404)
        elif scope["method"] == "POST" and self._by_another_site(headers):
            refusal = PlainTextResponse("Forbidden", 403)

        got = 0
        answered = False

        async def bounded() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > most:  # a body that came without its length
                raise _TooLong
            return message

        async def labelled(message: Message) -> None:
            nonlocal answered
            answered = True
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            await (refusal or self._app)(scope, bounded, labelled)
        except _TooLong:
            if not answered:
                await _sentence(too_long, headers, 413)(scope, receive, labelled)

    def _by_another_site(self, headers: Headers) -> bool:
        """Whether somebody's page on the internet lets its reader's browser call an app on the reader's own machine.
        Gradio hides the answers from such a page, but takes what it uploads."""
        if headers.get("sec-fetch-site") != "cross-site" or "origin" not in headers:
            return False
        return not self._cors.is_valid_origin(headers)


def _unused(scope: Scope) -> bool:
    """Whether this asks for a part of Gradio that the page has no use for, as ?deep_link= is."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    return path.startswith(_UNUSED) or "deep_link" in QueryParams(scope["query_string"])


def _free_disk() -> int:
    """Bytes, where uploads go. Makes the folders where there are none: systems clear /tmp of what is old."""
    folder = Path(get_upload_folder())
    for made in (folder, Path(tempfile.gettempdir())):
        made.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free


class _TooLong(Exception):
    pass


def _sentence(fault: AppError, headers: Headers, status: int) -> PlainTextResponse:
    return PlainTextResponse(fault.in_language(choose_language(headers.get("accept-language"))), status)


def guarded(limits: Limits) -> list[Middleware]:
    """For FastAPI's `middleware`."""
    return [Middleware(Guard, limits=limits)]


class _Last(dict):
    """The last `_EVENTS` entries."""

    def __setitem__(self, key, value) -> None:
        super().__setitem__(key, value)
        while len(self) > _EVENTS:
            del self[next(iter(self))]


class _LastSignals(_Last):
    """One is made where it is asked for."""

    def __missing__(self, key) -> asyncio.Event:
        self[key] = asyncio.Event()
        return self[key]


def forget_events(page: gr.Blocks) -> None:
    """Call after `page.queue`. Gradio notes every event, for its dashboard, and after each one goes through all that
    ever were: after some weeks that would be all it does. Besides, it keeps all events, with their requests."""
    page._queue.event_analytics = _Last()
    page._queue.event_ids_to_events = _Living()  # type: ignore[assignment]
    page._queue._asyncio_tasks = _Undone()


class _Living(weakref.WeakValueDictionary):
    """Events while they wait or run. What is still done to one that is over comes to nothing."""

    def __getitem__(self, key):
        return self.get(key) or SimpleNamespace(signal=asyncio.Event())


class _Undone(list):
    """Tasks that aren't done yet."""

    def append(self, task) -> None:
        self[:] = [other for other in self if not other.done()]
        super().append(task)


class _Nothing(set):
    """Remembers nothing."""

    def add(self, name) -> None:
        pass

    def update(self, *names) -> None:
        pass


def guard_files(page: gr.Blocks) -> None:
    """From now on no component of `page` takes an address for a file.

    And Gradio keeps the progress of the last uploads alone: every name that /upload_progress was ever asked for would
    stay, as long as a request can be.

    And Gradio remembers no names of files. It would do so for its `delete_cache`, which deletes what is old by the
    machine's clock, takes that are still in use among it; here files go by `Sessions`.
    """
    page.upload_file_set = _Nothing()
    file_upload_statuses._statuses, file_upload_statuses._signals = _Last(), _LastSignals()  # type: ignore[assignment]
    for block in page.blocks.values():
        _guard_files(block)


def _guard_files(block: gr.blocks.Block) -> None:
    keep = block.async_move_resource_to_block_cache
    block.temp_files = _Nothing()

    async def keep_local(path) -> str | None:
        if is_http_url_like(str(path)):
            raise gr.Error(say(language_of(LocalContext.request.get(None)), "page.error.api_audio"))
        return await keep(path)

    setattr(block, "async_move_resource_to_block_cache", keep_local)  # noqa: B010 (mypy: a method)
