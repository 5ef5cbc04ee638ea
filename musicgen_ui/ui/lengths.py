"""How long the music shall be: a slider over what the model holds at once, which reaches further once that is asked
for, and a few lengths to click. A slider to five minutes alone would make ten seconds hard to hit."""

from collections.abc import Mapping
from typing import NamedTuple

import gradio as gr

from musicgen_ui.limits import Limits
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.request import number
from musicgen_ui.ui.strings import text

LENGTHS = (10, 30, 60, 120, 300)  # s
_NEARLY = 0.5  # s that what the model holds may be shorter than the length that was clicked


class Bounds(NamedTuple):
    """The slider's ends, and a value within them, in tokens."""

    minimum: int
    maximum: int
    value: int


def build_lengths(limits: Limits) -> dict[int, gr.Button]:
    """A button for each of LENGTHS that a piece may last."""
    with gr.Row(elem_id="mg-lengths", elem_classes="mg-chips"):
        return {
            seconds: gr.Button(text(f"page.length.{seconds}"), size="sm", min_width=0)
            for seconds in LENGTHS
            if seconds <= limits.piece_seconds
        }


def longest(info: ModelInfo, changes: Mapping[str, object], limits: Limits) -> int:
    """The tokens of the longest piece: what a piece may last, or this session's max_length if that is less."""
    most = info.tokens(limits.piece_seconds)
    return min(number("max_length", changes.get("max_length"), int) or most, most)


def room(info: ModelInfo, changes: Mapping[str, object], limits: Limits) -> int:
    """The tokens of one window: the model's max_length, or the longest piece's if that is less."""
    return min(info.max_length, longest(info, changes, limits))


def bounds(info: ModelInfo, changes: Mapping[str, object], tokens: int, limits: Limits) -> Bounds:
    """What the slider needs for `tokens`."""
    window = room(info, changes, limits)
    most = window if tokens <= window else longest(info, changes, limits)
    return Bounds(info.codebooks, most, min(max(tokens, info.codebooks), most))


def moved(info: ModelInfo, changes: Mapping[str, object], tokens: int, limits: Limits) -> object:
    """An update of the slider to `tokens`."""
    ends = bounds(info, changes, tokens, limits)
    return gr.update(minimum=ends.minimum, maximum=ends.maximum, value=ends.value)


def tokens_for(info: ModelInfo, changes: Mapping[str, object], seconds: float, limits: Limits) -> int:
    """Of 30 s the model holds 29.94: that is near enough to be made in one window."""
    held = room(info, changes, limits)
    return held if abs(info.seconds(held) - seconds) <= _NEARLY else info.tokens(seconds)
