"""What a user asks for: a `Request` of plain values, checked before any model is touched."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from musicgen_ui.errors import InputError
from musicgen_ui.limits import Limits
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.sections import sections
from musicgen_ui.windows import overlap

MODES = ("unconditional", "text", "continue", "melody")
ENGINES = ("auto", "mindnlp", "graph", "float32", "int8", "int4")
MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class Clip:
    """Audio that the user gave: `samples` (channels, samples) float32 at `sampling_rate` Hz."""

    samples: np.ndarray
    sampling_rate: int
    name: str = "clip"
    file_seconds: float | None = None
    """length of the file it came from, where only its start was read"""

    @property
    def seconds(self) -> float:
        return self.samples.shape[-1] / self.sampling_rate

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits, the same for the same sound, whatever its file is called."""
        digest = hashlib.sha256(f"{self.samples.shape} {self.sampling_rate} ".encode())
        digest.update(np.ascontiguousarray(self.samples, "<f4").data)
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Settings:
    """How to generate. The names are `generate`'s; None means: as the model's generation config says."""

    max_new_tokens: int | None = None
    guidance_scale: float | None = None
    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None

    def superseding(self, generation_config: Mapping[str, Any]) -> "Settings":
        """These arguments, and `generation_config`'s value for each that is None."""
        defaults: dict[str, Any] = {
            "max_new_tokens": generation_config.get("max_new_tokens") or generation_config.get("max_length"),
            "guidance_scale": generation_config.get("guidance_scale") or 1.0,
            "do_sample": bool(generation_config.get("do_sample", False)),
            "temperature": generation_config.get("temperature") or 1.0,
            "top_k": 50 if generation_config.get("top_k") is None else generation_config["top_k"],
            "top_p": generation_config.get("top_p") or 1.0,
        }
        return replace(self, **{name: value for name, value in defaults.items() if getattr(self, name) is None})


@dataclass(frozen=True)
class Request:
    """One call of one of the verbs. Rows of its batch: one per prompt (or clip) and take.

    Take i (from 0) is drawn with seed + i. `padded_seconds` and `padded_tokens` are how long the longest
    clip and the longest prompt of a batch were: the others are padded to that, as the reference processor
    does, and a take's record keeps the figures so that it can be made again alone. So it does with
    `section_frames`, where the sections of any of the batch's prompts begin (windows.py).
    """

    mode: str = "text"
    prompts: tuple[str, ...] = ()
    clips: tuple[Clip, ...] = ()
    model: str = "nano"
    engine: str = "auto"
    settings: Settings = field(default_factory=Settings)
    seed: int | None = None
    takes: int = 1
    padded_seconds: float = 0.0
    padded_tokens: int = 0
    without_drums: bool = False
    """melody: whether hits are taken out of the clips before their tune is"""
    section_frames: tuple[int, ...] = ()
    generation_config: Mapping[str, Any] = field(default_factory=dict)
    """this user's changes to the model's generation config; `settings` supersede them"""


_RANGES: dict[str, tuple[float, float]] = {
    "max_new_tokens": (1, math.inf),
    "max_length": (1, math.inf),
    "guidance_scale": (1.0, 20.0),
    "temperature": (0.01, 10.0),
    "top_k": (0, math.inf),
    "top_p": (0.01, 1.0),
}
CONFIG_KINDS: dict[str, type] = {
    "do_sample": bool,
    "guidance_scale": float,
    "max_length": int,
    "max_new_tokens": int,
    "temperature": float,
    "top_k": int,
    "top_p": float,
}
"""what a user may change of a generation config"""


_MAX_WHOLE = 2**53  # what JavaScript counts to
Number = TypeVar("Number", int, float, bool)


