"""Pitched instruments: each is a function from (Hz, seconds, force 0 … 1, rng) to a held tone (samples,)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from training.effects import momentary_loudness
from training.oscillators import HIGHEST, SAMPLE_RATE, attack, band, harmonics, ring, times, vibrato

LEVELS = 4  # shades of force that each note is rendered in; the loudness between them is continuous
BUCKETS = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds; a note is cut from the next longer tone
CACHED_TONES = 1024


def string(frequency, seconds, rng, *, pluck, tau, damping, tilt, stiffness, cutoff=9000.0):
    """A plucked string: the modes of a Karplus–Strong loop, in tune at every pitch since no delay is rounded.

    `pluck` is where along the string; `tau` the seconds the fundamental rings; `damping` what each partial loses more.
    """
    k = np.arange(1, max(2, min(70, int(HIGHEST / frequency))) + 1)
    partials = k * frequency * np.sqrt((1 + stiffness * k**2) / (1 + stiffness))
    amplitudes = np.sin(np.pi * k * pluck) / k**tilt * np.exp(-((partials / cutoff) ** 2))
    decays = (1 + damping * (k - 1) ** 1.3) / tau
    return ring(partials, amplitudes, decays, seconds, rng.uniform(0, 0.6, len(k)) * np.pi)


def thump(seconds, rng, low, high, tau):
    """A short knock of filtered noise: fingers, hammers and mallets."""
    t = times(min(seconds, 0.15))
    knock = band(rng.standard_normal(len(t)) * np.exp(-t / tau) * attack(t, 0.001), low, high)
    return np.pad(knock / (np.abs(knock).max() + 1e-9), (0, int(seconds * SAMPLE_RATE) - len(t)))


def piano(frequency, seconds, force, rng):
    k = np.arange(1, min(40, int(HIGHEST / frequency)) + 1)
    stiffness = 2.2e-4 * (frequency / 262) ** 1.2
    partials = k * frequency * np.sqrt((1 + stiffness * k**2) / (1 + stiffness))
    hammer = np.exp(-partials / (900 + 2600 * force**1.5 + 0.6 * frequency))
    amplitudes = np.abs(np.sin(np.pi * k / 7.3)) / k**0.55 * hammer
    tau = 1.9 * (262 / frequency) ** 0.55
    tone = np.zeros(int(seconds * SAMPLE_RATE))
    # Three strings a hair apart give first a quick, then a slow decay.
    for cents, share, slow in ((-0.5, 0.4, 0.35), (0.0, 0.4, 1.0), (0.6, 0.35, 2.0)):
        phases = rng.uniform(0, 0.5, len(k))
        tone += share * ring(partials * 2 ** (cents / 1200), amplitudes, (1 + 0.12 * k) / (tau * slow), seconds, phases)
    return tone + 0.05 * (0.4 + force) * np.abs(tone).max() * thump(seconds, rng, 90, 900, 0.012)


def electric_piano(frequency, seconds, force, rng):
    t = times(seconds)
    angle = 2 * np.pi * frequency * t
    tine = 14 if frequency * 15 < 9000 else 7 if frequency * 8 < HIGHEST else 3
    index = (0.25 + 1.1 * force**1.5) * np.exp(-t / 0.5) + 0.15 * force
    body = np.sin(angle + index * np.sin(angle)) * np.exp(-t / (2.2 * (262 / frequency) ** 0.4))
    bell = 0.14 * (0.3 + force) * np.sin(tine * angle) * np.exp(-t / 0.09)
    warmth = 0.25 * np.sin(2 * angle) * np.exp(-t / 0.8)
    return (body + bell + warmth) * (1 + 0.12 * np.sin(2 * np.pi * 4.6 * t))


def organ(frequency, seconds, force, rng):
    t = times(seconds)
    phase = vibrato(frequency / 2, t, 6.1, 4, 0.0)  # the sixteen-foot stop is the base
    drawbars = np.zeros(16)
    drawbars[[0, 1, 2, 3, 5, 7, 11, 15]] = (0.45, 1.0, 0.35, 0.65, 0.3, 0.35 + 0.2 * force, 0.12, 0.15 * force)
    rotor = 1 + 0.12 * np.sin(2 * np.pi * 6.1 * t + 1)
    return attack(t, 0.008) * rotor * harmonics(phase, drawbars) + 0.04 * thump(seconds, rng, 1500, 5000, 0.004)


def guitar(frequency, seconds, force, rng):
    tau = 1.5 * (196 / frequency) ** 0.5
    tone = string(
        frequency, seconds, rng, pluck=0.19, tau=tau, damping=0.1, tilt=1.0, stiffness=4e-5, cutoff=2600 + 4200 * force
    )
    peak = np.abs(tone).max()
    box = ring(np.array([104.0, 203.0]), np.array([0.5, 0.35]), np.array([22.0, 26.0]), seconds)
    return tone + 0.10 * peak * box + 0.07 * peak * force * thump(seconds, rng, 1200, 5200, 0.006)


def electric_guitar(frequency, seconds, force, rng):
    t = times(seconds)
    raw = string(frequency, seconds, rng, pluck=0.27, tau=4.0, damping=0.05, tilt=1.0, stiffness=2e-5, cutoff=2000)
    raw *= attack(t, 0.003) / np.abs(raw).max()
    # Saturation of a tone below 2 kHz: what it adds above Nyquist is far below hearing after the cabinet.
    driven = np.tanh((2.5 + 6 * force) * raw + 0.25) - np.tanh(0.25)
    return band(driven, 75, 4200) * np.exp(-t / 3)


def bells(frequency, seconds, force, rng):
    ratios = np.array([1.0, 1.0015, 2.0, 3.01, 4.18, 5.42, 6.8, 8.9])
    amplitudes = np.array([0.6, 0.4, 0.45, 0.22, 0.3, 0.2, 0.12, 0.1]) * np.array([1, 1, 1, 1] + [0.35 + force] * 4)
    decays = np.array([0.7, 0.75, 1.1, 1.8, 2.8, 4.5, 7, 9]) * (frequency / 784) ** 0.4
    return ring(ratios * frequency, amplitudes, decays, seconds) + 0.03 * force * thump(seconds, rng, 3000, 9000, 0.003)


def marimba(frequency, seconds, force, rng):
    ratios, amplitudes = np.array([1.0, 3.93, 9.2]), np.array([1.0, 0.14 + 0.22 * force, 0.05 + 0.1 * force])
    decays = np.array([2.9, 9.0, 26.0]) * (frequency / 262) ** 0.5
    return ring(ratios * frequency, amplitudes, decays, seconds) + 0.13 * thump(seconds, rng, 250, 1400, 0.008)


def strings(frequency, seconds, force, rng):
    t = times(seconds)
    k = np.arange(1, 33)
    body = (
        1 + 0.8 * np.exp(-(((k * frequency - 900) / 700) ** 2)) + 0.35 * np.exp(-(((k * frequency - 2600) / 900) ** 2))
    )
    amplitudes = body / k ** (1.25 - 0.25 * force) * np.exp(-k * frequency / (2600 + 3200 * force))
    section = np.zeros(len(t))
    for cents, rate in ((-6, 4.7), (0.5, 5.3), (5.5, 5.8)):
        phase = vibrato(frequency * 2 ** (cents / 1200), t, rate, 9, 0.15, rng.uniform(0, 6.28))
        section += harmonics(phase, amplitudes)
    rosin = 0.012 * band(rng.standard_normal(len(t)), 1500, 6000)
    return (section + rosin) * attack(t, 0.16 - 0.1 * force) * (0.8 + 0.2 * attack(t, 0.6))


def pad(frequency, seconds, force, rng):
    t = times(seconds)
    k = np.arange(1, min(24, int(HIGHEST / frequency)) + 1)
    soft, open_ = np.exp(-k * frequency / 700) / k, np.exp(-k * frequency / 2200) / k
    cloud, shine = np.zeros(len(t)), np.zeros(len(t))
    for cents in (-8, -2.5, 3, 7.5):
        phases = rng.uniform(0, 6.28, len(k))
        cloud += ring(k * frequency * 2 ** (cents / 1200), soft, 0, seconds, phases)
        shine += ring(k * frequency * 2 ** (-cents / 1200), open_, 0, seconds, phases)
    sweep = 0.5 + 0.5 * np.sin(2 * np.pi * t / 5 - 1.2)
    under = 0.5 * np.sin(np.pi * frequency * t)
    return (cloud + (0.25 + 0.5 * force) * sweep * shine + under) * attack(t, 0.28)


def flute(frequency, seconds, force, rng):
    t = times(seconds)
    phase = vibrato(frequency, t, 5.1, 11, 0.25)
    wobble = 1 + 0.10 * np.clip((t - 0.25) / 0.4, 0, 1) * np.sin(2 * np.pi * 5.1 * t + 0.6)
    tone = harmonics(phase, [1.0, 0.32 + 0.3 * force, 0.16 + 0.12 * force, 0.05 + 0.06 * force, 0.03, 0.012]) * wobble
    breath = band(rng.standard_normal(len(t)), 0.9 * frequency, min(4.5 * frequency, 0.9 * HIGHEST), 1)
    chiff = band(rng.standard_normal(len(t)), 1.8 * frequency, min(5 * frequency, 0.95 * HIGHEST), 1) * np.exp(
        -t / 0.035
    )
    return tone * attack(t, 0.055) + (0.05 * breath * wobble + 0.14 * chiff) * attack(t, 0.02)


def clarinet(frequency, seconds, force, rng):
    t = times(seconds)
    phase = vibrato(frequency, t, 4.8, 4, 0.4)
    reed = [1.0, 0.04, 0.62, 0.06, 0.36, 0.09, 0.26, 0.1, 0.14, 0.08, 0.08, 0.06, 0.05, 0.04, 0.03]
    breath = 0.012 * band(rng.standard_normal(len(t)), 1000, 5000)
    return (harmonics(phase, reed, (0.7 + 0.24 * force) * (0.8 + 0.2 * attack(t, 0.1))) + breath) * attack(t, 0.04)


def brass(frequency, seconds, force, rng):
    t = times(seconds)
    scoop = frequency * 2 ** (-0.35 / 12 * np.exp(-t / 0.025))
    depth = np.clip((t - 0.35) / 0.4, 0, 1) * 8 / 1200
    phase = 2 * np.pi * np.cumsum(scoop * 2 ** (depth * np.sin(2 * np.pi * 5.2 * t))) / SAMPLE_RATE
    # A brass tone brightens as it gets louder: partials enter one after another.
    reach = 0.62 + 0.25 * force
    colour = reach * attack(t, 0.09) + 0.07 * np.exp(-(((t - 0.08) / 0.06) ** 2))
    k = np.arange(1, 29)
    formant = 0.5 + np.exp(-(((k * frequency - 1200) / 900) ** 2))
    tone = harmonics(phase, formant, np.clip(colour, 0, 0.96))
    return (
        (tone + 0.015 * band(rng.standard_normal(len(t)), 800, 4000))
        * attack(t, 0.035)
        * (0.85 + 0.15 * np.exp(-t / 0.3))
    )


def pulse(frequency, seconds, duty, phases=0.0):
    """A band-limited pulse wave."""
    k = np.arange(1, min(160, int(HIGHEST / frequency)) + 1)
    return ring(k * frequency, np.sin(np.pi * k * duty) / k, 0, seconds, np.pi / 2 + phases)


def chiptune(frequency, seconds, force, rng):
    t = times(seconds)
    return (
        pulse(frequency, seconds, 0.25 if force > 0.6 else 0.5) * attack(t, 0.002) * (0.55 + 0.45 * np.exp(-t / 0.18))
    )


def filtered_saw(frequency, seconds, cutoff, opening, tau, detunes, rng):
    """Detuned saws through a low-pass filter that opens by `opening` and closes again with `tau` seconds."""
    k = np.arange(1, min(110, int(HIGHEST / frequency)) + 1)
    shut = 1 / (1 + (k * frequency / cutoff) ** 4) ** 0.5 / k
    wide = 1 / (1 + (k * frequency / (cutoff * opening)) ** 4) ** 0.5 / k - shut
    tone = np.zeros(int(seconds * SAMPLE_RATE))
    for cents in detunes:
        at, phases = k * frequency * 2 ** (cents / 1200), rng.uniform(0, 0.5, len(k)) + rng.uniform(0, 6.28) * k
        tone += ring(at, shut, 0, seconds, phases) + ring(at, wide, 1 / tau, seconds, phases)
    return tone


def synth(frequency, seconds, force, rng):
    tone = filtered_saw(frequency, seconds, 1300 + 0.8 * frequency, 2 + 3 * force, 0.22, (-6, 0, 6), rng)
    return tone * attack(times(seconds), 0.006)


def upright_bass(frequency, seconds, force, rng):
    tone = string(
        frequency, seconds, rng, pluck=0.22, tau=0.75, damping=0.35, tilt=1.1, stiffness=1e-4, cutoff=500 + 500 * force
    )
    return tone + 0.12 * np.abs(tone).max() * thump(seconds, rng, 60, 900, 0.012)


def electric_bass(frequency, seconds, force, rng):
    tone = string(
        frequency, seconds, rng, pluck=0.13, tau=1.6, damping=0.22, tilt=1.0, stiffness=5e-5, cutoff=900 + 1500 * force
    )
    return tone + 0.06 * np.abs(tone).max() * thump(seconds, rng, 500, 2500, 0.006)


def synth_bass(frequency, seconds, force, rng):
    t = times(seconds)
    tone = filtered_saw(frequency, seconds, 260 + frequency, 3 + 4 * force, 0.12, (-4, 4), rng)
    return (tone + 0.9 * np.sin(2 * np.pi * frequency * t)) * attack(t, 0.004)


def sub_bass(frequency, seconds, force, rng):
    t = times(seconds)
    return harmonics(2 * np.pi * frequency * t, [1.0, 0.28, 0.12, 0.04]) * attack(t, 0.03)


def bass_808(frequency, seconds, force, rng):
    t = times(seconds)
    glide = frequency * (1 + 1.2 * np.exp(-t / 0.012))
    wave = np.sin(2 * np.pi * np.cumsum(glide) / SAMPLE_RATE) * np.exp(-t / 0.9)
    return np.tanh((1.4 + force) * wave) * attack(t, 0.002)


def chip_bass(frequency, seconds, force, rng):
    t = times(seconds)
    k = np.arange(1, min(60, int(HIGHEST / frequency)) + 1, 2)
    return ring(k * frequency, (-1.0) ** ((k - 1) // 2) / k**2, 0, seconds) * attack(t, 0.002)


@dataclass(frozen=True)
class Instrument:
    """A tone, the seconds it takes to fade when the key is let go, and its place from left (-1) to right (1)."""

    tone: Callable
    release: float
    pan: float = 0.0


INSTRUMENTS = {
    "piano": Instrument(piano, 0.16, -0.1),
    "electric piano": Instrument(electric_piano, 0.14, 0.1),
    "organ": Instrument(organ, 0.05, -0.15),
    "guitar": Instrument(guitar, 0.18, 0.2),
    "electric guitar": Instrument(electric_guitar, 0.06, -0.2),
    "bells": Instrument(bells, 1.0, 0.2),
    "marimba": Instrument(marimba, 0.25, 0.15),
    "strings": Instrument(strings, 0.25, -0.15),
    "pad": Instrument(pad, 0.5),
    "flute": Instrument(flute, 0.09, 0.1),
    "clarinet": Instrument(clarinet, 0.08, -0.1),
    "brass": Instrument(brass, 0.08, 0.15),
    "chiptune": Instrument(chiptune, 0.015),
    "synth": Instrument(synth, 0.1),
    "upright bass": Instrument(upright_bass, 0.09),
    "electric bass": Instrument(electric_bass, 0.06),
    "synth bass": Instrument(synth_bass, 0.03),
    "sub bass": Instrument(sub_bass, 0.12),
    "808 bass": Instrument(bass_808, 0.08),
    "chip bass": Instrument(chip_bass, 0.012),
}


def play(name: str, pitch: int, seconds: float, velocity: float) -> np.ndarray:
    """One note with its release: (samples,) float32. The same arguments give the same samples, whatever came before."""
    release = INSTRUMENTS[name].release
    level = int(np.clip(round(velocity * (LEVELS - 1)), 0, LEVELS - 1))
    bucket = next((bucket for bucket in BUCKETS if bucket >= seconds + release), BUCKETS[-1])
    held, fade = int(seconds * SAMPLE_RATE), int(release * SAMPLE_RATE)
    wave = held_tone(name, pitch, bucket, level)[: held + fade] * np.float32(0.25 + 0.75 * velocity)
    fade = min(fade, len(wave))
    wave[-fade:] *= fall(fade)
    return wave


@lru_cache(maxsize=256)
def fall(samples: int) -> np.ndarray:
    """A release that ends at 0 with no corner: (samples,)."""
    t = np.linspace(0, 1, samples)
    return (np.exp(-3 * t) * (0.5 + 0.5 * np.cos(np.pi * t))).astype(np.float32)


@lru_cache(maxsize=CACHED_TONES)
def held_tone(name: str, pitch: int, seconds: float, level: int) -> np.ndarray:
    """A tone as long as its key is down: (samples,) float32, as loud as any other instrument's."""
    rng = np.random.default_rng([sorted(INSTRUMENTS).index(name), pitch, int(seconds * 10), level])
    wave = INSTRUMENTS[name].tone(440 * 2 ** ((pitch - 69) / 12), seconds, level / (LEVELS - 1), rng)
    wave[:64] *= np.linspace(0, 1, 64)  # two milliseconds, lest a phase that starts off zero clicks
    return (0.1 * wave / momentary_loudness(wave)).astype(np.float32)
