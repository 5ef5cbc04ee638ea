"""How a piece is cut into windows, where it is longer than what the model holds or changes its prompt on the way.

As `MusicGen._generate_tokens` of audiocraft has it: each window after the first continues the end of what is there,
as codes, so that nothing is encoded again. A window that stands alone has all that is given before it, as ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from musicgen_ui.model_info import ModelInfo


@dataclass(frozen=True)
class Window:
    """One run of the token loop. `start` is the first frame that it adds to the piece; a clip's frames count."""

    start: int
    prompt: int
    """frames before `start` that the model hears"""
    tokens: int
    """decoding steps; the delay pattern's last K − 1 only complete earlier frames"""


def overlap(info: ModelInfo) -> int:
    """The frames that a window hears of the ones before: 12 s of 30 s, as audiocraft's extend_stride of 18 s."""
    return 2 * info.max_length // 5


def held(info: ModelInfo, given: int, tokens: int) -> bool:
    """Whether one window holds `tokens` new tokens behind `given` frames.

    Its frames are as many as `max_length`, 30 s of the music that Meta's were taught; the delay's steps come on top.
    """
    return given + tokens - (info.codebooks - 1) <= info.max_length


def plan(info: ModelInfo, given: int, tokens: int, borders: Sequence[int] = ()) -> list[Window]:
    """The windows of a piece of `tokens` new tokens, by `ModelInfo.seconds`, behind `given` frames of a clip.

    borders: frames of the piece at which a window must begin, since the prompt changes there.
    """
    delay = info.codebooks - 1
    end = given + max(1, tokens - delay)
    borders = sorted(border for border in set(borders) if given < border < end)
    if not borders and held(info, given, tokens):
        return [Window(given, given, tokens)]
    windows = []
    start = given
    while start < end:
        prompt = min(start, overlap(info))
        stop = min([border for border in borders if border > start] + [end, start + info.max_length - prompt])
        windows.append(Window(start, prompt, stop - start + delay))
        start = stop
    return windows


def effort(windows: Sequence[Window]) -> float:
    """The time that `windows` take, in decoding steps: a prompt's frames are read many at a time."""
    first, *others = windows
    return first.tokens + sum(window.tokens + _READING * window.prompt for window in others)


_READING = 0.1  # of a decoding step, for a frame that is only read
