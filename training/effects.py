"""What comes after the players: rooms, echoes, tape, loudness and a limiter. Arrays are (channels, samples)."""

from functools import lru_cache

import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from scipy.signal import butter, oaconvolve, sosfilt

from training.oscillators import SAMPLE_RATE

LOUDNESS = -18.0  # LUFS of every clip
CEILING = 0.95  # the limiter's, full scale is 1
LOOK_AHEAD = 0.003  # seconds

# ITU-R BS.1770's two filters (a head's shelf, then a high-pass), at 32 kHz through the analogue prototype.
SHELF_HZ, SHELF_DB, SHELF_Q = 1681.97, 3.99984, 0.70718
LOW_CUT_HZ, LOW_CUT_Q = 38.1355, 0.50033


@lru_cache(maxsize=1)
def k_weighting() -> np.ndarray:
    """Second-order sections of the K weighting: (2, 6)."""
    k = np.tan(np.pi * SHELF_HZ / SAMPLE_RATE)
    high, middle = 10 ** (SHELF_DB / 20), 10 ** (SHELF_DB / 20 * 0.4996667741545416)
    a0 = 1 + k / SHELF_Q + k * k
    shelf = [
        (high + middle * k / SHELF_Q + k * k) / a0, 2 * (k * k - high) / a0, (high - middle * k / SHELF_Q + k * k) / a0,
        1, 2 * (k * k - 1) / a0, (1 - k / SHELF_Q + k * k) / a0,
    ]  # fmt: skip
    k = np.tan(np.pi * LOW_CUT_HZ / SAMPLE_RATE)
    a0 = 1 + k / LOW_CUT_Q + k * k
    cut = [1, -2, 1, 1, 2 * (k * k - 1) / a0, (1 - k / LOW_CUT_Q + k * k) / a0]
    return np.array([shelf, cut])


def loudness(audio: np.ndarray) -> float:
    """Integrated loudness in LUFS: blocks of 0.4 s, those 10 dB below the rest left out, as BS.1770 has it."""
    power = (sosfilt(k_weighting(), audio) ** 2).sum(0)
    block = int(0.4 * SAMPLE_RATE)
    sums = np.concatenate([[0.0], np.cumsum(power, dtype=np.float64)])
    starts = np.arange(0, max(1, len(power) - block + 1), block // 4)
    blocks = (sums[np.minimum(starts + block, len(power))] - sums[starts]) / min(block, len(power)) + 1e-12
    heard = blocks[blocks > 10 ** ((-70 + 0.691) / 10)]
    if not len(heard):
        return -70.0
    heard = heard[heard > 0.1 * heard.mean()]
    return float(-0.691 + 10 * np.log10(heard.mean()))


def momentary_loudness(wave: np.ndarray) -> float:
    """K-weighted root mean square of a tone's loudest half second; what makes one instrument as loud as another."""
    power = np.concatenate([[0.0], np.cumsum(sosfilt(k_weighting(), wave) ** 2)])
    window = min(int(0.5 * SAMPLE_RATE), len(wave))
    return float(np.sqrt((power[window:] - power[:-window]).max() / window + 1e-12))


@lru_cache(maxsize=8)
def room_response(seconds: float, channels: int) -> np.ndarray:
    """A room's impulse response, decaying noise that loses its brightness first: (channels, samples), energy 1."""
    rng = np.random.default_rng(5)
    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    response = np.zeros((channels, len(t)))
    for low, high, share in ((150, 800, 1.0), (800, 2500, 0.75), (2500, 7000, 0.42)):
        noise = sosfilt(
            butter(2, (low, high), "bandpass", fs=SAMPLE_RATE, output="sos"), rng.standard_normal((channels, len(t)))
        )
        response += noise * np.exp(-6.9 * t / (seconds * share))
    response *= 1 - np.exp(-t / 0.012)  # the first reflections take a moment
    return (response / np.sqrt((response**2).sum(1, keepdims=True))).astype(np.float32)


def reverberate(send: np.ndarray, seconds: float) -> np.ndarray:
    """The room's answer to (channels, samples), cut to the same samples."""
    return oaconvolve(send, room_response(seconds, len(send)), axes=1)[:, : send.shape[1]].astype(np.float32)


def echo(audio: np.ndarray, seconds: float, feedback: float) -> np.ndarray:
    """Repeats that grow softer and duller."""
    delay, total, sos = int(seconds * SAMPLE_RATE), np.zeros_like(audio), butter(1, 3000, fs=SAMPLE_RATE, output="sos")
    repeat = audio
    for _ in range(3):
        if delay >= audio.shape[1]:
            break
        repeat = feedback * sosfilt(sos, np.pad(repeat, ((0, 0), (delay, 0)))[:, : audio.shape[1]])
        total += repeat.astype(np.float32)
    return total


def duck(samples: int, onsets: list[float], depth: float, recovery: float) -> np.ndarray:
    """The gain that gives way to each kick and comes back within `recovery` seconds: (samples,)."""
    gain = np.ones(samples, np.float32)
    swell = 1 - depth * np.cos(np.linspace(0, np.pi / 2, int(recovery * SAMPLE_RATE))) ** 2
    dip = int(0.004 * SAMPLE_RATE)
    swell[:dip] = np.linspace(1, swell[dip], dip)
    for onset in onsets:
        at = int(onset * SAMPLE_RATE)
        gain[at : at + len(swell)] = np.minimum(gain[at : at + len(swell)], swell[: samples - at])
    return gain


def wear(audio: np.ndarray) -> np.ndarray:
    """An old tape: soft saturation and a dull top."""
    warm = np.tanh(1.5 * audio) / 1.5
    return sosfilt(butter(2, 6500, fs=SAMPLE_RATE, output="sos"), warm).astype(np.float32)


def limit(audio: np.ndarray) -> np.ndarray:
    """Peaks come down to the ceiling by a gain that sees them coming, so the wave keeps its shape."""
    peak = np.abs(audio).max(0)
    if peak.max() <= CEILING:
        return audio
    reach = int(LOOK_AHEAD * SAMPLE_RATE)
    gain = minimum_filter1d(np.minimum(1, CEILING / np.maximum(peak, 1e-9)), 2 * reach + 1)
    return audio * uniform_filter1d(gain, reach, mode="nearest").astype(np.float32)


def master(audio: np.ndarray) -> np.ndarray:
    """No rumble, no constant, always as loud, never over full scale, and no click where the clip ends."""
    audio = sosfilt(butter(2, 28, "highpass", fs=SAMPLE_RATE, output="sos"), audio)
    audio = audio * 10 ** ((LOUDNESS - loudness(audio)) / 20)
    fade = int(0.02 * SAMPLE_RATE)
    audio[:, -fade:] *= np.cos(np.linspace(0, np.pi / 2, fade)) ** 2
    audio -= audio.mean(1, keepdims=True)
    return limit(audio.astype(np.float32))
