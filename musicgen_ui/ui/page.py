"""The whole page, composed from its sections, on an engine that is handed in."""

from collections.abc import Sequence
from pathlib import Path

import gradio as gr
from starlette.routing import BaseRoute

from musicgen_ui.checkpoints import DEFAULT
from musicgen_ui.limits import Limits
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.paths import EXAMPLES
from musicgen_ui.request import ENGINES
from musicgen_ui.ui import generation_config, keys, status, tools
from musicgen_ui.ui.advice import Advice
from musicgen_ui.ui.api import Api, add_endpoints
from musicgen_ui.ui.broadcast import Broadcasts
from musicgen_ui.ui.controls import build_controls, build_length
from musicgen_ui.ui.dropping import build_drop
from musicgen_ui.ui.guard import forget_events, guard_files, guarded
from musicgen_ui.ui.inputs import build_inputs
from musicgen_ui.ui.lengths import build_lengths
from musicgen_ui.ui.listening import STARTS, build_listening
from musicgen_ui.ui.naming import build_names
from musicgen_ui.ui.result import build_result
from musicgen_ui.ui.runs import Runs
from musicgen_ui.ui.sessions import Sessions
from musicgen_ui.ui.space import build_invitation
from musicgen_ui.ui.strings import text, translations
from musicgen_ui.ui.surface import Engine
from musicgen_ui.ui.theme import HEAD, ICON, STYLE, make_theme
from musicgen_ui.ui.tunes import Tunes
from musicgen_ui.ui.wiring import Sections, wire

_THREADS = 40
"""that answer requests besides those that wait for the engine, each of which has one of its own"""


def build_page(
    engine: Engine,
    limits: Limits,
    broadcasts: Broadcasts,
    sessions: Sessions,
    *,
    engines: Sequence[str] = ENGINES,
    examples: Path = EXAMPLES,
) -> gr.Blocks:
    """The page on `engine`, API endpoints included; launch it with `launch_options`.

    `broadcasts` and `sessions` are those that `make_routes` gives out.
    """
    with gr.Blocks(title="MusicGen", analytics_enabled=False, fill_width=True) as page:
        sections = _build_sections(engine.info(DEFAULT), limits, engines, examples)
        runs = Runs(engine, sessions, limits, broadcasts, Tunes(engine, limits), len(sections.result.outputs))
        wire(page, runs, Advice(engine, sessions, limits), sections)
        build_names(page, limits)
        api = Api(engine, sessions, limits)
        add_endpoints(api)
        if tools.wanted():
            tools.add_tools(tools.Tools(api))
    guard_files(page)
    page.queue(max_size=2 * limits.queue, default_concurrency_limit=None)
    forget_events(page)
    return page


def launch_options(limits: Limits, routes: Sequence[BaseRoute], *, examples: Path = EXAMPLES) -> dict[str, object]:
    """What `Blocks.launch` needs for this page and our own `routes` beside it.

    The address comes from GRADIO_SERVER_NAME and _PORT.
    """
    return {
        "app_kwargs": {"routes": list(routes), "middleware": guarded(limits)},
        "i18n": translations(),
        "theme": make_theme(),
        "css_paths": [STYLE],
        "head": HEAD + keys.HEAD,
        "allowed_paths": [str(examples)],
        "favicon_path": ICON,
        "max_file_size": limits.clip_bytes,
        "max_threads": _THREADS + limits.queue,
        "state_session_capacity": limits.sessions,  # of some two megabytes each, which Gradio keeps for 10,000
        "footer_links": ["api"],
        "show_error": False,  # our sentences are shown all the same; what a bug says is for the log
        "ssr_mode": False,
        "enable_monitoring": False,  # what the owner may know is under /metrics
    }


def _build_sections(info: ModelInfo, limits: Limits, engines: Sequence[str], examples: Path) -> Sections:
    """Three parts, so that on a phone the music comes right after the button and the settings last."""
    icon = ICON.read_text(encoding="utf-8").replace("<svg", '<svg aria-hidden="true"', 1)
    with gr.Row(elem_id="mg-top"):
        gr.HTML(f'<header class="mg-head">{icon}<h1>MusicGen</h1><p>{text("page.tagline")}</p></header>')
        chip = gr.HTML(status.engine_chip(None, "en"), elem_id="mg-engine")
    with gr.Row(elem_id="mg-stage"):
        with gr.Column(elem_id="mg-ask"):
            inputs = build_inputs(examples)
            length = build_length(info, limits)
            lengths = build_lengths(limits)
            estimate = gr.HTML(elem_id="mg-estimate")
            with gr.Row(elem_id="mg-go"):
                generate = gr.Button(
                    text("page.generate"), variant="primary", elem_id="mg-generate", elem_classes=STARTS, scale=4
                )
                stop = gr.Button(text("page.stop"), interactive=False, elem_id="mg-stop", scale=1, min_width=90)
            progress = gr.HTML(status.idle("en"), elem_id="mg-status")
            listening = build_listening()
        with gr.Column(elem_id="mg-heard"):
            result = build_result()
        with gr.Column(elem_id="mg-set"):
            controls = build_controls(info, limits, engines)
            with gr.Accordion(text("page.config"), open=False, elem_classes="mg-fold"):
                gr.HTML(f'<p class="mg-note">{text("page.config.info")}</p>')
                config = generation_config.build_generation_config(generation_config.table(info, {}, {}, "en"))
            listed = keys.build_keys()
            build_invitation()
    dropped = build_drop(limits)
    return Sections(
        inputs=inputs,
        controls=controls,
        result=result,
        length=length,
        lengths=lengths,
        estimate=estimate,
        generate=generate,
        stop=stop,
        status=progress,
        listening=listening,
        chip=chip,
        dropped=dropped,
        keys=listed,
        config=config,
        changes=gr.State({}),
        batch=gr.State(None),
        timer=gr.Timer(2),
        browser=gr.BrowserState(None, storage_key="musicgen-takes", secret="musicgen"),
        kept=gr.BrowserState(None, storage_key="musicgen-settings", secret="musicgen"),
    )
