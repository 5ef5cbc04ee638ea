"""How pieces are cut into windows: every frame once, none beyond what the model holds, borders where they must be."""

import pytest

from musicgen_ui.model_info import ModelInfo
from musicgen_ui.windows import Window, effort, overlap, plan

INFO = ModelInfo("tiny", 32_000, 50.0, 4, 1, False, {"max_length": 1_500})


@pytest.mark.parametrize(("given", "tokens"), [(0, 4), (0, 1_503), (0, 3), (500, 1_000), (1_496, 4)])
def test_what_the_model_holds_is_one_window_behind_all_of_the_clip(given, tokens):
    assert plan(INFO, given, tokens) == [Window(given, given, tokens)]


def test_what_it_does_not_hold_is_continued_behind_twelve_seconds():
    assert overlap(INFO) == 600
    assert plan(INFO, 0, 3_003) == [Window(0, 0, 1_503), Window(1_500, 600, 903), Window(2_400, 600, 603)]
    assert plan(INFO, 1_500, 500) == [Window(1_500, 600, 500)]
    assert plan(INFO, 100, 1_503) == [Window(100, 100, 1_403), Window(1_500, 600, 103)]


def test_a_border_begins_a_window():
    assert plan(INFO, 0, 503, (200,)) == [Window(0, 0, 203), Window(200, 200, 303)]
    assert plan(INFO, 300, 503, (200, 300, 800, 900)) == [Window(300, 300, 503)]  # none lies within the new music


@pytest.mark.parametrize("max_length", [4, 5, 7, 53, 100, 1_500])
@pytest.mark.parametrize("given", [0, 1, 90, 3_000])
@pytest.mark.parametrize("tokens", [4, 50, 2_000])
@pytest.mark.parametrize("borders", [(), (1,), (40, 41, 91, 1_000, 3_001)])
def test_every_frame_is_made_once_within_what_the_model_holds(max_length, given, tokens, borders):
    info = ModelInfo("tiny", 32_000, 50.0, 4, 1, False, {"max_length": max_length})
    windows = plan(info, given, tokens, borders)
    frame = given
    for window in windows:
        assert window.start == frame
        assert 0 <= window.prompt <= window.start
        assert window.tokens > 3
        assert window.prompt + window.tokens - 3 <= max_length
        frame += window.tokens - 3
    assert frame == given + tokens - 3
    assert {border for border in borders if given < border < frame} <= {window.start for window in windows}


def test_windows_cost_a_little_more_than_their_tokens():
    assert effort(plan(INFO, 0, 1_500)) == 1_500
    assert 15_003 < effort(plan(INFO, 0, 15_003)) < 1.15 * 15_003
