"""Hearing a take while it is being made: the line under the progress, and the player behind it (live_player.js)."""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from musicgen_ui.ui.strings import html, say

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
    shown = gr.HTML(
        line("en"),
        head=f"<script>{PLAYER.read_text(encoding='utf-8')}</script>",
        js_on_load="window.livePlayer = new LivePlayer(element)",
        elem_id="mg-live",
    )
    broadcast = gr.Textbox(visible="hidden", elem_classes="mg-hidden", label="broadcast", container=False)
    broadcast.change(
        None, [broadcast], None, js="(token) => window.livePlayer?.listen(token)", api_visibility="private"
    )
    return Listening(shown, broadcast)


def line(language: str) -> str:
    """The switch, and what is seen while there is something to play. The player fills it and sets its state."""
    words = {name: html(say(language, f"page.live.{name}")) for name in ("switch", "playing", "wait", "pause", "play")}
    return f"""<div class="mg-live" data-state="silent">
<label><input type="checkbox" role="switch" checked>{words["switch"]}</label>
<div role="group" aria-label="{words["playing"]}">
<span class="mg-live-wait">{words["wait"]}</span><span class="mg-live-clock"></span>
<button type="button" class="mg-live-pause" aria-label="{words["pause"]}"></button>
<button type="button" class="mg-live-play" aria-label="{words["play"]}"></button>
</div></div>"""
