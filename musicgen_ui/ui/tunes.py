"""The tunes of clips: what a melody checkpoint will be told of one, as a picture, and how well a take followed it."""

import base64
import functools
import io
import itertools
from collections.abc import Sequence

import gradio as gr
import numpy as np
from PIL import Image

from musicgen_ui.audio import read_clip
from musicgen_ui.checkpoints import for_mode
from musicgen_ui.chroma import chroma_strengths, tune, without_hits
from musicgen_ui.errors import AppError
from musicgen_ui.hearing import TONICS, chroma_cosine
from musicgen_ui.limits import Limits
from musicgen_ui.ui.shelves import KeptTake
from musicgen_ui.ui.strings import fault, html, language_of, say, seconds
from musicgen_ui.ui.surface import Engine

_PLATE, _PINE, _BRASS = np.array([(16, 24, 24), (42, 112, 96), (236, 196, 116)], np.float32)
_NAMED = 24  # notes of a tune that the picture's alternative text names
_KEPT = 8  # tunes, 4 MB each at most


class Tunes:
    """Reads each clip once, however often it is looked at, and knows the tunes of the last few."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine, self._limits = engine, limits
        self._tune = functools.lru_cache(_KEPT)(self._read)

    def picture(self, clip: str | None, mode: str, without_drums: bool, model: str, request: gr.Request) -> str:
        """What the model will be told of the clip, as HTML; "" where it is told nothing of the kind."""
        if not clip or mode != "melody":
            return ""
        language = language_of(request)
        try:
            rate = self._engine.info(for_mode(model, mode)).sampling_rate
            samples = self._tune(clip, rate, bool(without_drums))
        except AppError as error:
            return f'<p class="mg-fault">{html(fault(language, error))}</p>'
        return draw_tune(chroma_strengths([samples], rate)[0], len(samples) / rate, language)

    def followed(self, take: KeptTake) -> float | None:
        """How well a take follows its clip, as `chroma_cosine`; None where it was no matter of following."""
        if take.ask.mode != "melody" or not take.ask.clip_paths:
            return None
        sound, rate = take.sound
        try:
            samples = self._tune(take.ask.clip_paths[0], rate, take.ask.without_drums)
        except AppError:  # the clip is gone
            return None
        return chroma_cosine(samples, sound.mean(axis=0), rate)

    def _read(self, path: str, rate: int, without_drums: bool) -> np.ndarray:
        if without_drums:
            return without_hits(self._tune(path, rate, False))
        return tune(read_clip(path, self._limits), rate)


def draw_tune(strengths: np.ndarray, length: float, language: str) -> str:
    """HTML of chroma (frames, 12) over `length` seconds: each frame's strongest pitch class, which is all that the
    model is told, in brass; the others in pine."""
    strongest = strengths.argmax(axis=-1)
    pixels = _PLATE + strengths[..., None] * (_PINE - _PLATE)  # (frames, 12, 3)
    pixels[np.arange(len(strongest)), strongest] = _BRASS
    content = io.BytesIO()
    image = Image.fromarray(pixels.transpose(1, 0, 2)[::-1].round().astype(np.uint8))  # C at the bottom
    image.save(content, "png")
    source = base64.b64encode(content.getvalue()).decode()
    alt = say(language, "page.tune.alt", time=seconds(language, length), notes=_notes(strongest))
    names = "".join(f"<span>{name}</span>" for name in reversed(TONICS))
    return (
        f'<figure><div aria-hidden="true">{names}</div>'
        f'<img src="data:image/png;base64,{source}" alt="{html(alt)}">'
        f"<p><span>0</span><span>{html(seconds(language, length))}</span></p>"
        f"<figcaption>{html(say(language, 'page.tune.what'))}</figcaption></figure>"
    )


def _notes(strongest: Sequence[int] | np.ndarray) -> str:
    """The tune in letters: what sounds for two frames at least, each change once."""
    notes: list[int] = []
    for now, after in itertools.pairwise(strongest):
        if now == after and (not notes or notes[-1] != now):
            notes.append(int(now))
    more = " …" if len(notes) > _NAMED else ""
    return " ".join(TONICS[note] for note in notes[:_NAMED]) + more or "–"
