"""The Space's and the user's entry: settings → engine → page → launch.

The engine's process is spawned, which imports this file again: all imports are inside `main`.
"""


def main() -> int:
    import logging
    import os
    import sys

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for chatty in ("httpx", "mcp"):
        logging.getLogger(chatty).setLevel(logging.WARNING)

    from musicgen_ui.ending import Ending, end_at_once
    from musicgen_ui.engine import Engine
    from musicgen_ui.errors import AppError
    from musicgen_ui.journal import Journal
    from musicgen_ui.limits import Limits
    from musicgen_ui.locales import shells_language
    from musicgen_ui.scratch import make_scratch

    runners: list = []  # this machine's own
    try:
        limits = Limits.of_this_machine()
        if "MUSICGEN_REPLICAS" in os.environ:  # many machines
            from musicgen_ui.replicas import replicas

            runners = replicas(limits)
    except AppError as fault:
        print(fault.in_language(shells_language()), file=sys.stderr)
        return fault.exit_code
    ending = Ending()
    scratch = make_scratch()
    journal = Journal(prompts=os.environ.get("MUSICGEN_LOG_PROMPTS") == "1")
    engine = Engine(limits, journal=journal, runners=runners)
    engine.start()  # it imports MindNLP while this process imports Gradio
    try:
        from musicgen_ui.request import ENGINES
        from musicgen_ui.ui.broadcast import Broadcasts
        from musicgen_ui.ui.page import build_page, launch_options
        from musicgen_ui.ui.routes import make_owners_routes, make_routes
        from musicgen_ui.ui.sessions import Sessions

        broadcasts, sessions = Broadcasts(), Sessions(limits, scratch)
        page = build_page(engine, limits, broadcasts, sessions, engines=ENGINES)
        routes = [*make_routes(broadcasts, sessions), *make_owners_routes(engine, journal)]
        page.launch(**launch_options(limits, routes), prevent_thread_lock=True)
        ending.wait(engine, lambda: sessions.busy, limits.stop_seconds)
        sessions.close()
    finally:
        engine.close()
        scratch.close()
    end_at_once(0)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
