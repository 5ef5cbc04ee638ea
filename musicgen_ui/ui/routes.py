"""Our own HTTP routes, beside Gradio's: handed to the web server when the page is launched."""

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from musicgen_ui.journal import Journal
from musicgen_ui.ui.broadcast import Broadcasts
from musicgen_ui.ui.surface import Engine

_FRESH = {"Cache-Control": "no-store"}


def make_routes(broadcasts: Broadcasts) -> list[BaseRoute]:
    """For `launch_options`. The page asks for them relative to its own address, as a proxy may put a path before it.

    `broadcasts` are those that the page was built with.
    """
    return [Route("/listen/{token}", broadcasts.listen)]


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
