"""Our own HTTP routes, beside Gradio's: handed to the web server when the page is launched."""

from starlette.routing import BaseRoute, Route

from musicgen_ui.ui.broadcast import Broadcasts


def make_routes(broadcasts: Broadcasts) -> list[BaseRoute]:
    """For `launch_options`. The page asks for them relative to its own address, as a proxy may put a path before it.

    `broadcasts` are those that the page was built with.
    """
    return [Route("/listen/{token}", broadcasts.listen)]
