"""The raw material of every sound: sums of partials, all below the Nyquist frequency, and shaped noise."""

import numpy as np
from scipy.signal import butter, sosfilt

SAMPLE_RATE = 32_000  # Hz, the codec's
HIGHEST = 0.44 * SAMPLE_RATE  # Hz; partials above are left out, so nothing aliases


def times(seconds: float) -> np.ndarray:
    """The instants of the samples, in seconds: (samples,)."""
    return np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def ring(frequencies, amplitudes, decays, seconds: float, phases=0.0) -> np.ndarray:
    """Sum of damped sines: (samples,). Frequencies in Hz, decays in 1/s.

    exp(s·(mB + j)) = exp(s·mB)·exp(s·j): all partials at once are one product of two small matrices.
    """
    frequencies, amplitudes, decays, phases = np.broadcast_arrays(frequencies, amplitudes, decays, phases)
    audible = frequencies < HIGHEST
    poles = (-decays[audible] + 2j * np.pi * frequencies[audible]) / SAMPLE_RATE  # (partials,)
    weights = amplitudes[audible] * np.exp(1j * phases[audible])
    samples = int(seconds * SAMPLE_RATE)
    block = int(np.ceil(np.sqrt(samples)))
    coarse = np.exp(np.outer(np.arange(block) * block, poles)) * weights  # (blocks, partials)
    fine = np.exp(np.outer(poles, np.arange(block)))  # (partials, block)
    # The imaginary part of the complex product, as one real product.
    wave = np.hstack([coarse.real, coarse.imag]) @ np.vstack([fine.imag, fine.real])
    return wave.ravel()[:samples]


def harmonics(phase: np.ndarray, amplitudes, brightness: np.ndarray | float = 1.0) -> np.ndarray:
    """Σ aₖ·bᵏ⁻¹·sin(kφ) by Chebyshev's recurrence: (samples,). For tones whose pitch or colour moves."""
    highest = np.diff(phase).max() * SAMPLE_RATE / (2 * np.pi)
    turn, before, now = 2 * np.cos(phase), np.zeros_like(phase), np.sin(phase)
    total, colour = np.zeros_like(phase), np.ones_like(phase)
    for k, amplitude in enumerate(amplitudes, 1):
        if k * highest > HIGHEST:
            break
        total += amplitude * colour * now
        before, now = now, turn * now - before
        colour = colour * brightness
    return total


def vibrato(frequency: float, t: np.ndarray, rate: float, cents: float, delay: float, start: float = 0.0) -> np.ndarray:
    """The phase (samples,) of a tone whose pitch swings ± `cents` after a delay in seconds."""
    depth = np.clip((t - delay) / 0.4, 0, 1) * cents / 1200
    return start + 2 * np.pi * np.cumsum(frequency * 2 ** (depth * np.sin(2 * np.pi * rate * t))) / SAMPLE_RATE


def attack(t: np.ndarray, seconds: float) -> np.ndarray:
    """A rise from 0 to 1 without corners: (samples,)."""
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(t / seconds, 0, 1))


def band(noise: np.ndarray, low: float | None, high: float | None, order: int = 2) -> np.ndarray:
    """Butterworth filter, edges in Hz; an edge of None is open."""
    edges = [edge for edge in (low, high) if edge is not None]
    kind = "bandpass" if len(edges) == 2 else "highpass" if high is None else "lowpass"
    return sosfilt(butter(order, edges if len(edges) == 2 else edges[0], kind, fs=SAMPLE_RATE, output="sos"), noise)
