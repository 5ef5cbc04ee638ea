"""From attributes and a seed to a score: a melody, chords, a bass and drums, as notes in seconds.

Everybody plays on the codec's grid of frames, and as loud in one bar as in the next: what comes again is then the same
codes again, and a language model of nano's size can learn a beat.
"""

from dataclasses import dataclass

import numpy as np

from training.attributes import FRAME_RATE, MOODS, POLYPHONIC, STYLES, Attributes
from training.grooves import BASS_LINES, BROKEN, COMPS, FILL, GROOVES, STRENGTHS
from training.harmony import Chord, lead_voices, write_progression
from training.melody import on_strong_beat, write_melody

LONGEST_CHORD = 3.2  # seconds; slower bars take two chords, so that ten seconds still tell the key
BASS_RANGE = (28, 47)  # E1 … B2
RANGES = {  # MIDI pitches where each lead sings
    "piano": (62, 84), "electric piano": (60, 82), "organ": (60, 82), "guitar": (55, 76), "electric guitar": (55, 76),
    "bells": (72, 91), "marimba": (57, 79), "strings": (60, 82), "pad": (58, 79), "flute": (67, 88),
    "clarinet": (56, 77), "brass": (57, 78), "chiptune": (64, 86), "synth": (60, 82),
}  # fmt: skip


@dataclass(frozen=True)
class Note:
    """A pitch (MIDI, 60 is middle C) of one part for a time in seconds; velocity 0 … 1."""

    onset: float
    seconds: float
    pitch: int
    velocity: float
    part: str  # "lead", "chords" or "bass"


@dataclass(frozen=True)
class Hit:
    """One stroke on a drum."""

    onset: float
    drum: str
    velocity: float


@dataclass(frozen=True)
class Score:
    """All that is played; `chords` are in beats, notes and hits in seconds."""

    attributes: Attributes
    seconds: float
    notes: tuple[Note, ...]
    hits: tuple[Hit, ...]
    chords: tuple[Chord, ...]


class Clock:
    """From beats to seconds, with swing, to the next of the codec's frames."""

    def __init__(self, beat_frames: int, swing: float):
        self.beat_frames, self.swing = beat_frames, swing
        self.beat = beat_frames / FRAME_RATE  # seconds

    def seconds(self, beat: float) -> float:
        """When a beat sounds."""
        whole, part = divmod(beat, 1.0)
        late = part * (1 + 2 * self.swing) if part < 0.5 else 1 - (1 - part) * (1 - 2 * self.swing)
        return round((whole + late) * self.beat_frames) / FRAME_RATE


def compose(attributes: Attributes, seconds: float, seed: int, ending: bool = False) -> Score:
    """The score of a clip. An `ending` comes to rest in the last bar that fits; else the music is cut as it goes on."""
    style, rng = STYLES[attributes.style], np.random.default_rng(seed)
    clock = Clock(attributes.beat_frames, style.swing)
    bar_seconds = attributes.metre * clock.beat
    bars = max(1, int(seconds / bar_seconds)) if ending else int(np.ceil(seconds / bar_seconds))
    density, force = MOODS[attributes.mood]
    if attributes.bpm > 140:
        density = min(density, 1)  # a busy melody at this speed is a blur
    if attributes.bpm < 80 and rng.random() < 0.5:
        density = max(density, 1)  # at this speed sparse can mean almost nothing
    chords_per_bar = 2 if bar_seconds > LONGEST_CHORD and attributes.metre == 4 else 1
    chords = write_progression(rng, attributes, bars, style.sevenths, chords_per_bar, ending)
    last = bars * attributes.metre - attributes.metre if ending else None  # beat where the final bar begins

    melody = write_melody(rng, attributes, chords, bars, *RANGES[attributes.lead], density, ending)
    notes = []
    for start, beats, pitch in melody:
        accent = 0.1 if on_strong_beat(start, attributes.metre) else 0.0
        arch = 0.08 * np.sin(np.pi * (start / attributes.metre % 4) / 4)  # a phrase swells and falls
        velocity = np.clip(0.2 + 0.6 * force + accent + arch, 0.15, 1)
        notes.append(Note(clock.seconds(start), 0.92 * beats * clock.beat, pitch, float(velocity), "lead"))
    if attributes.chords:
        notes += comp(rng, attributes, chords, clock, force, last)
    if attributes.bass:
        notes += bass_line(rng, attributes, chords, clock, force, last)
    hits = drum(rng, attributes, bars, clock, force, last) if attributes.has_drums else []
    return Score(
        attributes,
        seconds,
        tuple(sorted((note for note in notes if note.onset < seconds), key=lambda note: (note.onset, note.pitch))),
        tuple(sorted((hit for hit in hits if hit.onset < seconds), key=lambda hit: (hit.onset, hit.drum))),
        tuple(chords),
    )


