"""Chord progressions, and voicings that move as little as they can."""

from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from training.attributes import MODES

# Scale degrees from 1; four chords are one phrase. Each begins on the tonic, so that the key is soon heard.
PROGRESSIONS = {
    "major": (
        (1, 5, 1, 4), (1, 6, 4, 5), (1, 4, 5, 1), (1, 4, 1, 5), (1, 1, 4, 5), (1, 2, 5, 1), (1, 5, 6, 4), (1, 4, 6, 5),
        (1, 5, 4, 1),
    ),
    "minor": (
        (1, 4, 5, 1), (1, 6, 4, 5), (1, 7, 6, 5), (1, 4, 1, 5), (1, 6, 1, 5), (1, 1, 4, 5), (1, 5, 1, 4), (1, 1, 6, 5),
        (1, 7, 1, 5),
    ),
    "dorian": ((1, 4, 1, 4), (1, 7, 4, 1), (1, 2, 4, 1), (1, 4, 7, 1)),
    "mixolydian": ((1, 7, 4, 1), (1, 4, 7, 1), (1, 7, 1, 4), (1, 5, 7, 1)),
    "lydian": ((1, 2, 1, 2), (1, 2, 5, 1), (1, 2, 7, 1), (1, 5, 2, 1)),
}  # fmt: skip
CADENCES = {"major": (4, 5, 1), "minor": (4, 5, 1), "dorian": (7, 4, 1), "mixolydian": (7, 4, 1), "lydian": (2, 5, 1)}


@dataclass(frozen=True)
class Chord:
    """A chord and the stretch of beats it lasts; `tones` are pitch classes from the root up."""

    start: float  # beats
    beats: float
    degree: int
    tones: tuple[int, ...]

    @property
    def root(self) -> int:
        """Pitch class of the root."""
        return self.tones[0]


def chord_tones(tonic: int, mode: str, degree: int, sevenths: bool) -> tuple[int, ...]:
    """Pitch classes of the chord on a scale degree; the dominant of a minor key is major."""
    scale = MODES[mode]
    steps = [scale[(degree - 1 + third) % 7] for third in ((0, 2, 4, 6) if sevenths else (0, 2, 4))]
    if mode == "minor" and degree == 5:
        steps[1] = 11  # the leading note
    return tuple((tonic + step) % 12 for step in steps)


def write_progression(rng, attributes, bars: int, sevenths: bool, chords_per_bar: int, ending: bool) -> list[Chord]:
    """One or two chords a bar over `bars` bars; an ending closes with a cadence on the tonic."""
    options = PROGRESSIONS[attributes.mode]
    phrase = options[int(rng.integers(len(options)))]
    answer = phrase if rng.random() < 0.6 else options[int(rng.integers(len(options)))]
    degrees = [(phrase if (i // 4) % 4 < 3 else answer)[i % 4] for i in range(bars * chords_per_bar)]
    if ending:
        # The first chord stays the tonic where there is more than one.
        cadence = CADENCES[attributes.mode][-max(1, min(3, len(degrees) - 1)) :]
        degrees[-len(cadence) :] = cadence
    beats = attributes.metre / chords_per_bar
    return [
        Chord(i * beats, beats, degree, chord_tones(attributes.tonic, attributes.mode, degree, sevenths))
        for i, degree in enumerate(degrees)
    ]


def lead_voices(chords: list[Chord], low: int, high: int) -> list[tuple[int, ...]]:
    """Pitches for each chord within low … high, in close position, each near the one before."""
    voicings, middle = [], (low + high) / 2
    before = None
    for chord in chords:
        pool = [pitch for pitch in range(low, high + 1) if pitch % 12 in chord.tones]
        best = None
        for voicing in combinations(pool, len(chord.tones)):
            if voicing[-1] - voicing[0] > 15 or len({pitch % 12 for pitch in voicing}) < len(voicing):
                continue
            clash = sum(b - a == 1 for a, b in pairwise(voicing))
            cost = 0.4 * abs(float(np.mean(voicing)) - middle) + 3 * clash
            if before is not None:
                cost += sum(abs(a - b) for a, b in zip(voicing, before, strict=True))
            if best is None or cost < best[0]:
                best = (cost, voicing)
        before = best[1]
        voicings.append(before)
    return voicings


def local_scale(chord: Chord, tonic: int, mode: str) -> tuple[int, ...]:
    """Pitch classes that fit over a chord: the mode's, bent where the chord has a tone of its own.

    Under a leading note the minor sixth is left out, since the step between them is hard to sing.
    """
    scale = [(tonic + step) % 12 for step in MODES[mode]]
    for tone in chord.tones:
        if tone not in scale:
            scale[scale.index((tone - 1) % 12)] = tone
            scale = [step for step in scale if step != (tone - 3) % 12 or step in chord.tones]
    return tuple(scale)
