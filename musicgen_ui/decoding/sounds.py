"""The takes of a batch turned into sound while their tokens are made."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from musicgen_ui.decoding.codec import StreamingCodec

_CHUNKS = (20, 50, 100)  # frames decoded at once: few first, to be heard soon; the last figure from then on

Heard = Callable[[np.ndarray, int], None]
"""called with each new piece of the first take, (channels, samples) float32, and the sample that it begins at"""
Codes = Callable[[int, int], np.ndarray]
"""gives the codes of frames `first` to `last`, (rows, codebooks, frames)"""


def unheard(piece: np.ndarray, start: int) -> None:
    pass


class Sounds:
    """One stream per row and channel. A row's sound doesn't depend on the other rows."""

    def __init__(
        self, codec: StreamingCodec, rows: int, channels: int, padding: Sequence[int] = (), heard: Heard = unheard
    ) -> None:
        """padding: samples on the left of each row's clip, which are cut off."""
        self._channels, self._heard = channels, heard
        self._streams = [[codec.stream() for _ in range(channels)] for _ in range(rows)]
        self._pieces: list[list[np.ndarray]] = [[] for _ in range(rows)]
        self._cut = list(padding) or [0] * rows
        self._frames = self._chunks = self._told = 0
        self.seconds = 0.0
        """spent on decoding"""

    def advance(self, frames: int, codes: Codes, last: bool = False) -> None:
        """Decodes the `frames` that are whole by now in large pieces; all of them if it is the `last` call."""
        while not last:  # at least one frame is left for the last call
            chunk = _CHUNKS[min(self._chunks, len(_CHUNKS) - 1)]
            if frames <= self._frames + chunk:
                return
            self._decode(codes(self._frames, self._frames + chunk), last=False)
        if frames:
            self._decode(codes(self._frames, frames), last=True)

    def _decode(self, codes: np.ndarray, last: bool) -> None:
        started = time.perf_counter()
        for row, streams in enumerate(self._streams):
            sides = [stream.push(codes[row, side :: self._channels], last) for side, stream in enumerate(streams)]
            piece = np.stack(sides)
            cut = min(self._cut[row], piece.shape[1])
            self._cut[row] -= cut
            self._pieces[row].append(piece[:, cut:])
        self._frames, self._chunks = self._frames + codes.shape[-1], self._chunks + 1
        self.seconds += time.perf_counter() - started
        piece = self._pieces[0][-1]
        if piece.shape[1]:
            self._heard(piece, self._told)
            self._told += piece.shape[1]

    def samples(self, row: int) -> np.ndarray:
        """(channels, samples) float32"""
        return np.concatenate(self._pieces[row], axis=1).astype(np.float32, copy=False)