def comp(rng, attributes, chords, clock, force, last) -> list[Note]:
    """The chords, in one of the style's ways of playing them."""
    comps, metre = STYLES[attributes.style].comps, attributes.metre
    manner = comps[int(rng.integers(len(comps)))]
    if manner in BROKEN and attributes.chords not in POLYPHONIC:  # nor is the electric guitar: it plays power chords
        manner = "pulse"
    velocity = 0.25 + 0.45 * force
    notes = []
    for chord, voicing in zip(chords, lead_voices(chords, 50, 70), strict=True):
        resting = last is not None and chord.start >= last
        if attributes.chords == "electric guitar":
            voicing = power_chord(chord.root)
        if attributes.bass is None:  # somebody has to play the root
            root = max(pitch for pitch in range(36, 50) if pitch % 12 == chord.root)
            notes.append(Note(clock.seconds(chord.start), 0.95 * chord.beats * clock.beat, root, velocity, "chords"))
        if manner in BROKEN and not resting:
            order, step = BROKEN[manner]
            ladder = (*voicing, voicing[0] + 12)[:4]
            for i in range(int(chord.beats / step)):
                pitch = ladder[order[i % len(order)] % len(ladder)]
                held = max(step, 0.9) if attributes.chords != "chiptune" else step * 0.9
                at = clock.seconds(chord.start + i * step)
                notes.append(Note(at, held * clock.beat, pitch, velocity * (1.0 if i == 0 else 0.85), "chords"))
            continue
        bar_beat = chord.start % metre
        strokes = [
            (beat - bar_beat, held) for beat, held in COMPS.get(manner, ()) if bar_beat <= beat < bar_beat + chord.beats
        ]
        if manner == "held" or resting or not strokes:
            strokes = [(0.0, 0.97 * chord.beats)]
        for beat, held in strokes:
            onset = clock.seconds(chord.start + beat)
            loud = velocity * (1.0 if beat % 1 == 0 else 0.88)
            spread = 0.014 if attributes.chords == "guitar" else 0.0  # a hand crosses the strings
            notes += [
                Note(onset + i * spread, held * clock.beat, pitch, loud, "chords") for i, pitch in enumerate(voicing)
            ]
    return notes


def power_chord(root: int) -> tuple[int, ...]:
    """Root, fifth and octave on the low strings, where distortion stays clear."""
    low = min(pitch for pitch in range(40, 52) if pitch % 12 == root)
    return low, low + 7, low + 12


def bass_line(rng, attributes, chords, clock, force, last) -> list[Note]:
    """Roots and what joins them; the root always falls on a chord's first stroke."""
    lines = STYLES[attributes.style].bass_lines
    line = BASS_LINES[lines[int(rng.integers(len(lines)))]]
    metre, notes = attributes.metre, []
    for chord, following in zip(chords, chords[1:] + chords[:1], strict=True):
        low = min(pitch for pitch in range(*BASS_RANGE) if pitch % 12 == chord.root)
        fifth = low + (chord.tones[2] - chord.root) % 12
        third = low + (chord.tones[1] - chord.root) % 12
        ahead = min((pitch for pitch in range(*BASS_RANGE) if pitch % 12 == following.root), key=lambda p: abs(p - low))
        towards = ahead - 1 if ahead > low else ahead + 2 if ahead < low else fifth
        bar_beat = chord.start % metre
        strokes = [(b - bar_beat, h, t) for b, h, t in line if bar_beat <= b < min(metre, bar_beat + chord.beats)]
        if not strokes or (last is not None and chord.start >= last):
            strokes = [(0.0, chord.beats, 0)]
        for i, (beat, held, tone) in enumerate(strokes):
            pitch = low if i == 0 else (low, third, fifth, low + 12, towards)[tone]
            held = min(held, chord.beats - beat) * 0.97
            velocity = 0.35 + 0.5 * force
            notes.append(Note(clock.seconds(chord.start + beat), held * clock.beat, pitch, velocity, "bass"))
    return notes


def drum(rng, attributes, bars, clock, force, last) -> list[Hit]:
    """The style's groove, bar after bar, a fill at the end of each eighth bar, one stroke at the close."""
    grooves = STYLES[attributes.style].grooves
    pattern = GROOVES[grooves[int(rng.integers(len(grooves)))]][attributes.metre]
    loud, hits = 0.65 + 0.35 * force, []
    for bar in range(bars):
        start = bar * attributes.metre
        if last is not None and start >= last:
            hits += [Hit(clock.seconds(start), drum, loud * 0.8) for drum in ("kick", "crash")]
            break
        fill = bar % 8 == 7 and "kick" in pattern
        for name, steps in pattern.items():
            for i, mark in enumerate(steps):
                in_fill = fill and i >= len(steps) - len(FILL)
                if mark in STRENGTHS and not (in_fill and name != "kick"):
                    velocity = STRENGTHS[mark] * loud
                    hits.append(Hit(clock.seconds(start + i / 4), name, velocity))
        if fill:
            begin = start + attributes.metre - len(FILL) / 4
            for i, mark in enumerate(FILL):
                if mark in STRENGTHS:
                    hits.append(Hit(clock.seconds(begin + i / 4), "tom", loud * (0.6 + 0.04 * i)))
    return hits