def number(name: str, value: object, kind: type[Number]) -> Number | None:
    """`value` as an int, a float or a bool; None and "" stay None. InputError names the parameter."""
    if value is None or value == "":
        return None
    if kind is bool:
        if isinstance(value, bool):
            return value
        raise InputError("error.not_a_switch", name=name, value=_shown(value))
    if isinstance(value, (bool, list, tuple, dict)):
        raise InputError("error.not_a_number", name=name, value=_shown(value))
    try:
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise InputError("error.not_a_number", name=name, value=_shown(value)) from None
    if not math.isfinite(result) or (kind is int and result != int(result)):
        raise InputError("error.not_a_number", name=name, value=_shown(value))
    if kind is int and abs(result) > _MAX_WHOLE:
        raise InputError("error.not_a_number", name=name, value=_shown(value))
    return kind(value) if isinstance(value, int) else kind(result)


def checked(request: Request, limits: Limits) -> Request:
    """`request` with numbers as numbers and prompts stripped, or an InputError that says what is wrong.

    Checks all that needs no model; `checked_for_model` does the rest.
    """
    if request.mode not in MODES:
        raise InputError("error.mode", value=_shown(request.mode), modes=", ".join(MODES))
    given: dict[str, Any] = {f.name: getattr(request.settings, f.name) for f in fields(Settings)}
    settings = Settings(**{name: number(name, value, CONFIG_KINDS[name]) for name, value in given.items()})
    if request.engine not in ENGINES:
        raise InputError("error.engine", engine=_shown(request.engine), engines=", ".join(ENGINES))
    for name in request.generation_config:
        if name not in CONFIG_KINDS:
            raise InputError("error.config_key", name=_shown(name), names=", ".join(CONFIG_KINDS))
    config = {name: number(name, value, CONFIG_KINDS[name]) for name, value in request.generation_config.items()}
    check_ranges(vars(settings))
    for name in ("padded_seconds", "padded_tokens"):
        value = number(name, getattr(request, name), float)
        if value is None or not 0 <= value <= limits.padding:
            raise InputError("error.range", name=name, low=0, high=limits.padding, value=_shown(value))
    frames = []
    for entry in request.section_frames:
        frame = number("section_frames", entry, int)
        if frame is None or frame < 0:
            raise InputError("error.at_least", name="section_frames", low=0, value=_shown(entry))
        frames.append(frame)
    check_ranges(config)
    seed = number("seed", request.seed, int)
    if seed is not None and not 0 <= seed <= MAX_SEED:
        raise InputError("error.range", name="seed", low=0, high=MAX_SEED, value=seed)
    takes = number("takes", request.takes, int)
    if takes is None or not 1 <= takes <= limits.takes:
        raise InputError("error.range", name="takes", low=1, high=limits.takes, value=_shown(request.takes))
    without_drums = bool(number("without_drums", request.without_drums, bool))
    if without_drums and request.mode != "melody":
        raise InputError("error.drums_mode", mode=request.mode)
    prompts = _checked_prompts(request, limits)
    _check_clips(request, limits)
    conditions = max(len(prompts), len(request.clips), 1)
    if conditions * takes > limits.rows:
        raise InputError("error.rows", rows=conditions * takes, limit=limits.rows)
    config = {name: value for name, value in config.items() if value is not None}
    return replace(
        request,
        settings=settings,
        generation_config=config,
        seed=seed,
        takes=takes,
        prompts=prompts,
        without_drums=without_drums,
        section_frames=tuple(frames),
    )


