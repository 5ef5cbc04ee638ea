"""What a screen reader calls things, where Gradio gives no names; and our words for what it says in English to everyone
(naming.js puts them there)."""

from pathlib import Path

import gradio as gr

from musicgen_ui.limits import Limits
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
_WRITTEN = {
    "Trim": ("button.text-button", "page.names.cut"),
    "Cancel": ("button.text-button", "page.names.cancel"),
    "Error": (".toast-title", "page.fault"),
}
"""what it writes in English for everyone → selector, key of its words"""
_TOLD = {"File(s) exceed the maximum allowed size": "page.names.too_large", "HTTP 413": None, "HTTP 507": None}
"""how it begins to say, before a colon, that it takes no files → key of the words in its place, if any"""


def build_names(page: gr.Blocks, limits: Limits) -> None:
    words = gr.HTML(
        names_html("en", limits),
        head=f"<script>{_SCRIPT.read_text(encoding='utf-8')}</script>",
        js_on_load="window.names ??= new Names(element)",
        elem_classes="mg-hidden",
    )

    def in_language(request: gr.Request) -> str:
        return names_html(language_of(request), limits)

    page.load(in_language, None, words, api_visibility="private", show_progress="hidden", queue=False)


def names_html(language: str, limits: Limits) -> str:
    """As data for naming.js: `data-of` what, `data-as` which attribute, "text" or "told", `data-theirs` in place of
    what."""
    names = [_name(selector, attribute, say(language, key)) for selector, (attribute, key) in _NAMELESS.items()]
    for theirs, key in _ENGLISH.items():
        ours = say(language, key)
        if ours != theirs:
            names.append(_name(f'[aria-label*="{theirs}"]', "aria-label", ours, theirs))
    names += [_name(place, "text", say(language, key), theirs) for theirs, (place, key) in _WRITTEN.items()]
    for theirs, told in _TOLD.items():
        ours = say(language, told, limit=limits.clip_bytes >> 20) if told else ""
        names.append(_name("[data-testid='toast-text']", "told", ours, theirs))
    return "".join(names)


def _name(selector: str, attribute: str, words: str, theirs: str = "") -> str:
    instead = f' data-theirs="{html(theirs)}"' if theirs else ""
    return f'<span data-of="{html(selector)}" data-as="{attribute}"{instead}>{html(words)}</span>'
