"""What came out: a take's tempo, key and loudness, measured on its sound; and what its prompt asked of them.

Tempo by librosa's onset autocorrelation; key by the correlation of chroma with how long each degree sounds in major and
minor pieces (Krumhansl 1990, with Albrecht and Shanahan's 2013 profiles); loudness by ITU-R BS.1770.
"""

import math
import re
from dataclasses import dataclass

import numpy as np

PROFILES = {
    "major": (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081),
    "minor": (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052),
}
"""how long each degree sounds, from the tonic upwards"""
TEMPO_TOLERANCE = 0.04
TONICS = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
_SHORTEST = 3.0  # s: less tells neither tempo nor key
_LONGEST = 60.0  # s that the tempo is measured on: time and memory grow with them, what they tell hardly does
_LONGEST_KEY = 20.0  # s that the key is: to tell tones from strokes takes six times as long as all else
_QUIETEST = -70.0  # LUFS, the gate of BS.1770
_STEADY = 0.15  # of the onsets' autocorrelation at the tempo; below there is no beat
_SURE = 0.5  # correlation below which no key is claimed
_ONSETS = 0.5  # dB from frame to frame; where nothing rises by that much nothing begins
_HOP, _CHROMA_HOP = 256, 1024  # samples at 32 kHz

_LETTERS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_BPM = re.compile(r"(?<![\d.])(\d{2,3})\s*(?:bpm\b|beats per minute|拍)", re.IGNORECASE)
_KEY = re.compile(r"\b([A-G])(?:([#♯b♭])|[ -]([Ss]harp|[Ff]lat))?[ -]?([Mm]ajor|[Mm]inor)\b")
_KEY_ZH = re.compile(r"([升降]?)([A-G])([#♯b♭]?)\s*(大调|小调)")


@dataclass(frozen=True)
class Heard:
    """tempo: beats per minute, None where no beat is clear. tonic: pitch class, 0 is C, and mode "major" or "minor",
    None where no key is. loudness: integrated, LUFS; None for silence."""

    tempo: float | None
    tonic: int | None
    mode: str | None
    loudness: float | None


def hear(samples: np.ndarray, sampling_rate: int) -> Heard:
    """samples (channels, samples) float32, full scale ±1. Takes a second for 10 s of music, three for five minutes.

    The tempo is the first minute's, the key that of its first 20 s.
    """
    mono = samples[:, : round(_LONGEST * sampling_rate)].mean(axis=0)
    loudness = _loudness(samples, sampling_rate)
    if loudness is None or mono.size < _SHORTEST * sampling_rate:
        return Heard(None, None, None, loudness)
    tonic, mode, sure = key(mono[: round(_LONGEST_KEY * sampling_rate)], sampling_rate)
    return Heard(
        beat(mono, sampling_rate),
        tonic if sure >= _SURE else None,
        mode if sure >= _SURE else None,
        loudness,
    )


def beat(audio: np.ndarray, sampling_rate: int) -> float | None:
    """The tempo of audio (samples,) where its beat is clear."""
    if audio.size < _SHORTEST * sampling_rate:
        return None
    bpm, steady = tempo(audio, sampling_rate)
    return bpm if steady >= _STEADY else None


def tempo(audio: np.ndarray, sampling_rate: int) -> tuple[float, float]:
    """Beats per minute of audio (samples,), perhaps an octave off; and how steady they are, 0 … 1.

    Zeros where no note begins.
    """
    import librosa

    onsets = librosa.onset.onset_strength(y=audio, sr=sampling_rate, hop_length=_HOP)
    if np.ptp(onsets) < _ONSETS:
        return 0.0, 0.0
    beats = librosa.feature.tempo(onset_envelope=onsets, sr=sampling_rate, hop_length=_HOP)
    bpm = float(np.atleast_1d(beats)[0])
    onsets = onsets - onsets.mean()
    lag = round(60 / bpm * sampling_rate / _HOP)
    power = float((onsets**2).sum())
    around = range(max(1, lag - 2), lag + 3)
    steady = max(float((onsets[shift:] * onsets[:-shift]).sum()) for shift in around) / power if power > 0 else 0.0
    return bpm, steady


