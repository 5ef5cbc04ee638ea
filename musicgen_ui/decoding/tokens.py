"""The token loop: MusicGen's delay pattern, embeddings, guidance and sampling around an engine's decoder steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from musicgen_ui.decoding.sampling import choose, guided
from musicgen_ui.decoding.weights import Tensors
from musicgen_ui.request import Settings

_UNKNOWN = -1

AfterStep = Callable[[np.ndarray], bool]
"""called after every decoding step with all columns so far (rows, codebooks, steps); False ends the loop"""


class Decoder(Protocol):
    """What an engine is: the Transformer decoder with a KV cache. Not thread-safe."""

    def begin(self, rows: int, capacity: int, states: np.ndarray | None, mask: np.ndarray | None) -> None:
        """Forgets what it was fed, and makes room for `capacity` positions of `rows` sequences.

        states: (rows, places, width) float32, what cross-attention looks at, or None for a decoder without;
        mask: (rows, places) bool. A row may be masked out altogether: its states are zeros then.
        """

    def feed(self, inputs: np.ndarray) -> np.ndarray:
        """inputs (rows, steps, width) float32, positions added, go behind what was fed before.

        Returns the last step's logits (rows, codebooks, vocabulary) float32.
        """


@dataclass(frozen=True)
class Conditions:
    """What the decoder is told, one row per take; with guidance as many unconditioned rows follow.

    states, mask: for cross-attention, as in `Decoder.begin`; prefix: (rows, places, width) float32, what stands
    before the codes in melody checkpoints.
    """

    states: np.ndarray | None = None
    mask: np.ndarray | None = None
    prefix: np.ndarray | None = None


class DelayPattern:
    """Which tokens are given, where each codebook lags one step behind the one before (Copet et al. 2023, figure 1).

    In step s codebook k of a channel holds frame s − 1 − k; step 0, and where there is no such frame, hold `pad`.
    As `build_delay_pattern_mask` of transformers has it, for prompts (rows, codebooks, frames) or none.
    """

    def __init__(self, rows: int, codebooks: int, channels: int, pad: int, new: int, prompt: np.ndarray | None) -> None:
        given = 0 if prompt is None else prompt.shape[-1]
        self.start_steps = 1 + given
        steps = self.start_steps + new
        self.given = np.full((rows, codebooks, steps), _UNKNOWN, np.int64)
        for codebook in range(codebooks):
            lag = codebook // channels  # stereo: left and right codebooks alternate
            self.given[:, codebook, : 1 + lag] = pad
            self.given[:, codebook, steps - codebooks // channels + 1 + lag :] = pad
            if prompt is not None:
                behind = self.given[:, codebook, 1 + lag : 1 + lag + given]
                behind[:] = prompt[:, codebook, : behind.shape[-1]]

    def impose(self, step: int, tokens: np.ndarray) -> np.ndarray:
        """tokens (rows, codebooks) of a step, with those that are given in their places."""
        given = self.given[..., step]
        return np.where(given == _UNKNOWN, tokens, given)


def undelayed(columns: np.ndarray, channels: int, prompt_codes: np.ndarray | None = None) -> np.ndarray:
    """The whole frames in `columns` (rows, codebooks, steps), whose first is the start token's.

    Frames of a prompt (rows, codebooks, frames) stand as they were given. Returns (rows, codebooks, frames) int64.
    """
    rows, codebooks, steps = columns.shape
    frames = max(0, steps - codebooks // channels)
    codes = np.empty((rows, codebooks, frames), np.int64)
    for codebook in range(codebooks):
        first = 1 + codebook // channels
        codes[:, codebook] = columns[:, codebook, first : first + frames]
    if prompt_codes is not None:
        given = prompt_codes[..., :frames]
        codes[..., : given.shape[-1]] = given
    return codes


class Embeddings:
    """The decoder's input: the sum of the codebooks' embeddings, and sines and cosines of the position."""

    def __init__(self, tensors: Tensors, config: Mapping) -> None:
        names = [f"decoder.model.decoder.embed_tokens.{k}.weight" for k in range(config["num_codebooks"])]
        self._tables = [tensors[name] for name in names]  # (vocabulary + 1, width) each
        self._positions = sinusoids(0, config["hidden_size"])
        self._scale = np.float32(config["hidden_size"] ** 0.5 if config.get("scale_embedding") else 1.0)

    def __call__(self, columns: np.ndarray, position: int) -> np.ndarray:
        """columns (rows, codebooks, steps) of which the first is at `position` → (rows, steps, width) float32."""
        embedded = sum(table[columns[:, k]].astype(np.float32) for k, table in enumerate(self._tables))
        return self.at(embedded * self._scale, position)

    def at(self, inputs: np.ndarray, position: int) -> np.ndarray:
        """inputs (rows, steps, width), with the positions from `position` on added."""
        end = position + inputs.shape[1]
        if end > len(self._positions):
            self._positions = sinusoids(max(2048, 2 * end), inputs.shape[2])
        return inputs + self._positions[position:end]


def sinusoids(positions: int, width: int) -> np.ndarray:
    """(positions, width) float32, as `MusicgenSinusoidalPositionalEmbedding` of transformers: cosines, then sines."""
    half = width // 2
    rates = np.exp(np.arange(half, dtype=np.float32) * np.float32(-np.log(10_000) / (half - 1)))
    angles = np.arange(positions, dtype=np.float32)[:, None] * rates
    return np.pad(np.concatenate([np.cos(angles), np.sin(angles)], axis=1), ((0, 0), (0, width % 2)))


def generate_tokens(
    decoder: Decoder,
    embeddings: Embeddings,
    conditions: Conditions,
    pattern: DelayPattern,
    settings: Settings,
    generators: Sequence[np.random.Generator],
    after_step: AfterStep,
    room: int = 0,
) -> np.ndarray:
    """Runs the decoder until the pattern is full or `after_step` says False; columns (rows, codebooks, steps).

    One generator per row. With a guidance scale above 1, `conditions` hold twice as many rows as the pattern.
    room: steps for which the decoder makes room at least, so that patterns of several sizes share one.
    """
    columns = pattern.given.copy()
    rows, _, total = columns.shape
    copies = 2 if (settings.guidance_scale or 1.0) > 1.0 else 1
    before = 0 if conditions.prefix is None else conditions.prefix.shape[1]
    start = columns[..., : pattern.start_steps]
    if not after_step(start):
        return start
    inputs = np.tile(embeddings(start, before), (copies, 1, 1))
    if conditions.prefix is not None:
        inputs = np.concatenate([embeddings.at(conditions.prefix, 0), inputs], axis=1)
    decoder.begin(rows * copies, before + max(room, total) - 1, conditions.states, conditions.mask)
    for step in range(pattern.start_steps, total):
        logits = decoder.feed(inputs)
        if copies == 2:
            logits = guided(logits, float(settings.guidance_scale or 1.0))
        columns[..., step] = pattern.impose(step, choose(logits, settings, generators))
        if not after_step(columns[..., : step + 1]):
            return columns[..., : step + 1]
        inputs = np.tile(embeddings(columns[..., step : step + 1], before + step), (copies, 1, 1))
    return columns
