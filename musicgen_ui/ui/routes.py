"""Our own HTTP routes, beside Gradio's."""

from starlette.routing import BaseRoute, Route

from musicgen_ui.ui.broadcast import Broadcasts


def make_routes(broadcasts: Broadcasts) -> list[BaseRoute]:
    """For `launch_options`: relative to the page's own address, whatever path a proxy puts before it."""
    return [Route("/listen/{token}", broadcasts.listen)]
