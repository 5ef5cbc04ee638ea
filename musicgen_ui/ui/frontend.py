"""Gradio's own scripts and styles, answered from memory.

A first visit asks for some 150 of them, and Gradio compresses each one anew: a third of a second of a processor that
should make music. Nor does it say that they never change, so browsers guess how long to keep them; but their names hold
a hash of what is in them.
"""

from pathlib import Path

import brotli
from gradio.routes import BUILD_PATH_LIB
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

_FILES = {path.name: path for path in Path(BUILD_PATH_LIB).iterdir()}
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}  # fonts are compressed already
_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
_QUALITY = 7  # of 11: nine tenths of what Gradio's 4 makes, for three times its work
_compressed: dict[Path, bytes] = {}  # 5 MB, once each was asked for


async def frontend(request: Request) -> Response:
    """The file of that `name`; 404 where there is none."""
    path = _FILES.get(request.path_params["name"])
    if path is None:
        raise HTTPException(404)
    if path.suffix not in _TYPES or "br" not in request.headers.get("accept-encoding", ""):
        return FileResponse(path, headers=_HEADERS)
    if path not in _compressed:
        _compressed[path] = await run_in_threadpool(_compress, path)
    headers = {**_HEADERS, "Content-Encoding": "br"}
    return Response(_compressed[path], headers=headers, media_type=_TYPES[path.suffix])


def _compress(path: Path) -> bytes:
    return brotli.compress(path.read_bytes(), quality=_QUALITY)
