"""A take cut to whole bars so that it can be played round and round: the beat's grid, the bars that fit, the join.

The tempo of `hearing` is made exact by Fourier analysis of the onsets (the whole take's, so to some hundredths of a
percent); bars and their place by how alike the music before and after both cuts is; the cuts by matching waveforms.
"""

import math
from dataclasses import dataclass

import numpy as np

from musicgen_ui import hearing
from musicgen_ui.errors import InputError
from musicgen_ui.locales import sentence

_LONGEST = 60.0  # s of a take that a loop is looked for in: time and memory grow with them
_HOP = 256  # samples
_BANDS = 24  # of the mel spectrum by which beats are compared
_PARTS = 4  # of a beat
_RATIOS = (1.0, 3 / 4, 4 / 3, 2 / 3, 3 / 2)  # the onsets' autocorrelation may take a dotted note for the beat
_FIRST_GUESS = 1.1  # how much better another ratio must fit
_WALTZ = 0.05  # how much more alike three beats apart must be than four for 3/4
_CONTEXT = 4  # beats to each side of the cuts that are compared
_UNKNOWN = 0.5  # the likeness that is supposed where the take has nothing there
_SHARE = 0.5  # of the bars that there are, which a loop keeps at least
_PER_OCTAVE = 0.8  # likeness that twice the bars are worth
_EVEN = 0.2  # and an even number of them
_LATE = 0.013  # s by which librosa's onsets follow the attack of a click
_BEFORE = 0.035  # s before the beat in which the cut may lie
_SLACK = 0.002  # s by which a loop may miss its bars for the sake of a better join
_WINDOW = 0.005  # s to each side of the cuts whose waveforms are compared; the length of the crossfade
_UNHEARD = 1e-3  # of the take's power: where waveforms differ by less, a crossfade changes nothing


@dataclass(frozen=True)
class Loop:
    """`bars` bars of `beats` beats (4 or 3), at exactly `bpm`.

    crossfaded: whether the last milliseconds lead over into the first.
    """

    bars: int
    beats: int
    bpm: float
    crossfaded: bool

    @property
    def seconds(self) -> float:
        return 60 * self.bars * self.beats / self.bpm

    @property
    def facts(self) -> dict[str, object]:
        """For the file's record."""
        return {"bars": self.bars, "beats": self.beats, "bpm": round(self.bpm, 1)}

    def told(self, language: str) -> str:
        """Bars and tempo in words."""
        return sentence(language, "page.loop.one" if self.bars == 1 else "page.loop.many", **self.facts)


def find_loop(samples: np.ndarray, sampling_rate: int, name: str) -> tuple[np.ndarray, Loop]:
    """The loop in the first minute of samples (channels, samples) float32, of as many channels.

    `name` is what its faults call it. InputError where no steady beat is heard, or less than a bar of it.
    """
    samples = samples[:, : round(_LONGEST * sampling_rate)]
    mono = samples.mean(axis=0)
    bpm = hearing.beat(mono, sampling_rate)
    if bpm is None:
        raise InputError("error.loop_no_beat", name=name)
    period, phase = _grid(mono, sampling_rate, bpm)  # s
    features = _beats(mono, sampling_rate, period, phase)
    beats = _metre(features)
    begin, bars = _bars(features, beats)
    if not bars:
        raise InputError("error.loop_short", name=name)
    start = phase + begin * period
    cut, end = _cuts(samples, sampling_rate, start, bars * beats * period)
    looped, crossfaded = _joined(samples, cut, end, round(_WINDOW * sampling_rate))
    return looped, Loop(bars, beats, 60 * bars * beats * sampling_rate / (end - cut), crossfaded)


def _grid(mono: np.ndarray, sampling_rate: int, bpm: float) -> tuple[float, float]:
    """Period of the beat and time of the first one, in seconds; the first may lie `_BEFORE` before the beginning."""
    import librosa

    onsets = librosa.onset.onset_strength(y=mono, sr=sampling_rate, hop_length=_HOP)
    onsets = onsets - onsets.mean()
    times = np.arange(len(onsets)) * _HOP / sampling_rate

    def strengths(periods: np.ndarray) -> np.ndarray:
        """How strongly the onsets go in beats and half beats of each of the periods."""
        return sum(np.abs(np.exp(-2j * np.pi * part * times / periods[:, None]) @ onsets) for part in (1, 2))

    guesses = []
    for ratio in _RATIOS:
        periods = ratio * 60 / bpm * np.geomspace(0.96, 1.04, 161)
        fits = strengths(periods)
        guesses.append((float(fits.max()) * (_FIRST_GUESS if ratio == 1 else 1), float(periods[fits.argmax()])))
    periods = max(guesses)[1] * np.geomspace(0.9995, 1.0005, 101)
    period = float(periods[strengths(periods).argmax()])
    turn = np.exp(-2j * np.pi * times / period) @ onsets
    phase = float((-np.angle(turn) / (2 * np.pi) * period - _LATE) % period)
    return period, phase - period if phase > period - _BEFORE else phase


