"""Pictures of sound: waveform over spectrogram, as one PNG that stands on its own dark plate."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_PLATE = (16, 24, 24)
_INK = (196, 205, 196)
_GRID = (56, 70, 68)
_WAVE = (236, 196, 116)
_COLOURS = np.array(
    [(16, 24, 24), (15, 52, 56), (20, 92, 88), (54, 138, 112), (146, 176, 104), (236, 196, 116), (255, 243, 214)],
    dtype=np.float32,
)
"""the colour map from silence to full level: ink, pine, brass, paper"""

_WIDTH, _LEFT, _RIGHT, _TOP = 1200, 84, 24, 20
_WAVE_HEIGHT, _GAP, _SPECTRUM_HEIGHT, _BOTTOM = 120, 22, 300, 56
_TEXT = 24
_WINDOW = 2048
_LOWEST = 50.0  # Hz
_DEPTH = 75.0  # dB


def draw_sound(samples: np.ndarray, sampling_rate: int) -> Image.Image:
    """`samples` (channels, samples) at `sampling_rate` Hz as waveform and spectrogram over the same seconds."""
    height = _TOP + _WAVE_HEIGHT + _GAP + _SPECTRUM_HEIGHT + _BOTTOM
    image = Image.new("RGB", (_WIDTH, height), _PLATE)
    columns = _WIDTH - _LEFT - _RIGHT
    spectrum_top = _TOP + _WAVE_HEIGHT + _GAP
    mono = samples.mean(axis=0)
    image.paste(Image.fromarray(_spectrogram(mono, sampling_rate, columns, _SPECTRUM_HEIGHT)), (_LEFT, spectrum_top))
    draw = ImageDraw.Draw(image)
    band = _WAVE_HEIGHT // len(samples)
    for channel, wave in enumerate(samples):
        _draw_wave(draw, wave, _TOP + channel * band, band, columns)
    font = ImageFont.load_default(_TEXT)
    _draw_seconds(draw, font, len(mono) / sampling_rate, columns, spectrum_top, height)
    _draw_hertz(draw, font, sampling_rate, spectrum_top)
    return image


def outline(samples: np.ndarray, bars: int = 56) -> tuple[int, ...]:
    """The peaks of `samples` (channels, samples) in `bars` equal parts, in 0 … 100 of the loudest."""
    parts = np.array_split(np.abs(samples).max(axis=0), bars)
    peaks = np.array([part.max(initial=0.0) for part in parts])
    return tuple(np.round(100 * peaks / max(float(peaks.max()), 1e-6)).astype(int).tolist())


def _spectrogram(mono: np.ndarray, sampling_rate: int, columns: int, rows: int) -> np.ndarray:
    """(rows, columns, 3) uint8: level in dB below the loudest, frequency rising logarithmically."""
    padded = np.pad(mono, _WINDOW // 2)
    starts = np.linspace(0, max(0, len(mono) - 1), columns).astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[starts]  # (columns, window)
    power = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW), axis=1)) ** 2
    frequencies = _hertz(np.linspace(1, 0, rows), sampling_rate)
    bins = frequencies * _WINDOW / sampling_rate
    low = np.clip(bins.astype(int), 0, power.shape[1] - 2)
    share = (bins - low).clip(0, 1)
    level = power[:, low] * (1 - share) + power[:, low + 1] * share
    decibels = 10 * np.log10(level / max(float(level.max()), 1e-12) + 1e-12)
    strength = np.clip(1 + decibels / _DEPTH, 0, 1).T * (len(_COLOURS) - 1)  # (rows, columns)
    below = np.minimum(strength.astype(int), len(_COLOURS) - 2)
    share = (strength - below)[..., None]
    return (_COLOURS[below] * (1 - share) + _COLOURS[below + 1] * share).astype(np.uint8)


def _hertz(height: np.ndarray | float, sampling_rate: int) -> np.ndarray:
    """The frequency at `height` (0 bottom … 1 top) of the spectrogram."""
    return _LOWEST * (sampling_rate / 2 / _LOWEST) ** np.asarray(height)


def _draw_wave(draw: ImageDraw.ImageDraw, wave: np.ndarray, top: int, height: int, columns: int) -> None:
    edges = np.linspace(0, len(wave), columns + 1).astype(int)
    middle = top + height / 2
    draw.line([(_LEFT, middle), (_LEFT + columns, middle)], fill=_GRID)
    peak = max(float(np.abs(wave).max(initial=0.0)), 0.05)
    for x in range(columns):
        part = wave[edges[x] : max(edges[x + 1], edges[x] + 1)]
        if len(part):
            high, low = float(part.max()) / peak, float(part.min()) / peak
            draw.line(
                [(_LEFT + x, middle - high * (height / 2 - 2)), (_LEFT + x, middle - low * (height / 2 - 2))],
                fill=_WAVE,
            )


def _draw_seconds(draw: ImageDraw.ImageDraw, font, seconds: float, columns: int, top: int, height: int) -> None:
    step = next((s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60) if seconds / s <= 8), 120)
    bottom = top + _SPECTRUM_HEIGHT
    for i in range(math.floor(seconds / step) + 1):
        x = _LEFT + columns * i * step / max(seconds, 1e-9)
        draw.line([(x, bottom), (x, bottom + 8)], fill=_INK)
        label = f"{i * step:g}"
        if x < _WIDTH - _RIGHT - 30:
            draw.text((x, bottom + 12), label, fill=_INK, font=font, anchor="ma")
    draw.text((_WIDTH - _RIGHT, bottom + 12), "s", fill=_INK, font=font, anchor="ra")


def _draw_hertz(draw: ImageDraw.ImageDraw, font, sampling_rate: int, top: int) -> None:
    for value, label in ((100, "100"), (300, "300"), (1000, "1 k"), (3000, "3 k"), (10_000, "10 k")):
        if value < sampling_rate / 2 * 0.9:
            y = top + _SPECTRUM_HEIGHT * (1 - math.log(value / _LOWEST) / math.log(sampling_rate / 2 / _LOWEST))
            draw.line([(_LEFT - 8, y), (_LEFT, y)], fill=_INK)
            draw.text((_LEFT - 14, y), label, fill=_INK, font=font, anchor="rm")
    draw.text((_LEFT - 14, top + _SPECTRUM_HEIGHT + 12), "Hz", fill=_INK, font=font, anchor="ra")
