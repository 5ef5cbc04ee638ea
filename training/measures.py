"""What can be heard in a clip beyond musicgen_ui.hearing: timbre, and how far two sounds are apart."""

import io

import numpy as np
from scipy.signal import resample_poly, stft

from training.oscillators import SAMPLE_RATE

MEL_WINDOW, MEL_HOP, MEL_BANDS, MEL_FLOOR = 1024, 256, 80, 1e-8  # of the mel distance; the floor is −80 dB


def timbre(audio: np.ndarray) -> np.ndarray:
    """What an instrument or a drum kit is told by: means and spreads of cepstra, bands and onsets, (features,)."""
    import librosa

    power = np.abs(librosa.stft(audio, n_fft=1024, hop_length=512)) ** 2
    bands = librosa.power_to_db(librosa.feature.melspectrogram(S=power, sr=SAMPLE_RATE, n_mels=64))
    cepstra = librosa.feature.mfcc(S=bands, n_mfcc=20)
    onsets = np.maximum(np.diff(bands, axis=1), 0)
    height = np.percentile(bands, 95, 1) - np.percentile(bands, 20, 1)
    return np.concatenate([cepstra.mean(1), cepstra.std(1), bands.mean(1), height, onsets.mean(1)])


def classifier(features: np.ndarray, labels):
    """Fitted on features (clips, features): `predict` gives the labels."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500)).fit(features, labels)


def mel_filters(sampling_rate: int, window: int, bands: int) -> np.ndarray:
    """Triangles on the mel scale from 0 Hz to the Nyquist frequency, each of sum 1: (bands, window // 2 + 1)."""
    hertz = np.linspace(0, sampling_rate / 2, window // 2 + 1)
    top = 2595 * np.log10(1 + sampling_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    spacing = sampling_rate / window  # no triangle is narrower than the bins, or it would be empty
    low, high = np.minimum(edges[:-2], edges[1:-1] - spacing), np.maximum(edges[2:], edges[1:-1] + spacing)
    rising = (hertz - low[:, None]) / (edges[1:-1] - low)[:, None]
    falling = (high[:, None] - hertz) / (high - edges[1:-1])[:, None]
    filters = np.maximum(0, np.minimum(rising, falling))
    return filters / filters.sum(1, keepdims=True)


_FILTERS = mel_filters(SAMPLE_RATE, MEL_WINDOW, MEL_BANDS)


def mel_decibels(audio: np.ndarray) -> np.ndarray:
    """audio (samples,) → (bands, frames) in dB of full scale, at least −80."""
    spectrum = stft(audio, nperseg=MEL_WINDOW, noverlap=MEL_WINDOW - MEL_HOP, boundary=None)[2]
    return 10 * np.log10(np.maximum(_FILTERS @ (np.abs(spectrum) ** 2), MEL_FLOOR))


def mel_distance(one: np.ndarray, other: np.ndarray) -> float:
    """How far two sounds (samples,) of the same length are apart: mean difference of their mel spectra in dB."""
    return float(np.abs(mel_decibels(one) - mel_decibels(other)).mean())


def compressed(audio: np.ndarray, kind: str) -> np.ndarray:
    """audio (samples,) through "mp3" (24 kbit/s, at 24 kHz) or "opus" (about 24 kbit/s, at 48 kHz) and back."""
    import soundfile

    rate, form, level = {
        "mp3": (24_000, {"format": "MP3", "bitrate_mode": "CONSTANT"}, 0.9),
        "opus": (48_000, {"format": "OGG", "subtype": "OPUS"}, 0.916),
    }[kind]
    file = io.BytesIO()
    soundfile.write(file, resample_poly(audio, rate, SAMPLE_RATE), rate, compression_level=level, **form)
    file.seek(0)
    back = soundfile.read(file, dtype="float32")[0]
    back = np.pad(resample_poly(back, SAMPLE_RATE, rate), (0, SAMPLE_RATE))
    # A coder may come late: the shift at which both agree best, to the sample.
    size = 1 << (len(back) + len(audio)).bit_length()
    agreement = np.fft.irfft(np.fft.rfft(back, size) * np.conj(np.fft.rfft(audio, size)))
    late = int(np.argmax(agreement[: SAMPLE_RATE // 4]))
    return back[late : late + len(audio)].astype(np.float32)
