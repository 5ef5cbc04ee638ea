"""Our own HTTP routes, beside Gradio's: handed to the web server when the page is launched."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from musicgen_ui.ui.broadcast import Broadcasts
from musicgen_ui.ui.sessions import Sessions


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
        except OSError:
            raise HTTPException(507) from None

    return [Route("/listen/{token}", broadcasts.listen), Route("/takes/{folder}.zip", takes)]
