"""What the keyboard can do on the page besides what it can on every page (keys.js, tray.js)."""

from pathlib import Path

import gradio as gr

from musicgen_ui.ui.strings import html, say, text

HEAD = f"<script>\n{Path(__file__).with_name('keys.js').read_text(encoding='utf-8')}</script>\n"
KEYS = {
    "start": ("Ctrl", "Enter"),
    "stop": ("Esc",),
    "prompt": ("Ctrl", "/"),
    "seek": ("←", "→"),
    "row": ("↑", "↓"),
}


def build_keys() -> gr.HTML:
    """They are listed in a fold where this is called; style.css leaves it out where there is no keyboard."""
    with gr.Accordion(text("page.keys"), open=False, elem_id="mg-keys", elem_classes="mg-fold"):
        return gr.HTML(keys_html("en"))


def keys_html(language: str) -> str:
    rows = "".join(
        f"<dt>{' '.join(f'<kbd>{key}</kbd>' for key in keys)}</dt><dd>{html(say(language, f'page.keys.{name}'))}</dd>"
        for name, keys in KEYS.items()
    )
    return f'<dl class="mg-keys">{rows}</dl>'
