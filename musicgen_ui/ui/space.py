"""On a Space of the hub: how to have one of one's own."""

import os
import re
from collections.abc import Mapping

import gradio as gr

from musicgen_ui.ui.strings import text

_SPACE = re.compile(r"[\w.-]+/[\w.-]+")


def build_invitation(environment: Mapping[str, str] = os.environ) -> None:
    """A line with a link to duplicate this Space; nothing where the page is served elsewhere."""
    space = environment.get("SPACE_ID", "")
    if not _SPACE.fullmatch(space):
        return
    address = f"https://huggingface.co/spaces/{space}?duplicate=true"
    link = f'<a href="{address}" target="_blank" rel="noopener">{text("page.space.duplicate")}</a>'
    gr.HTML(link, elem_classes="mg-note")
