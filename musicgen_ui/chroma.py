"""The melody's features: which of twelve pitch classes is strongest, frame by frame.

The reference is transformers' `MusicgenMelodyFeatureExtractor`, which wants torchaudio; this gives
its exact `input_features` with librosa (Copet et al. 2023, "Simple and Controllable Music
Generation", section 2.3: the chromagram is quantised to its argmax so as not to copy the clip).
"""

from collections.abc import Sequence

import librosa
import numpy as np

from musicgen_ui.audio import resampled, with_channels
from musicgen_ui.request import Clip

CHUNK_SECONDS = 30
"""what is heard of a clip, from its beginning; a piece of several windows hears all of it"""
_HITS = (17, 31)  # frames of 16 ms, bins of 16 Hz at 32 kHz: what is longer than high is a tone, the rest a hit


def tune(
    clip: Clip, sampling_rate: int, without_drums: bool = False, chunk_seconds: float = CHUNK_SECONDS
) -> np.ndarray:
    """What there is of `clip` to be followed: (samples,) at `sampling_rate` Hz, its channels mixed.

    `without_drums`: as `without_hits` leaves it.
    """
    samples = with_channels(resampled(clip.samples, clip.sampling_rate, sampling_rate), 1)[0]
    samples = samples[: round(chunk_seconds * sampling_rate)]
    return without_hits(samples) if without_drums else samples


def without_hits(samples: np.ndarray) -> np.ndarray:
    """What lasts of samples (samples,), by median filters over the spectrogram: loud hits hide a tune from the chroma.

    FitzGerald 2010, "Harmonic/percussive separation using median filtering".
    """
    return librosa.effects.harmonic(samples, kernel_size=_HITS)


def chroma_features(
    clips: Sequence[np.ndarray],
    sampling_rate: int,
    n_fft: int = 16_384,
    hop_length: int = 4_096,
    n_chroma: int = 12,
    chunk_seconds: int = CHUNK_SECONDS,
) -> np.ndarray:
    """One-hot chroma of mono `clips`, each (samples,) float32 at `sampling_rate` Hz.

    Clips are cut to `chunk_seconds` and padded with silence on the right to the longest.
    Returns (clips, frames, n_chroma) float32, frames = 1 + samples // hop_length.
    Raises ValueError for clips that are not one-dimensional.
    """
    chroma = chroma_strengths(clips, sampling_rate, n_fft, hop_length, n_chroma, chunk_seconds)
    one_hot = np.zeros(chroma.shape, np.float32)
    np.put_along_axis(one_hot, chroma.argmax(axis=-1)[..., None], 1.0, axis=-1)
    return one_hot


def chroma_strengths(
    clips: Sequence[np.ndarray],
    sampling_rate: int,
    n_fft: int = 16_384,
    hop_length: int = 4_096,
    n_chroma: int = 12,
    chunk_seconds: int = CHUNK_SECONDS,
) -> np.ndarray:
    """The same before the strongest is picked: (clips, frames, n_chroma), 0 … 1 of each frame's strongest."""
    if any(clip.ndim != 1 for clip in clips):
        raise ValueError(f"Expected mono clips of shape (samples,), got {[clip.shape for clip in clips]}")
    clips = [clip[: chunk_seconds * sampling_rate] for clip in clips]
    longest = max(len(clip) for clip in clips)
    batch = np.stack([np.pad(clip, (0, longest - len(clip))) for clip in clips])
    if longest < n_fft:
        missing = n_fft - longest
        batch = np.pad(batch, ((0, 0), (missing // 2, missing - missing // 2)))
    spectrum = librosa.stft(batch, n_fft=n_fft, hop_length=hop_length, window="hann", center=True, pad_mode="reflect")
    power = np.abs(spectrum) ** 2  # (clips, n_fft // 2 + 1, frames)
    filters = librosa.filters.chroma(sr=sampling_rate, n_fft=n_fft, tuning=0, n_chroma=n_chroma)
    chroma = np.einsum("cf,bft->btc", filters, power)
    # The reference scales each frame by its maximum, at least 1e-6, before the argmax: ties go the same way.
    return chroma / np.maximum(chroma.max(axis=-1, keepdims=True), 1e-6)


def from_second(features: np.ndarray, seconds: float, sampling_rate: int, hop_length: int = 4_096) -> np.ndarray:
    """`features` (clips, frames, n_chroma) as they are `seconds` into the melody, which begins again at its end."""
    return np.roll(features, -round(seconds * sampling_rate / hop_length), axis=1)
