"""What the page and the command line need to know of a checkpoint, read from its JSON files alone."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicgen_ui.errors import InputError

PUBLISHED_GENERATION_CONFIG = {"do_sample": True, "guidance_scale": 3.0, "max_length": 1500}
"""generation_config.json of every MusicGen checkpoint that Meta published"""


@dataclass(frozen=True)
class ModelInfo:
    """Sizes of one checkpoint. One token is one step of the decoder: a code for each codebook."""

    name: str
    sampling_rate: int
    """Hz"""
    frame_rate: float
    """roughly the number of decoding steps per second of music (Hz)"""
    codebooks: int
    """codebooks per channel (K of the delay pattern)"""
    channels: int
    melody: bool
    generation_config: Mapping[str, Any]

    @property
    def max_length(self) -> int:
        """The most tokens that the model holds, clip and new music together."""
        return int(self.generation_config.get("max_length") or 1500)

    @property
    def max_new_tokens(self) -> int:
        """What a call uses that names no number: as the checkpoint says, else all the room there is."""
        return int(self.generation_config.get("max_new_tokens") or self.max_length)

    def seconds(self, tokens: int) -> float:
        """The music that `tokens` give: the delay pattern's last K − 1 steps complete earlier frames."""
        return max(0, tokens - (self.codebooks - 1)) / self.frame_rate

    def tokens(self, seconds: float) -> int:
        """The fewest tokens that give at least `seconds`."""
        return math.ceil(round(seconds * self.frame_rate, 6)) + self.codebooks - 1


def read_model_info(name: str, folder: Path) -> ModelInfo:
    """`ModelInfo` from `folder`'s config.json and generation_config.json.

    Raises InputError where they are missing, broken, not a MusicGen checkpoint's, or name code to be run.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError("error.checkpoint_broken", model=name, file="config.json") from None
    if _names_code(config):
        raise InputError("error.checkpoint_code", model=name)
    generation_file = folder / "generation_config.json"
    try:
        generation_config = (
            json.loads(generation_file.read_text(encoding="utf-8"))
            if generation_file.exists()
            else dict(PUBLISHED_GENERATION_CONFIG)
        )
    except (OSError, ValueError):
        raise InputError("error.checkpoint_broken", model=name, file=generation_file.name) from None
    try:
        if config["model_type"] not in ("musicgen", "musicgen_melody"):
            raise InputError("error.checkpoint_kind", model=name, kind=config["model_type"])
        decoder, codec = config["decoder"], config["audio_encoder"]
        channels = int(decoder.get("audio_channels", 1))
        return ModelInfo(
            name=name,
            sampling_rate=int(codec.get("sampling_rate", 24_000)),
            frame_rate=codec.get("sampling_rate", 24_000) / math.prod(codec.get("upsampling_ratios", (8, 5, 4, 2))),
            codebooks=int(decoder.get("num_codebooks", 4)) // channels,
            channels=channels,
            melody=config["model_type"] == "musicgen_melody",
            generation_config={key: value for key, value in generation_config.items() if not key.startswith("_")},
        )
    except (KeyError, TypeError, AttributeError, ValueError, ZeroDivisionError):
        raise InputError("error.checkpoint_broken", model=name, file="config.json") from None


def _names_code(config: Any) -> bool:
    """Whether it names code to be fetched and run: classes of its own, or a kernel for attention.

    transformers asks before it runs the former, but until 5.3 not before the latter (CVE-2026-4372).
    """
    if not isinstance(config, dict):
        return False
    return any(
        key == "auto_map" or ("attn_implementation" in key and "/" in str(value)) or _names_code(value)
        for key, value in config.items()
    )
