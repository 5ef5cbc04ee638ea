"""Hearing a take while it is being made: the line under the progress, and the player behind it (live_player.js)."""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from musicgen_ui.ui.strings import text

PLAYER = Path(__file__).with_name("live_player.js")
STARTS = "mg-starts"
"""class of the buttons that start a run: a browser lets a page sound only after a click"""


@dataclass(frozen=True)
class Listening:
    line: gr.HTML
    broadcast: gr.Textbox
    """the token of the run's broadcast, for the player only"""


def build_listening() -> Listening:
    """The line stands where this is called."""
    line = gr.HTML(
        _line(),
        head=f"<script>{PLAYER.read_text(encoding='utf-8')}</script>",
        js_on_load="window.livePlayer = new LivePlayer(element)",
        elem_id="mg-live",
    )
    broadcast = gr.Textbox(visible="hidden", elem_classes="mg-hidden", label="broadcast", container=False)
    broadcast.change(None, [broadcast], None, js="(token) => livePlayer.listen(token)", api_visibility="private")
    return Listening(line, broadcast)


def _line() -> str:
    return f"""<div class="mg-live" data-state="silent">
<label><input type="checkbox" role="switch" checked>{text("page.live.switch")}</label>
<div role="group" aria-label="{text("page.live.playing")}">
<span class="mg-live-wait">{text("page.live.wait")}</span>
<span class="mg-live-clock"></span>
<button type="button" class="mg-live-pause" aria-label="{text("page.live.pause")}"></button>
<button type="button" class="mg-live-play" aria-label="{text("page.live.play")}"></button>
</div></div>"""
