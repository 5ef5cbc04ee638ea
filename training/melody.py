"""Melodies made of motifs: a motif is a rhythm with a contour; a phrase repeats it, varies it and comes to rest."""

import numpy as np

from training.harmony import Chord, local_scale

# Note values in beats that fill one bar; a negative one is a rest. Keyed by metre, then sparse, medium, busy.
RHYTHMS = {
    4: (
        ((2, 2), (3, 1), (2, 1, 1), (1, 1, 2), (1.5, 0.5, 2), (-1, 1, 2)),
        ((1, 1, 1, 1), (1.5, 0.5, 1, 1), (1, 0.5, 0.5, 2), (1, 0.5, 0.5, 1, 1), (2, 0.5, 0.5, 1), (0.5, 0.5, 1, 1, 1),
         (-0.5, 0.5, 1, 1, 1), (1.5, 1.5, 1)),
        ((0.5, 0.5, 0.5, 0.5, 1, 1), (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1), (1, 0.5, 0.5, 0.5, 0.5, 1),
         (0.5, 1, 0.5, 0.5, 0.5, 1), (0.75, 0.75, 0.5, 1, 0.5, 0.5), (-0.5, 0.5, 0.5, 0.5, 1, 0.5, 0.5)),
    ),
    3: (
        ((2, 1), (1, 2), (3,), (1.5, 1.5)),
        ((1, 1, 1), (1.5, 0.5, 1), (2, 0.5, 0.5), (1, 0.5, 0.5, 1), (0.5, 0.5, 1, 1)),
        ((0.5, 0.5, 0.5, 0.5, 1), (1, 0.5, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5, 0.5, 0.5), (-0.5, 0.5, 0.5, 0.5, 1)),
    ),
}  # fmt: skip
CADENTIAL = {4: ((2, 2), (1, 1, 2), (1.5, 0.5, 2), (0.5, 0.5, 1, 2), (4,)), 3: ((3,), (1, 2), (0.5, 0.5, 2))}
FORMS = ("abac", "aabc", "aaba", "abab", "aabb")
WIDEST_LEAP = 9  # semitones, a major sixth; singers ask for no more
STRONG = {4: (0, 2), 3: (0,)}  # beats of the bar where a chord tone must sound


def on_strong_beat(beat: float, metre: int) -> bool:
    """Whether a note that starts here leans on the harmony."""
    return beat % metre in STRONG[metre]


def draw_contour(rng, notes: int) -> list[int]:
    """Scale steps above the motif's first note: mostly by step, now and then a leap, which then turns back."""
    contour, leap = [0], 0
    for _ in range(notes - 1):
        if leap:
            move = -int(np.sign(leap))
        else:
            move = int(rng.choice((-3, -2, -1, 0, 1, 2, 3, 4), p=(0.04, 0.12, 0.27, 0.06, 0.27, 0.14, 0.05, 0.05)))
        leap = move if abs(move) > 2 else 0
        contour.append(int(np.clip(contour[-1] + move, -5, 5)))
    return contour


def nearest(target: float, pitches: list[int]) -> int:
    """The pitch nearest to a target, the lower of two that are as near."""
    return min(pitches, key=lambda pitch: (abs(pitch - target), pitch))


def write_melody(rng, attributes, chords: list[Chord], bars: int, low: int, high: int, density: int, ending: bool):
    """A list of (start in beats, beats, pitch) within low … high, one motif per letter of the form."""
    metre = attributes.metre
    form = FORMS[int(rng.integers(len(FORMS)))]
    cells = RHYTHMS[metre][density]
    rhythms = {letter: cells[int(rng.integers(len(cells)))] for letter in "abc"}
    contours = {letter: draw_contour(rng, len(rhythm)) for letter, rhythm in rhythms.items()}
    closes = [CADENTIAL[metre][int(rng.integers(len(CADENTIAL[metre])))] for _ in range(2)]
    starts = np.array([chord.start for chord in chords])
    centre = (low + high) / 2 + rng.uniform(-2, 2)
    anchors, melody = {}, []
    for bar in range(bars):
        letter, close = form[bar % 4], bar % 4 == 3 or (ending and bar == bars - 1)
        rhythm = closes[(bar // 4) % 2] if close else rhythms[letter]
        if ending and bar == bars - 1:
            rhythm = (metre,)
        contour = list(contours[letter]) if not close else draw_contour(rng, len(rhythm))
        if bar >= 4 and not close and rng.random() < 0.35:  # the repeat is varied
            contour[-1] += int(rng.choice((-1, 1, 2)))
        arch = centre + 4 * np.sin(np.pi * ((bar % 4) + 0.5) / 4)  # a phrase rises and falls
        near = (arch + melody[-1][2]) / 2 if melody else arch
        step, beat = None, 0.0
        for i, value in enumerate(rhythm):
            start, beats = bar * metre + beat, abs(value)
            beat += beats
            if value < 0:
                continue
            chord = chords[int(np.searchsorted(starts, start, "right")) - 1]
            ladder = [pitch for pitch in range(low, high + 1) if pitch % 12 in local_scale(chord, *key_of(attributes))]
            tones = [pitch for pitch in ladder if pitch % 12 in chord.tones[:3]]
            if step is None:
                homes = [tone for tone in tones if tone % 12 == attributes.tonic] if not melody else []
                step = ladder.index(nearest(anchors.get(letter, near), homes or tones)) - contour[i]
                anchors.setdefault(letter, ladder[step + contour[i]])
            place = step + contour[i]
            place = place if 0 <= place < len(ladder) else len(ladder) - 1 - abs(place) % len(ladder)
            pitch = ladder[max(0, min(place, len(ladder) - 1))]
            final = i == len(rhythm) - 1 and close
            if on_strong_beat(start, metre) or beats >= 1.5 or final:
                moved = i > 0 and contour[i] != contour[i - 1] and melody and nearest(pitch, tones) == melody[-1][2]
                others = [tone for tone in tones if tone != melody[-1][2]] if moved else tones
                pitch = nearest(pitch, others)
            if final and chord.degree == 1:
                pitch = nearest(melody[-1][2] if melody else pitch, [p for p in tones if p % 12 == attributes.tonic])
            if melody and abs(pitch - melody[-1][2]) > WIDEST_LEAP:
                pitch = nearest(melody[-1][2] + (5 if pitch > melody[-1][2] else -5), tones)
            melody.append((start, beats, pitch))
    return melody


def key_of(attributes) -> tuple[int, str]:
    """Tonic and mode, as `local_scale` takes them."""
    return attributes.tonic, attributes.mode
