"""What the benchmarks ask of the app's engines: the only file here that knows their interface.

Importing it imports MindNLP.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from musicgen_ui.decoding.store import kept_path
from musicgen_ui.decoding.weights import Tensors
from musicgen_ui.musicgen import MusicGen
from musicgen_ui.pipeline import Pipeline
from musicgen_ui.request import Settings
from musicgen_ui.take import Take

TEXT_TOKENS = 16


def load(folder: Path, engine: str) -> MusicGen:
    """The checkpoint in `folder`, ready to generate with `engine`."""
    return Pipeline(engine=engine).load("benchmark", folder, engine)


def forget_kept_weights(folder: Path) -> None:
    """Removes what is kept on disk of `folder`'s quantised weights."""
    for bits in (8, 4):
        kept_path(Tensors(folder), bits).unlink(missing_ok=True)


def generate(model: MusicGen, engine: str, prompt: str, seconds: float, seed: int, heard: Callable) -> Take:
    """One take; `heard(samples, start)` is called with each piece as soon as it is decoded."""
    settings = Settings(max_new_tokens=model.info.tokens(seconds))
    [take] = model.generate([prompt], settings, seeds=[seed], engine=engine, heard=heard)
    return take


class Steps:
    """Decoding steps of `engine` on `rows` rows, guidance's included: the second half of them is without text."""

    def __init__(self, model: MusicGen, engine: str, rows: int, capacity: int) -> None:
        self._decoder, self._embeddings = model.decoder(engine), model.embeddings
        self._rows, self._capacity = rows, capacity
        heads, codebooks = model.weights.heads, model.weights.codebooks
        rng = np.random.default_rng(1)
        self._codes = rng.integers(0, len(heads) // codebooks, (rows, codebooks, capacity))
        self._states = np.zeros((rows, TEXT_TOKENS, heads.shape[1]), np.float32)
        self._states[: rows // 2] = rng.standard_normal((TEXT_TOKENS, heads.shape[1]))  # several takes of one text
        self._mask = np.ones((rows, TEXT_TOKENS), bool)
        self._mask[rows // 2 :] = False

    def move_to(self, position: int) -> None:
        """The next step is `position`'s: fills the cache up to there."""
        self._decoder.begin(self._rows, self._capacity, self._states, self._mask)
        self._decoder.feed(self._embeddings(self._codes[..., :position], 0))
        self._position = position

    def step(self) -> np.ndarray:
        """Codes in, logits (rows, codebooks, vocabulary) out."""
        codes = self._codes[..., self._position : self._position + 1]
        logits = self._decoder.feed(self._embeddings(codes, self._position))
        self._position += 1
        return logits

    def bytes_read(self, position: int) -> dict[str, int]:
        """What the step at `position` has to read: weights with their scales, keys and values with theirs."""
        weights, cache = self._decoder.bytes_read(position)
        return {"weights": weights, "cache": cache}
