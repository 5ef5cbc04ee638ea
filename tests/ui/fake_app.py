"""The page on the fake engine: `python tests/ui/fake_app.py`, address by GRADIO_SERVER_NAME and _PORT."""

import logging
import os
import sys
from pathlib import Path


def main() -> None:
    here = Path(__file__).resolve()
    sys.path[:0] = [str(here.parents[2]), str(here.parent)]
    from musicgen_ui.scratch import make_scratch

    scratch = make_scratch()  # before Gradio, as app.py has it

    from fake_engine import FakeEngine

    from musicgen_ui.ending import Ending, end_at_once
    from musicgen_ui.journal import Journal
    from musicgen_ui.limits import Limits
    from musicgen_ui.ui.broadcast import Broadcasts
    from musicgen_ui.ui.page import build_page, launch_options
    from musicgen_ui.ui.routes import make_owners_routes, make_routes
    from musicgen_ui.ui.sessions import Sessions

    logging.basicConfig(level=logging.INFO)
    limits = Limits(
        stop_seconds=float(os.environ.get("FAKE_STOP_SECONDS", "25")),
        free_disk_bytes=int(os.environ.get("FAKE_FREE_DISK_BYTES", "0")),
        clip_bytes=int(os.environ.get("FAKE_CLIP_BYTES", Limits.clip_bytes)),
        queue_per_address=int(os.environ.get("FAKE_QUEUE_PER_ADDRESS", "8")),
    )
    ending, journal = Ending(), Journal()
    engine = FakeEngine(
        limits,
        seconds_per_token=float(os.environ.get("FAKE_SECONDS_PER_TOKEN", "0.002")),
        warm_up=float(os.environ.get("FAKE_WARM_UP", "1.0")),
        stall=float(os.environ.get("FAKE_STALL", "0")),
        journal=journal,
    )
    broadcasts, sessions = Broadcasts(), Sessions(limits, scratch)
    routes = [*make_routes(broadcasts, sessions), *make_owners_routes(engine, journal)]
    page = build_page(engine, limits, broadcasts, sessions)
    page.launch(**launch_options(limits, routes), prevent_thread_lock=True)
    ending.wait(engine, lambda: sessions.busy, limits.stop_seconds)
    sessions.close()
    scratch.close()
    end_at_once(0)


if __name__ == "__main__":
    main()