def _beats(mono: np.ndarray, sampling_rate: int, period: float, phase: float) -> np.ndarray:
    """(beats, parts · bands): the spectrum in the course of each whole beat, in dB less its mean over all."""
    import librosa

    bands = librosa.feature.melspectrogram(y=mono, sr=sampling_rate, n_fft=2048, hop_length=_HOP, n_mels=_BANDS)
    levels = librosa.power_to_db(bands, top_db=60)
    count = math.floor((len(mono) / sampling_rate - phase + _BEFORE) / period)
    middles = phase + (np.arange(count * _PARTS) + 0.5) / _PARTS * period
    frames = np.clip(np.round(middles * sampling_rate / _HOP).astype(int), 0, levels.shape[1] - 1)
    parts = levels[:, frames].T  # (beats · parts, bands)
    return (parts - parts.mean(axis=0)).reshape(count, -1)


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """Cosine, −1 … 1."""
    return float((one * other).sum() / max(1e-9, np.linalg.norm(one) * np.linalg.norm(other)))


def _metre(features: np.ndarray) -> int:
    """Beats of a bar: 3 where three and six beats apart are more alike than four and eight, else 4."""
    three, four = (
        np.mean([_alike(features[lag:], features[:-lag]) for lag in lags if lag < len(features) - 1] or [0.0])
        for lags in ((3, 6), (4, 8))
    )
    return 3 if three > four + _WALTZ else 4


def _bars(features: np.ndarray, beats: int) -> tuple[int, int]:
    """First beat and number of bars of the best loop: long, and going on at its end as it began. (0, 0) for none."""
    most = len(features) // beats
    best, choice = -math.inf, (0, 0)
    for bars in range(max(1, math.ceil(most * _SHARE)), most + 1):
        for begin in range(len(features) - bars * beats + 1):
            end = begin + bars * beats
            before, after = min(begin, _CONTEXT), min(len(features) - end, _CONTEXT)
            around = np.arange(-before, after)
            likeness = _alike(features[begin + around], features[end + around]) if len(around) else 0.0
            known = min(1, len(around) / _CONTEXT)
            worth = likeness * known + _UNKNOWN * (1 - known)
            worth += _PER_OCTAVE * math.log2(bars / most) + _EVEN * (bars % 2 == 0)
            if worth > best + 1e-9:
                best, choice = worth, (begin, bars)
    return choice


def _cuts(samples: np.ndarray, sampling_rate: int, start: float, seconds: float) -> tuple[int, int]:
    """First sample of the loop and the one after its last: near `start` and so many seconds later, where the mix
    rises through zero and the waveforms around both are most alike (or both are quiet)."""
    mono, count = samples.mean(axis=0), samples.shape[-1]
    window, length = round(_WINDOW * sampling_rate), seconds * sampling_rate
    slack = _SLACK * sampling_rate
    first = max(0, math.floor(min((start - _BEFORE) * sampling_rate, count - length)))
    last = max(first, math.floor(min(start * sampling_rate, count - length + slack)))
    rising = np.flatnonzero((mono[:-1] < 0) & (mono[1:] >= 0)) + 1
    padded = np.pad(samples, ((0, 0), (window, window)))
    best, choice = math.inf, (first, min(count, round(first + length)))
    starts = rising[(rising >= first) & (rising <= last)]
    for cut in starts if starts.size else (first, last):  # in silence nothing rises
        ends = rising[np.abs(rising - cut - length) <= slack]
        for end in ends if ends.size else (min(count, round(cut + length)),):
            apart = padded[:, cut : cut + 2 * window] - padded[:, end : end + 2 * window]
            difference = float((apart**2).sum())
            if difference < best:
                best, choice = difference, (int(cut), int(end))
    return choice


def _joined(samples: np.ndarray, cut: int, end: int, window: int) -> tuple[np.ndarray, bool]:
    """What lies between the cuts, and whether its end leads over into what was heard before the first cut."""
    looped = samples[:, cut:end].copy()
    before = np.pad(samples, ((0, 0), (window, 0)))[:, cut : cut + window]  # silence before the beginning
    apart = before - looped[:, -window:]
    if float((apart**2).mean()) <= _UNHEARD * float((samples**2).mean()):
        return looped, False
    looped[:, -window:] += np.linspace(0, 1, window + 2, dtype=np.float32)[1:-1] * apart
    return looped, True
