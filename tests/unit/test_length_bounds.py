"""The length slider's reach, and the tokens behind the lengths to click."""

import pytest

from musicgen_ui.model_info import ModelInfo
from musicgen_ui.ui import lengths

INFO = ModelInfo("nano", 32_000, 50.0, 4, 1, False, {"max_length": 1_500})


@pytest.mark.parametrize(
    ("tokens", "changes", "reach", "value"),
    [
        (503, {}, 1_500, 503),
        (1_500, {}, 1_500, 1_500),
        (1_501, {}, 15_003, 1_501),
        (99_999, {}, 15_003, 15_003),
        (0, {}, 1_500, 4),
        (3_003, {"max_length": 1_000}, 1_000, 1_000),
        (3_003, {"max_length": 2_000}, 2_000, 2_000),
        (503, {"max_length": 2_000}, 1_500, 503),
    ],
)
def test_the_slider_reaches_beyond_one_window_once_that_is_asked_for(tokens, changes, reach, value):
    assert lengths.bounds(INFO, changes, tokens) == (4, reach, value)


def test_thirty_seconds_are_what_the_model_holds_at_once():
    assert [lengths.tokens_for(INFO, {}, seconds) for seconds in lengths.LENGTHS] == [503, 1_500, 3_003, 6_003, 15_003]
    assert lengths.tokens_for(INFO, {"max_length": 1_000}, 10) == 503
