"""Drum kits: each stroke is synthesized once and kept."""

from functools import lru_cache

import numpy as np

from training.oscillators import SAMPLE_RATE, attack, band, ring, times

TAKES = 4  # different noise for the strokes of a bar, so that hats don't sound like a machine gun
LEVELS = {"kick": 0.75, "snare": 0.55, "clap": 0.5, "rim": 0.36, "hat": 0.22, "open": 0.24, "ride": 0.2, "shaker": 0.2,
          "tom": 0.6, "conga": 0.45, "crash": 0.28}  # fmt: skip
PANS = {
    "hat": 0.25,
    "open": 0.25,
    "ride": -0.3,
    "shaker": -0.3,
    "tom": 0.15,
    "conga": 0.25,
    "crash": -0.25,
    "rim": -0.1,
}


def kick(rng, *, low, sweep, fall, tau, click, seconds=0.5):
    """A sine that drops from low + sweep to `low` Hz, and the beater's click."""
    t = times(seconds)
    phase = 2 * np.pi * np.cumsum(low + sweep * np.exp(-t / fall)) / SAMPLE_RATE
    body = np.tanh(1.6 * np.sin(phase) * np.exp(-t / tau)) * attack(t, 0.0015)
    return body + click * band(rng.standard_normal(len(t)) * np.exp(-t / 0.004), 1200, 6000)


def snare(rng, *, body, tau, wires, bright, mix, seconds=0.4):
    """Two modes of the head and the rattle of the wires."""
    t = times(seconds)
    head = np.sin(2 * np.pi * body * t + 3 * (1 - np.exp(-t / 0.02))) + 0.6 * np.sin(2 * np.pi * 1.62 * body * t)
    rattle = band(rng.standard_normal(len(t)), 900, bright) * (0.7 * np.exp(-t / wires) + 0.6 * np.exp(-t / 0.02))
    return ((1 - mix) * head * np.exp(-t / tau) + 1.6 * mix * rattle) * attack(t, 0.001)


def cymbal(rng, *, low, tau, metal, seconds):
    """Bright noise with a cluster of inharmonic partials inside."""
    t = times(seconds)
    cluster = ring(rng.uniform(3000, 13000, 40), 0.5, rng.uniform(0, 2, 40) / tau, seconds, rng.uniform(0, 6.28, 40))
    noise = band(rng.standard_normal(len(t)), low, None, 3)
    return (
        (noise + metal * band(cluster, low, None)) * (np.exp(-t / tau) + 0.6 * np.exp(-t / 0.008)) * attack(t, 0.0008)
    )


def clap(rng, seconds=0.35):
    """Several hands, not quite together."""
    t = times(seconds)
    hands = sum(np.where(t >= at, np.exp(-(t - at) / 0.006), 0) for at in (0.0, 0.011, 0.021))
    tail = np.where(t >= 0.03, np.exp(-(t - 0.03) / 0.075), 0)
    return band(rng.standard_normal(len(t)), 800, 3800) * (0.8 * hands + tail) * attack(t, 0.001)


def wood(rng, *, frequency, tau, seconds=0.12):
    """Rim, stick or block."""
    t = times(seconds)
    ringing = np.sin(2 * np.pi * frequency * t) + 0.7 * np.sin(2 * np.pi * 1.51 * frequency * t)
    return (
        ringing * np.exp(-t / tau) + 0.4 * band(rng.standard_normal(len(t)) * np.exp(-t / 0.003), 1500, 7000)
    ) * attack(t, 0.0007)


def skin(rng, *, frequency, tau, seconds=0.5):
    """Tom or conga."""
    t = times(seconds)
    phase = 2 * np.pi * np.cumsum(frequency * (1 + 0.35 * np.exp(-t / 0.03))) / SAMPLE_RATE
    slap = 0.25 * band(rng.standard_normal(len(t)) * np.exp(-t / 0.008), 300, 3000)
    return ((np.sin(phase) + 0.25 * np.sin(1.59 * phase)) * np.exp(-t / tau) + slap) * attack(t, 0.0015)


def shaker(rng, seconds=0.14):
    """Grains that swing forward and stop."""
    t = times(seconds)
    return band(rng.standard_normal(len(t)), 4500, 12000) * np.exp(-(((t - 0.025) / 0.022) ** 2)) * attack(t, 0.004)


def brush(rng, seconds=0.3):
    """A wire brush on the snare."""
    t = times(seconds)
    return (
        band(rng.standard_normal(len(t)), 1800, 9000)
        * (0.9 * np.exp(-t / 0.05) + 0.25 * np.exp(-t / 0.12))
        * attack(t, 0.008)
    )


def blip(rng, *, rate, tau, seconds=0.25):
    """The game console's noise: random steps at a low rate, its edges softened below the Nyquist frequency."""
    t = times(seconds)
    steps = np.repeat(np.sign(rng.standard_normal(int(seconds * rate) + 2)), int(np.ceil(SAMPLE_RATE / rate)))[: len(t)]
    return band(steps, 150, 11000) * np.exp(-t / tau) * attack(t, 0.001)


