"""Our own HTTP routes, beside Gradio's: handed to the web server when the page is launched."""

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from musicgen_ui.audio import FORMATS
from musicgen_ui.errors import MachineError
from musicgen_ui.journal import Journal
from musicgen_ui.locales import choose_language
from musicgen_ui.ui.broadcast import Broadcasts
from musicgen_ui.ui.frontend import frontend
from musicgen_ui.ui.sessions import Sessions
from musicgen_ui.ui.surface import Engine

_FRESH = {"Cache-Control": "no-store"}


def make_routes(broadcasts: Broadcasts, sessions: Sessions) -> list[BaseRoute]:
    """For `launch_options`. The page asks for them relative to its own address, as a proxy may put a path before it.

    `broadcasts` and `sessions` are those that the page was built with.
    """

    def takes(request: Request) -> Response:
        """All takes of a shelf; who knows its folder's name may have them, as each single file."""
        shelf = sessions.shelf(request.path_params["folder"])
        if shelf is None or not shelf.takes:
            raise HTTPException(404)
        try:
            return FileResponse(shelf.zipped(), media_type="application/zip", filename="takes.zip")
        except MachineError as fault:
            return _said(fault, request)

    def take(request: Request) -> Response:
        """One take as FORMATS have it, made when it is first asked for."""
        shelf = sessions.shelf(request.path_params["folder"])
        kept = shelf.takes.get(request.path_params["number"]) if shelf else None
        suffix = request.path_params["suffix"]
        if kept is None or suffix not in FORMATS:
            raise HTTPException(404)
        try:
            path = kept.file(suffix)
        except MachineError as fault:
            return _said(fault, request)
        return FileResponse(path, filename=path.name)

    return [
        Route("/assets/{name}", frontend),
        Route("/listen/{token}", broadcasts.listen),
        Route("/takes/{folder}.zip", takes),
        Route("/takes/{folder}/take-{number:int}.{suffix}", take),
    ]


def _said(fault: MachineError, request: Request) -> Response:
    """Why a file can't be written, in the reader's language."""
    language = choose_language(request.headers.get("accept-language"))
    return PlainTextResponse(fault.in_language(language), 507, _FRESH)


def make_owners_routes(engine: Engine, journal: Journal) -> list[BaseRoute]:
    """For `launch_options` too: /healthz and /metrics, for who runs the page. They wait for a lock of the engine's,
    so they are no coroutines: Starlette calls them in threads."""

    def healthz(request: Request) -> Response:
        """200 while the engine can be used, 503 where it can't be started or the app is ending."""
        health = engine.health()
        content = {"status": "ok" if health.usable else "unusable", "engine": health.state, "queue": health.queue}
        return JSONResponse(content, 200 if health.usable else 503, _FRESH)

    def metrics(request: Request) -> Response:
        return Response(journal.metrics(engine.health()), headers=_FRESH, media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", healthz), Route("/metrics", metrics)]
