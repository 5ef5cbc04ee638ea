"""Prompts that change on the way: what is read out of them, and what is said of wrong ones."""

import pytest

from musicgen_ui.errors import InputError
from musicgen_ui.limits import Limits
from musicgen_ui.locales import LANGUAGES
from musicgen_ui.request import Request, checked
from musicgen_ui.sections import Section, sections, text_at


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("0:00 calm piano | 0:30 drums come in", [(0, "calm piano"), (30, "drums come in")]),
        ("calm piano|1:05 drums|12:00 bells", [(0, "calm piano"), (65, "drums"), (720, "bells")]),
        ("0:00 平静的钢琴｜0：30 鼓声加入", [(0, "平静的钢琴"), (30, "鼓声加入")]),
        ("0:00平静的钢琴 | 0:30，鼓声加入", [(0, "平静的钢琴"), (30, "鼓声加入")]),
        ("0:00 – piano, 120 bpm | 0:30: 808 drums |", [(0, "piano, 120 bpm"), (30, "808 drums")]),
        ("piano | 0:10 drums, 4:4", [(0, "piano"), (10, "drums, 4:4")]),
    ],
)
def test_sections_are_read(prompt, expected):
    assert [(section.start, section.text) for section in sections(prompt)] == expected


@pytest.mark.parametrize("prompt", ["", "slow piano", "0:30 in the morning", "jazz | blues", "a 12:8 | b", "|", "3:45"])
def test_a_prompt_without_bars_and_times_stays_as_it_is(prompt):
    assert sections(prompt) == (Section(0, prompt),)


@pytest.mark.parametrize(
    ("prompt", "key", "named"),
    [
        ("0:00 piano | drums", "error.section_untimed", "drums"),
        ("0:00 piano | 0:5 drums", "error.section_untimed", "0:5 drums"),
        ("0:00 piano | 0:75 drums", "error.section_time", "0:75"),
        ("0:00 piano | 0:30", "error.section_empty", "0:30"),
        ("0:00 piano | 0:30 -", "error.section_empty", "0:30"),
        ("0:10 piano | 0:30 drums", "error.section_first", "0:10"),
        ("0:00 piano | 1:30 drums | 0:30 bells", "error.section_order", "0:30"),
        ("0:00 piano | 0:30 drums | 0:30 bells", "error.section_order", "0:30"),
        ("piano | 0:00 drums", "error.section_order", "0:00"),
    ],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_wrong_with_sections_is_said(prompt, key, named, language):
    with pytest.raises(InputError) as fault:
        checked(Request("text", (prompt,)), Limits())
    assert fault.value.key == key
    said = fault.value.in_language(language)
    assert named in said
    assert "{" not in said


def test_a_text_holds_until_the_next_begins():
    parts = [(0, "a"), (50, "b"), (150, "c")]
    assert [text_at(parts, frame) for frame in (0, 49, 50, 149, 150, 9_999)] == ["a", "a", "b", "b", "c", "c"]
