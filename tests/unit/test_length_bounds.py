"""The length slider's reach, the lengths to click, and the tokens behind them."""

from types import SimpleNamespace

import gradio as gr
import pytest

from musicgen_ui.limits import Limits
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.request import Request, checked_for_model
from musicgen_ui.ui import controls, lengths
from musicgen_ui.ui.advice import Advice
from musicgen_ui.ui.sessions import Sessions

INFO = ModelInfo("nano", 32_000, 50.0, 4, 1, False, {"max_length": 1_500})
LIMITS = Limits()


@pytest.mark.parametrize(
    ("tokens", "changes", "reach", "value"),
    [
        (503, {}, 1_500, 503),
        (1_500, {}, 1_500, 1_500),
        (1_501, {}, 15_003, 1_501),
        (99_999, {}, 15_003, 15_003),
        (99_999, {"max_length": 99_999}, 15_003, 15_003),
        (0, {}, 1_500, 4),
        (3_003, {"max_length": 1_000}, 1_000, 1_000),
        (3_003, {"max_length": 2_000}, 2_000, 2_000),
        (503, {"max_length": 2_000}, 1_500, 503),
    ],
)
def test_the_slider_reaches_beyond_one_window_once_that_is_asked_for(tokens, changes, reach, value):
    assert lengths.bounds(INFO, changes, tokens, LIMITS) == (4, reach, value)


def test_thirty_seconds_are_what_the_model_holds_at_once():
    tokens = [lengths.tokens_for(INFO, {}, seconds, LIMITS) for seconds in lengths.LENGTHS]
    assert tokens == [503, 1_500, 3_003, 6_003, 15_003]
    assert lengths.tokens_for(INFO, {"max_length": 1_000}, 10, LIMITS) == 503


@pytest.mark.parametrize(
    ("piece_seconds", "clicked", "longest"),
    [
        (5, [], 253),
        (20, [10], 1_003),
        (30, [10, 30], 1_503),
        (90, [10, 30, 60], 4_503),
        (300, [10, 30, 60, 120, 300], 15_003),
        (600, [10, 30, 60, 120, 300], 30_003),
    ],
)
def test_lengths_follow_the_limit_in_force(piece_seconds, clicked, longest):
    limits = Limits.of_this_machine({"MUSICGEN_PIECE_SECONDS": str(piece_seconds)})
    with gr.Blocks():
        assert list(lengths.build_lengths(limits)) == clicked
        first = controls.build_length(INFO, limits)
    assert first.maximum == min(1_500, longest)
    assert first.value == min(503, longest)
    advice = Advice(SimpleNamespace(info=lambda model: INFO), Sessions(limits), limits)
    sliders = [advice.length_of(seconds)("nano", {}) for seconds in clicked]
    sliders.append(lengths.moved(INFO, {}, 10**6, limits))
    assert sliders[-1]["maximum"] == longest
    for slider in sliders:  # whatever it is set to can be made
        assert slider["maximum"] <= longest
        settings = controls.first_settings(INFO, {"max_new_tokens": slider["value"]})
        checked_for_model(Request("text", ("x",), settings=settings), INFO, limits)
