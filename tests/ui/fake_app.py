"""The page on the fake engine: `python tests/ui/fake_app.py`, address by GRADIO_SERVER_NAME and _PORT."""

import os
import sys
from pathlib import Path


def main() -> None:
    here = Path(__file__).resolve()
    sys.path[:0] = [str(here.parents[2]), str(here.parent)]
    from fake_engine import FakeEngine

    from musicgen_ui.limits import Limits
    from musicgen_ui.ui.broadcast import Broadcasts
    from musicgen_ui.ui.page import build_page, launch_options
    from musicgen_ui.ui.routes import make_routes
    from musicgen_ui.ui.sessions import Sessions

    limits = Limits()
    engine = FakeEngine(
        limits,
        seconds_per_token=float(os.environ.get("FAKE_SECONDS_PER_TOKEN", "0.002")),
        warm_up=float(os.environ.get("FAKE_WARM_UP", "1.0")),
        stall=float(os.environ.get("FAKE_STALL", "0")),
    )
    broadcasts, sessions = Broadcasts(), Sessions()
    build_page(engine, limits, broadcasts, sessions).launch(**launch_options(limits, make_routes(broadcasts, sessions)))


if __name__ == "__main__":
    main()