def checked_for_model(request: Request, info: ModelInfo, limits: Limits = Limits()) -> Request:
    """`request` as `info`'s model can do it, or an InputError: the right kind of checkpoint, no more than a piece may
    last, no section that begins behind its end.

    A call that names no `max_new_tokens` gets the model's, or else what the model holds at once; no more than a piece
    may last. A user's own `max_length` holds clip and new music together within it; what was really used stands in the
    take's record.
    """
    if request.mode == "melody" and not info.melody:
        raise InputError("error.model_cannot_follow", model=info.name)
    if request.mode == "continue" and info.melody:
        raise InputError("error.model_cannot_continue", model=info.name)
    config = {**info.generation_config, **request.generation_config}
    clips = [clip.file_seconds or clip.seconds for clip in request.clips] if request.mode == "continue" else [0.0]
    clip_seconds = max(request.padded_seconds, *clips) if request.mode == "continue" else 0.0
    given = math.ceil(clip_seconds * info.frame_rate)
    minimum = info.codebooks
    own = number("max_length", request.generation_config.get("max_length"), int)
    if own is not None and own - given < minimum:
        raise InputError(
            "error.clip_fills_model",
            clip_seconds=round(clip_seconds, 1),
            model_seconds=round(info.seconds(own), 1),
        )
    tokens = request.settings.max_new_tokens or request.generation_config.get("max_new_tokens")
    if tokens is None:
        room, allowed = info.max_length - given, info.tokens(limits.piece_seconds) - given
        tokens = config.get("max_new_tokens") or (room if room >= minimum else info.max_length - overlap(info))
        tokens = min(tokens, allowed) if allowed >= minimum else tokens  # a clip that lasts too long is told below
    if own is not None:
        tokens = min(tokens, own - given)
    if tokens < minimum:
        raise InputError("error.too_few_tokens", minimum=minimum, value=tokens)
    seconds = info.seconds(tokens)
    if clip_seconds + seconds > limits.piece_seconds + 1 / info.frame_rate:
        key = "error.piece_long" if not clip_seconds else "error.piece_long_with_clip"
        raise InputError(
            key,
            seconds=round(clip_seconds + seconds, 1),
            clip_seconds=round(clip_seconds, 1),
            limit=round(limits.piece_seconds),
        )
    for row in range(max(len(request.prompts), len(clips))):
        prompt = request.prompts[row % len(request.prompts)] if request.prompts else ""
        last = sections(prompt)[-1]
        if last.start and last.start >= clips[row % len(clips)] + seconds:
            whole = round(clips[row % len(clips)] + seconds, 1)
            raise InputError("error.section_late", time=last.time, seconds=whole)
    settings = replace(request.settings.superseding(config), max_new_tokens=tokens)
    return replace(request, settings=settings)


def check_ranges(values: Mapping[str, Any]) -> None:
    """InputError where one of `values`, by the names of a generation config, lies outside what can be used."""
    for name, (low, high) in _RANGES.items():
        value = number(name, values.get(name), CONFIG_KINDS[name])
        if value is not None and not low <= value <= high:
            if high == math.inf:
                raise InputError("error.at_least", name=name, low=low, value=value)
            raise InputError("error.range", name=name, low=low, high=high, value=value)


def _checked_prompts(request: Request, limits: Limits) -> tuple[str, ...]:
    for prompt in request.prompts:
        if not isinstance(prompt, str) or _has_surrogates(prompt):
            raise InputError("error.not_text")
    prompts = tuple(" ".join(prompt.split()) for prompt in request.prompts)
    if request.mode == "unconditional":
        return ()
    if request.mode == "text":
        prompts = tuple(prompt for prompt in prompts if prompt)
        if not prompts:
            raise InputError("error.prompt_empty")
    if len(prompts) > limits.prompts:
        raise InputError("error.prompts", count=len(prompts), limit=limits.prompts)
    for prompt in prompts:
        if len(prompt) > limits.prompt_characters:
            raise InputError("error.prompt_long", count=len(prompt), limit=limits.prompt_characters)
        sections(prompt)  # says what is wrong with them
    return prompts


def _check_clips(request: Request, limits: Limits) -> None:
    if request.mode in ("unconditional", "text"):
        if request.clips:
            raise InputError("error.clip_unused", mode=request.mode)
        return
    if not request.clips:
        raise InputError("error.clip_missing")
    prompts = len(request.prompts)
    if prompts > 1 and len(request.clips) > 1 and prompts != len(request.clips):
        raise InputError("error.prompts_and_clips", prompts=prompts, clips=len(request.clips))
    if len(request.clips) > limits.prompts:
        raise InputError("error.clips", count=len(request.clips), limit=limits.prompts)


def _has_surrogates(text: str) -> bool:
    """Halves of characters, as broken JSON and file names bring them: no tokenizer takes them."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _shown(value: object) -> str:
    try:
        text = str(value)
    except ValueError:  # more digits than Python writes
        text = "…"
    return text if len(text) <= 40 else text[:39] + "…"