PLAIN = {
    "kick": lambda r, f: kick(r, low=f, sweep=110, fall=0.022, tau=0.16, click=0.35),
    "snare": lambda r: snare(r, body=185, tau=0.07, wires=0.12, bright=9000, mix=0.55),
    "clap": clap,
    "rim": lambda r: wood(r, frequency=820, tau=0.018),
    "hat": lambda r: cymbal(r, low=7000, tau=0.035, metal=0.15, seconds=0.2),
    "open": lambda r: cymbal(r, low=6500, tau=0.16, metal=0.15, seconds=0.6),
    "ride": lambda r: cymbal(r, low=5200, tau=0.35, metal=0.35, seconds=1.0),
    "crash": lambda r: cymbal(r, low=3800, tau=0.6, metal=0.2, seconds=1.6),
    "shaker": shaker,
    "tom": lambda r, f: skin(r, frequency=f, tau=0.17),
    "conga": lambda r: skin(r, frequency=235, tau=0.12),
}
KITS = {
    "acoustic": PLAIN,
    "brushes": PLAIN
    | {
        "kick": lambda r, f: kick(r, low=f, sweep=60, fall=0.018, tau=0.12, click=0.12),
        "snare": brush,
        "hat": lambda r: cymbal(r, low=6500, tau=0.025, metal=0.2, seconds=0.15),
    },
    "electronic": PLAIN
    | {
        "kick": lambda r, f: kick(r, low=f, sweep=230, fall=0.028, tau=0.2, click=0.25),
        "snare": lambda r: snare(r, body=215, tau=0.06, wires=0.17, bright=11000, mix=0.7),
        "hat": lambda r: cymbal(r, low=8500, tau=0.025, metal=0.05, seconds=0.15),
        "open": lambda r: cymbal(r, low=8000, tau=0.12, metal=0.05, seconds=0.5),
    },
    "808": PLAIN
    | {
        "kick": lambda r, f: kick(r, low=f, sweep=120, fall=0.015, tau=0.38, click=0.15, seconds=0.9),
        "hat": lambda r: cymbal(r, low=8800, tau=0.018, metal=0.3, seconds=0.1),
        "rim": lambda r: wood(r, frequency=1650, tau=0.012),
    },
    "dusty": PLAIN
    | {
        "kick": lambda r, f: band(kick(r, low=f, sweep=80, fall=0.02, tau=0.14, click=0.2), None, 2500),
        "snare": lambda r: band(snare(r, body=170, tau=0.08, wires=0.1, bright=6000, mix=0.5), None, 5000),
        "hat": lambda r: band(cymbal(r, low=5000, tau=0.03, metal=0.1, seconds=0.2), None, 9000),
    },
    "chip": {
        **PLAIN,
        "kick": lambda r, f: kick(r, low=f, sweep=300, fall=0.03, tau=0.09, click=0.0, seconds=0.3),
        "snare": lambda r: blip(r, rate=9000, tau=0.07),
        "clap": lambda r: blip(r, rate=6000, tau=0.08),
        "hat": lambda r: band(blip(r, rate=16000, tau=0.02, seconds=0.1), 5000, None),
        "open": lambda r: band(blip(r, rate=16000, tau=0.07), 5000, None),
    },
    "latin": PLAIN
    | {
        "kick": lambda r, f: kick(r, low=f, sweep=50, fall=0.02, tau=0.12, click=0.1),
        "rim": lambda r: wood(r, frequency=1150, tau=0.02),
    },
    "orchestral": PLAIN
    | {
        "kick": lambda r, f: kick(r, low=f, sweep=40, fall=0.03, tau=0.42, click=0.08, seconds=1.2),
        "tom": lambda r, f: skin(r, frequency=f, tau=0.3, seconds=0.9),
        "crash": lambda r: cymbal(r, low=3000, tau=0.8, metal=0.25, seconds=2.0),
    },
}


# Hz the tuned drums would have if nobody tuned them.
PITCHES = {
    ("acoustic", "kick"): 52,
    ("brushes", "kick"): 58,
    ("electronic", "kick"): 48,
    ("808", "kick"): 46,
    ("dusty", "kick"): 56,
    ("chip", "kick"): 60,
    ("latin", "kick"): 62,
    ("orchestral", "kick"): 44,
    ("acoustic", "tom"): 115,
    ("brushes", "tom"): 115,
    ("electronic", "tom"): 115,
    ("808", "tom"): 115,
    ("dusty", "tom"): 115,
    ("chip", "tom"): 115,
    ("latin", "tom"): 115,
    ("orchestral", "tom"): 92,
}
TUNED = ("kick", "tom")
LOWEST_TUNED = {"kick": 43.0, "tom": 90.0}  # Hz


def tuned(drum: str, frequency: float, tonic: int) -> float:
    """The drum's pitch in Hz moved to the nearest tonic or fifth, as a drummer tunes to the song."""
    places = [65.41 * 2 ** ((tonic + step) / 12 + octave) for step in (0, 7) for octave in range(-2, 3)]
    return min(
        (place for place in places if place >= LOWEST_TUNED[drum]), key=lambda place: abs(np.log(place / frequency))
    )


@lru_cache(maxsize=512)
def strike(kit: str, drum: str, take: int, tonic: int) -> np.ndarray:
    """One stroke at full force, of a kit tuned to a tonic (pitch class): (samples,) float32."""
    rng = np.random.default_rng([sorted(KITS).index(kit), sorted(LEVELS).index(drum), take])
    pitch = tuned(drum, PITCHES[kit, drum], tonic) if drum in TUNED else None
    wave = KITS[kit][drum](rng) if pitch is None else KITS[kit][drum](rng, pitch)
    fade = min(len(wave), 800)
    wave[-fade:] *= np.linspace(1, 0, fade)
    return (LEVELS[drum] * wave / np.abs(wave).max()).astype(np.float32)