def key(audio: np.ndarray, sampling_rate: int) -> tuple[int, str, float]:
    """Tonic (pitch class), "major" or "minor" of audio (samples,), and the correlation that says so."""
    import librosa

    harmonic = librosa.effects.harmonic(audio)
    low = librosa.note_to_hz("C2")  # below is the kick
    chroma = librosa.feature.chroma_cens(
        y=harmonic, sr=sampling_rate, hop_length=_CHROMA_HOP, tuning=0, fmin=low, n_octaves=6
    ).mean(1)
    if not np.ptp(chroma) > 0:
        return 0, "major", 0.0
    scores = {
        (tonic, mode): float(np.corrcoef(np.roll(profile, tonic), chroma)[0, 1])
        for mode, profile in PROFILES.items()
        for tonic in range(12)
    }
    best = max(scores, key=scores.__getitem__)
    return (*best, scores[best])


def chroma_cosine(one: np.ndarray, other: np.ndarray, sampling_rate: int) -> float:
    """How alike the tunes of two sounds (samples,) are: cosine of their chroma, less its mean, over the time both last.

    1 for the same notes at the same moments, whatever plays them; about 0 for any two tunes.
    """
    a, b = _melody_chroma(one, sampling_rate), _melody_chroma(other, sampling_rate)
    frames = min(a.shape[1], b.shape[1])
    a, b = a[:, :frames], b[:, :frames]
    return float((a * b).sum() / max(1e-9, np.linalg.norm(a) * np.linalg.norm(b)))


def _melody_chroma(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    """(12, frames): the strength of each pitch class, frame by frame, less its mean over time."""
    import librosa

    chroma = librosa.feature.chroma_stft(y=audio, sr=sampling_rate, n_fft=8192, hop_length=2048, tuning=0)
    return chroma - chroma.mean(1, keepdims=True)


def is_tempo(measured: float, bpm: float) -> bool:
    """Whether they are the same within 4 %, an octave allowed."""
    return min(abs(measured * octave / bpm - 1) for octave in (0.5, 1, 2)) < TEMPO_TOLERANCE


def asked_tempo(prompt: str) -> int | None:
    """The bpm that a description names, in English or Chinese."""
    found = _BPM.search(prompt)
    return int(found[1]) if found else None


def asked_key(prompt: str) -> tuple[int, str] | None:
    """The pitch class and mode that a description names, as "E flat minor", "F# major" or "降E小调"."""
    if found := _KEY.search(prompt):
        letter, sign, word, mode = found.groups()
        raised = {"#": 1, "♯": 1, "b": -1, "♭": -1, "sharp": 1, "flat": -1}.get((sign or word or "").lower(), 0)
        return (_LETTERS[letter.lower()] + raised) % 12, mode.lower()
    if found := _KEY_ZH.search(prompt):
        before, letter, after, mode = found.groups()
        raised = {"升": 1, "降": -1}.get(before, 0) + {"#": 1, "♯": 1, "b": -1, "♭": -1}.get(after, 0)
        return (_LETTERS[letter.lower()] + raised) % 12, "major" if mode == "大调" else "minor"
    return None


def _loudness(samples: np.ndarray, sampling_rate: int) -> float | None:
    import pyloudnorm

    frames = samples.T.astype(np.float64)
    block = min(0.4, len(frames) / sampling_rate)
    if block <= 0:
        return None
    with np.errstate(divide="ignore"):
        loudness = float(pyloudnorm.Meter(sampling_rate, block_size=block).integrated_loudness(frames))
    return loudness if math.isfinite(loudness) and loudness > _QUIETEST else None
