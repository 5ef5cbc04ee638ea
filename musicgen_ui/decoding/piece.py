"""A batch of pieces in the making: its codes, window by window, in one sequence that the codec's streams follow."""

import time
from collections.abc import Callable

import numpy as np

from musicgen_ui.decoding.sounds import Sounds
from musicgen_ui.decoding.tokens import undelayed
from musicgen_ui.windows import Window

Progress = Callable[[str, int, int], None]
"""called as (stage, done, total): "tokens" at every decoding step, "codec" when the last of the sound is decoded"""
Stopped = Callable[[], bool]


def no_progress(stage: str, done: int, total: int) -> None:
    pass


def never() -> bool:
    return False


class Piece:
    """What there is of the codes, (rows, codebooks, frames), and what is done at every step of the token loop.

    Windows join exactly: the next one's codes stand behind the last one's, and the sound is decoded as if all of
    them came from one.
    """

    def __init__(
        self,
        given: np.ndarray,
        channels: int,
        tokens: int,
        sounds: Sounds,
        progress: Progress = no_progress,
        stopped: Stopped = never,
    ) -> None:
        """given: (rows, codebooks, frames), a clip's codes, or no frames; tokens: all the new ones."""
        self._whole, self._given, self._channels, self._wanted = given, given.shape[-1], channels, tokens
        self._sounds, self._progress, self._stopped = sounds, progress, stopped
        self._window = Window(self._given, 0, 0)
        self._columns: np.ndarray | None = None  # of the window that is being made
        self._prompt: np.ndarray | None = None
        self._done = 0
        self.told_seconds = 0.0
        """spent on what the decoder is told, before each window's first step"""
        self.stopped = False

    @property
    def tokens(self) -> int:
        """The new ones so far; what a border between windows costs isn't counted (`ModelInfo.seconds`)."""
        return self._done

    @property
    def frames(self) -> int:
        """The whole ones so far, a clip's included."""
        made = 0
        if self._columns is not None:
            _, codebooks, steps = self._columns.shape
            made = max(0, steps - codebooks // self._channels - self._window.prompt)
        return self._whole.shape[-1] + made

    def codes(self, first: int = 0, last: int | None = None) -> np.ndarray:
        """Frames `first` to `last`, (rows, codebooks, frames) int64."""
        if self._columns is None:
            return self._whole[..., first:last]
        made = undelayed(self._columns, self._channels, self._prompt)[..., self._window.prompt :]
        return np.concatenate([self._whole, made], axis=-1)[..., first:last]

    def begin(self, window: Window) -> np.ndarray | None:
        """The codes that `window` continues, (rows, codebooks, frames); None where there are none."""
        self._whole, self._columns, self._window = self.codes(), None, window
        self._prompt = self._whole[..., window.start - window.prompt : window.start] if window.prompt else None
        self._asked = time.perf_counter()
        return self._prompt

    def after_step(self, columns: np.ndarray) -> bool:
        """The window's `AfterStep` (tokens.py): decodes what has become whole; False where it is to end."""
        steps = columns.shape[-1] - 1 - self._window.prompt
        if not steps:
            self.told_seconds += time.perf_counter() - self._asked
        done = self._window.start - self._given + steps
        self._done = max(self._done, done)
        self._progress("tokens", self._done, self._wanted)
        self._columns = columns
        if self._stopped() and self._done < self._wanted:
            self.stopped = True
            return False
        self._sounds.advance(self.frames, self.codes)
        return True

    def end(self) -> None:
        """Decodes the rest."""
        self._progress("codec", self._done, self._wanted)
        self._sounds.advance(self.frames, self.codes, last=True)
