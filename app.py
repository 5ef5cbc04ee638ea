"""The Space's and the user's entry: settings → engine → page → launch.

The engine's process is spawned, which imports this file again: all imports are inside `main`.
"""


def main() -> None:
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)

    from musicgen_ui.engine import Engine
    from musicgen_ui.limits import Limits

    limits = Limits.of_this_machine()
    engine = Engine(limits)
    engine.start()  # it imports MindNLP while this process imports Gradio
    try:
        from musicgen_ui.request import ENGINES
        from musicgen_ui.ui.broadcast import Broadcasts
        from musicgen_ui.ui.page import build_page, launch_options
        from musicgen_ui.ui.routes import make_routes
        from musicgen_ui.ui.sessions import Sessions

        broadcasts, sessions = Broadcasts(), Sessions()
        page = build_page(engine, limits, broadcasts, sessions, engines=ENGINES)
        page.launch(**launch_options(limits, make_routes(broadcasts, sessions)))
    finally:
        engine.close()


if __name__ == "__main__":
    main()
