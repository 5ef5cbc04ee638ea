"""Prompts that change on the way: "0:00 calm piano | 0:30 drums come in"."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from musicgen_ui.errors import InputError

_BAR = re.compile(r"[|｜]")  # a Chinese keyboard gives the wide ones
_TIMED = re.compile(r"(\d{1,3})[:：](\d{2})(?!\d)[\s,:，：–—-]*(.*)")


@dataclass(frozen=True)
class Section:
    """From `start` seconds of the piece on, a clip at its beginning included, the prompt is `text`."""

    start: int
    text: str

    @property
    def time(self) -> str:
        return f"{self.start // 60}:{self.start % 60:02}"


def sections(prompt: str) -> tuple[Section, ...]:
    """The sections of `prompt`. One without bars and times is a single section, word for word.

    The first may leave out its 0:00. InputError where a time is missing, is none, or isn't later than the one before,
    and where a section has no words.
    """
    parts = [part.strip() for part in _BAR.split(prompt) if part.strip()]
    timed = [_TIMED.fullmatch(part) for part in parts]
    if not _BAR.search(prompt) or not any(timed):
        return (Section(0, prompt),)
    found: list[Section] = []
    for part, match in zip(parts, timed, strict=True):
        if match is None:
            if found:
                raise InputError("error.section_untimed", section=_shown(part))
            found.append(Section(0, part))
            continue
        minutes, seconds, text = match.groups()
        section = Section(60 * int(minutes) + int(seconds), text)
        if int(seconds) > 59:
            raise InputError("error.section_time", time=f"{minutes}:{seconds}")
        if not text:
            raise InputError("error.section_empty", time=section.time)
        if not found and section.start:
            raise InputError("error.section_first", time=section.time)
        if found and section.start <= found[-1].start:
            raise InputError("error.section_order", time=section.time, before=found[-1].time)
        found.append(section)
    return tuple(found)


def text_at(parts: Sequence[tuple[int, str]], frame: int) -> str:
    """The text of `parts`, (first frame, text) in their order, that holds at `frame`."""
    return [text for first, text in parts if first <= frame][-1]


def _shown(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
