"""What a screen reader calls things: names and descriptions for what Gradio gives none (naming.js puts them there)."""

from pathlib import Path

import gradio as gr

from musicgen_ui.ui.inputs import TRIES
from musicgen_ui.ui.strings import html, language_of, say

_SCRIPT = Path(__file__).with_name("naming.js")
_NAMELESS = {
    ".mg-picture img": ("alt", "page.result.picture"),
    ".mg-picture button": ("aria-label", "page.result.picture"),
    ".mg-config [role='grid']": ("aria-label", "page.config"),
    **{f"#mg-try-{name}": ("title", f"page.sounds.{name}") for name in TRIES},
}
"""selector → attribute, key of its words"""
_ENGLISH = {
    "Reset to default value": "page.names.reset",
    "number input for ": "page.names.number",
    "range slider for ": "page.names.slider",
    "Adjust volume": "page.names.volume",
    "Adjust playback speed to ": "page.names.speed",
    "Skip backwards by ": "page.names.back",
    "Skip forward by ": "page.names.forward",
    " seconds": "page.names.seconds",
    "Upload file": "page.names.upload",
    "Record audio": "page.names.record",
    "Trim audio to selection": "page.names.trim",
    "Reset audio": "page.names.untrim",
    "Drop CSV or TSV files here to import data into dataframe": "page.names.table",
}
"""what Gradio 6.17 calls things in English for everyone → key of its words"""
_WRITTEN = {"Trim": "page.names.cut", "Cancel": "page.names.cancel"}
"""what it writes on buttons in English for everyone → key of its words"""


def build_names(page: gr.Blocks) -> None:
    words = gr.HTML(
        names_html("en"),
        head=f"<script>{_SCRIPT.read_text(encoding='utf-8')}</script>",
        js_on_load="window.names ??= new Names(element)",
        elem_classes="mg-hidden",
    )
    page.load(_in_language, None, words, api_visibility="private", show_progress="hidden", queue=False)


def names_html(language: str) -> str:
    """As data for naming.js: `data-of` what, `data-as` which attribute or "text", `data-theirs` in place of what."""
    names = [_name(selector, attribute, say(language, key)) for selector, (attribute, key) in _NAMELESS.items()]
    for theirs, key in _ENGLISH.items():
        ours = say(language, key)
        if ours != theirs:
            names.append(_name(f'[aria-label*="{theirs}"]', "aria-label", ours, theirs))
    names += [_name("button.text-button", "text", say(language, key), theirs) for theirs, key in _WRITTEN.items()]
    return "".join(names)


def _in_language(request: gr.Request) -> str:
    return names_html(language_of(request))


def _name(selector: str, attribute: str, words: str, theirs: str = "") -> str:
    instead = f' data-theirs="{html(theirs)}"' if theirs else ""
    return f'<span data-of="{html(selector)}" data-as="{attribute}"{instead}>{html(words)}</span>'
