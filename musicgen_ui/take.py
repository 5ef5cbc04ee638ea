"""What comes back: a `Take`, its sound and all that made it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class TextToken(NamedTuple):
    """One piece of a description, as the tokenizer cut it."""

    piece: str
    id: int
    special: bool
    """not a piece of the text: its end, or what the vocabulary lacks"""


class TextTokens(NamedTuple):
    """What the text encoder read of a description, without padding; nothing where there is no description."""

    read: tuple[TextToken, ...] = ()
    cut: int = 0
    """how many more the description has, beyond what the text encoder takes"""


NOTHING_READ = TextTokens()


@dataclass(frozen=True)
class Take:
    """One piece of music.

    samples: (channels, samples) float32, full scale ±1, at `sampling_rate` Hz.
    codes: (codebooks, frames) int16, the tokens with the delay pattern undone; stereo checkpoints
        interleave left and right. A continuation's codes start with its clip's.
    record: every parameter that made it, as JSON values; enough to make it again alone.
    complete: False where it was stopped before its last token.
    text: the description as the text encoder read it.
    """

    samples: np.ndarray
    sampling_rate: int
    codes: np.ndarray
    record: dict
    complete: bool = True
    text: TextTokens = NOTHING_READ

    @property
    def seconds(self) -> float:
        return self.samples.shape[-1] / self.sampling_rate
