"""What comes back: a `Take`, its sound and all that made it."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Take:
    """One piece of music.

    samples: (channels, samples) float32, full scale ±1, at `sampling_rate` Hz.
    codes: (codebooks, frames) int16, the tokens with the delay pattern undone; stereo checkpoints
        interleave left and right. A continuation's codes start with its clip's.
    record: every parameter that made it, as JSON values; enough to make it again alone.
    complete: False where it was stopped before its last token.
    """

    samples: np.ndarray
    sampling_rate: int
    codes: np.ndarray
    record: dict
    complete: bool = True

    @property
    def seconds(self) -> float:
        return self.samples.shape[-1] / self.sampling_rate
