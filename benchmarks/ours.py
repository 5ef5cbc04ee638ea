"""What the benchmarks ask of the app's engines: the only file here that knows their interface.

Importing it imports MindNLP. Everything else is `Pipeline`'s and `MusicGen`'s public face.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from musicgen_ui.musicgen import MusicGen
from musicgen_ui.pipeline import Pipeline
from musicgen_ui.request import Settings


def load(folder: Path, engine: str) -> MusicGen:
    """The checkpoint in `folder`, ready to generate with `engine`."""
    return Pipeline().load("benchmark", folder, engine=engine)


def forget_kept_weights(folder: Path) -> None:
    """Removes what an engine keeps on disk of `folder`'s quantised weights."""
    shutil.rmtree(folder / "quantised", ignore_errors=True)


class Decoder:
    """`engine`'s decoder for `rows` rows, guidance's included, and takes of up to `length` tokens."""

    def __init__(self, model: MusicGen, engine: str, rows: int, length: int) -> None:
        self.rows = rows
        self._decoder = model.decoder(engine, rows, length)
        rng = np.random.default_rng(1)
        self._codes = rng.integers(0, model.model.config.decoder.vocab_size, (rows, model.info.codebooks))

    def move_to(self, position: int) -> None:
        """The next step is `position`'s, as if those before it had been taken."""
        self._decoder.position = position

    def step(self) -> np.ndarray:
        """Logits (rows, codebooks, vocabulary) after one step."""
        return self._decoder.step(self._codes)

    def weight_bytes(self) -> int:
        """Read in each step: the layers' matrices, with their scales, and the heads'."""
        return self._decoder.weight_bytes

    def cache_bytes(self, position: int) -> int:
        """Read in the step at `position`: the keys and values of all positions up to it, and of the text."""
        return self._decoder.cache_bytes(position)


def generate(model: MusicGen, engine: str, prompt: str, seconds: float, seed: int, sound: Callable):
    """One take; `sound(pcm, start)` is called with each piece as soon as it is decoded."""
    settings = Settings(max_new_tokens=model.info.tokens(seconds))
    [take] = model.generate([prompt], settings, seeds=[seed], engine=engine, sound=sound)
    return take
