"""What a running request tells, in the order in which it happens. Plain values: they cross processes."""

from dataclasses import dataclass

import numpy as np

from musicgen_ui.model_info import ModelInfo
from musicgen_ui.take import Take


@dataclass(frozen=True)
class Queued:
    """Waiting: `ahead` requests are before this one, the running one included."""

    ahead: int


@dataclass(frozen=True)
class Downloading:
    """The checkpoint comes from the hub; `total_bytes` is 0 until it is known."""

    model: str
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Starting:
    """The engine process starts (or starts again)."""


@dataclass(frozen=True)
class Loading:
    """The weights of `model` are read."""

    model: str


@dataclass(frozen=True)
class Loaded:
    """`model` is ready; `info.generation_config` is the loaded model's own."""

    info: ModelInfo


@dataclass(frozen=True)
class Ready:
    """The engine waits for requests."""


@dataclass(frozen=True)
class Generating:
    """`done` of `total` tokens, at `seconds_per_token` (mean of this request so far; 0 before the first)."""

    done: int
    total: int
    seconds_per_token: float


@dataclass(frozen=True)
class Sound:
    """The next piece of the first take's sound while it is being made.

    pcm: (channels, samples) int16, full scale 32767, never normalised: loudness is constant over pieces.
    start: samples from the take's beginning where it belongs; pieces come in order and without gaps.
    sampling_rate: Hz.
    seconds: of the whole take, if it isn't stopped.
    """

    pcm: np.ndarray
    start: int
    sampling_rate: int
    seconds: float


@dataclass(frozen=True)
class Decoding:
    """EnCodec turns the tokens into sound."""


@dataclass(frozen=True)
class Finished:
    """The takes, prompt by prompt, each prompt's takes together."""

    takes: tuple[Take, ...]


Event = Queued | Downloading | Starting | Loading | Loaded | Ready | Generating | Sound | Decoding | Finished
