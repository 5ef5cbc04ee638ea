"""What a running request tells, in the order in which it happens. Plain values: they cross processes."""

from dataclasses import dataclass

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
class Decoding:
    """EnCodec turns the tokens into sound."""


@dataclass(frozen=True)
class Finished:
    """The takes, prompt by prompt, each prompt's takes together."""

    takes: tuple[Take, ...]


Event = Queued | Downloading | Starting | Loading | Loaded | Ready | Generating | Decoding | Finished
