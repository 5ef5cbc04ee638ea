"""A take's file that is dropped anywhere on the page: a hint while it is over it, and the button that gets it."""

from pathlib import Path

import gradio as gr

from musicgen_ui.limits import Limits
from musicgen_ui.ui.strings import text

_SCRIPT = Path(__file__).with_name("drop.js")


def build_drop(limits: Limits) -> gr.UploadButton:
    """The button, which is never seen. It takes any file: our own sentence says what is wrong with a foreign one."""
    most = f'data-most="{limits.clip_bytes}"'
    gr.HTML(
        f'<div class="mg-drop" {most} aria-hidden="true" hidden><p>{text("page.drop")}</p></div>',
        head=f"<script>{_SCRIPT.read_text(encoding='utf-8')}</script>",
        js_on_load="window.drop ??= new Drop(element)",
        elem_id="mg-drop",
    )
    with gr.Row(elem_id="mg-dropped", elem_classes="mg-hidden"):
        return gr.UploadButton("drop")
