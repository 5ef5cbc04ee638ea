"""What a clip of training music is: its attributes, the styles they come from, and how they are drawn."""

from dataclasses import dataclass

import numpy as np

MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
}
# The spelling musicians use, by pitch class: D flat major but C sharp minor.
SHARP_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")
FLAT_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

MOODS = {  # mood: (melody density 0 sparse … 2 busy, loudness of playing 0 … 1)
    "calm": (0, 0.45),
    "dreamy": (0, 0.5),
    "sad": (0, 0.5),
    "tender": (1, 0.5),
    "dark": (1, 0.65),
    "happy": (1, 0.7),
    "playful": (2, 0.7),
    "epic": (1, 0.95),
    "energetic": (2, 0.9),
}
BRIGHT, DARK = ("major", "lydian", "mixolydian"), ("minor", "dorian")
MOOD_MODES = {"sad": DARK, "dark": DARK, "happy": BRIGHT, "playful": BRIGHT}  # other moods go with any mode
SLOW_BPM, FAST_BPM = 88, 122  # below is slow, from there on fast
FRAME_RATE = 50  # Hz, of the codec's codes
BEAT_FRAMES = (17, 50)  # the shortest and the longest beat that clips have


@dataclass(frozen=True)
class Style:
    """The palette of one style; every tuple is drawn from evenly, so a name given twice is twice as likely."""

    bpm: tuple[int, int]
    leads: tuple[str, ...]
    chords: tuple[str, ...]
    basses: tuple[str, ...]
    kits: tuple[str, ...]
    grooves: tuple[str, ...]
    moods: tuple[str, ...]
    comps: tuple[str, ...]  # how the chords are played
    bass_lines: tuple[str, ...]
    modes: tuple[str, ...] = ("major", "major", "minor", "minor")
    metres: tuple[int, ...] = (4,)
    drum_chance: float = 0.8
    solo_chance: float = 0.1
    sevenths: bool = False
    swing: float = 0.0  # how late the off-beat eighth comes, in beats; 1/6 is triplet swing
    room: float = 0.15  # reverberation beside the dry sound, 0 … 1
    echo: bool = False
    ducking: bool = False  # chords and bass give way to the kick


STYLES = {
    "ambient": Style(
        (60, 90), ("pad", "piano", "bells", "electric piano", "strings", "flute"), ("pad", "pad", "strings"),
        ("sub bass",), ("electronic",), ("sparse",), ("calm", "dreamy", "dark"), ("held",), ("held",),
        modes=("major", "minor", "lydian", "dorian"), metres=(4, 4, 3), drum_chance=0.2, room=0.4, echo=True,
    ),
    "lo-fi": Style(
        (68, 92), ("electric piano", "piano", "guitar", "bells", "synth", "flute"),
        ("electric piano", "piano", "guitar"), ("electric bass", "sub bass"), ("dusty",), ("hip hop",),
        ("calm", "dreamy", "tender", "sad"), ("held", "charleston", "broken"), ("syncopated", "held"),
        modes=("major", "minor", "dorian"), drum_chance=0.85, sevenths=True, swing=0.08, room=0.12,
    ),
    "rock": Style(
        (100, 168), ("electric guitar", "electric guitar", "organ", "piano", "synth"),
        ("electric guitar", "organ", "piano"), ("electric bass",), ("acoustic",), ("rock",),
        ("energetic", "happy", "dark", "epic"), ("eighths", "pulse"), ("eighths",),
        modes=("major", "minor", "mixolydian"), drum_chance=0.93, solo_chance=0.03,
    ),
    "pop": Style(
        (88, 132), ("piano", "synth", "guitar", "electric piano", "brass", "strings", "bells"),
        ("piano", "pad", "guitar"), ("electric bass", "synth bass"), ("acoustic", "electronic"), ("pop",),
        ("happy", "tender", "energetic", "playful"), ("pulse", "broken", "strum"), ("syncopated", "eighths"),
        modes=("major", "major", "minor"),
    ),
    "waltz": Style(
        (84, 180), ("piano", "strings", "clarinet", "flute", "guitar", "bells"), ("piano", "strings", "guitar"),
        ("upright bass",), ("brushes",), ("waltz",), ("happy", "tender", "sad", "playful", "dreamy"), ("waltz",),
        ("downbeat",), metres=(3,), drum_chance=0.35, room=0.22,
    ),
    "techno": Style(
        (122, 148), ("synth", "synth", "chiptune", "organ"), ("pad", "synth"), ("synth bass", "synth bass", "sub bass"),
        ("electronic",), ("techno",), ("energetic", "dark"), ("stabs", "held"), ("offbeat", "sixteenths"),
        modes=("minor", "minor", "dorian"), drum_chance=0.97, solo_chance=0.0, ducking=True, echo=True,
    ),
    "house": Style(
        (116, 128), ("piano", "organ", "synth", "electric piano", "brass"), ("piano", "organ", "pad"), ("synth bass",),
        ("electronic",), ("house",), ("happy", "energetic"), ("stabs", "charleston"), ("offbeat", "syncopated"),
        modes=("minor", "major", "dorian"), drum_chance=0.97, solo_chance=0.0, sevenths=True, ducking=True,
    ),
    "chiptune": Style(
        (110, 180), ("chiptune",), ("chiptune",), ("chip bass",), ("chip",), ("rock", "techno", "pop"),
        ("playful", "happy", "energetic"), ("fast arpeggio", "arpeggio"), ("octaves", "eighths"), drum_chance=0.7,
        room=0.03,
    ),
    "ballad": Style(
        (60, 84), ("piano", "piano", "guitar", "strings", "brass", "clarinet", "electric piano"),
        ("piano", "guitar", "strings", "electric piano"), ("electric bass", "upright bass"), ("acoustic", "brushes"),
        ("ballad",), ("tender", "sad", "calm"), ("arpeggio", "broken", "held"), ("held", "syncopated"),
        drum_chance=0.45, solo_chance=0.2, room=0.25,
    ),
    "bossa nova": Style(
        (110, 144), ("guitar", "flute", "piano", "clarinet", "electric piano", "marimba"),
        ("guitar", "guitar", "electric piano"), ("upright bass",), ("latin",), ("bossa",),
        ("calm", "tender", "happy", "dreamy"), ("bossa",), ("bossa",), modes=("major", "minor", "dorian"),
        sevenths=True,
    ),
    "jazz": Style(
        (96, 176), ("piano", "brass", "clarinet", "guitar", "electric piano", "flute"),
        ("piano", "guitar", "electric piano"), ("upright bass",), ("brushes", "acoustic"), ("jazz",),
        ("playful", "calm", "happy", "tender"), ("charleston", "held"), ("walking",),
        modes=("major", "minor", "dorian", "mixolydian"), metres=(4, 4, 4, 3), sevenths=True, swing=0.15,
    ),
    "folk": Style(
        (84, 140), ("guitar", "guitar", "flute", "clarinet", "strings"), ("guitar",), ("upright bass",), ("latin",),
        ("folk",), ("happy", "tender", "playful", "sad"), ("strum", "arpeggio"), ("fifths",),
        modes=("major", "minor", "dorian", "mixolydian"), metres=(4, 4, 3), drum_chance=0.4, solo_chance=0.2,
    ),
    "funk": Style(
        (92, 118), ("electric piano", "organ", "brass", "guitar", "synth"), ("electric piano", "guitar", "organ"),
        ("electric bass", "synth bass"), ("acoustic",), ("funk",), ("energetic", "playful", "happy"),
        ("stabs", "charleston"), ("funk",), modes=("minor", "dorian", "mixolydian", "major"), drum_chance=0.95,
        solo_chance=0.0, sevenths=True, room=0.08,
    ),
    "classical": Style(
        (66, 144), ("piano", "strings", "flute", "clarinet", "brass"), ("strings", "piano", "clarinet"),
        ("upright bass",), ("orchestral",), ("march",), ("tender", "happy", "playful", "sad", "epic"),
        ("alberti", "held", "arpeggio"), ("downbeat", "held"), metres=(4, 4, 3), drum_chance=0.12, solo_chance=0.3,
        room=0.3,
    ),
    "cinematic": Style(
        (66, 120), ("strings", "brass", "piano", "bells", "pad"), ("strings", "strings", "pad", "brass"),
        ("sub bass", "upright bass"), ("orchestral",), ("march",), ("epic", "dark", "dreamy", "sad"), ("held", "pulse"),
        ("held", "eighths"), modes=("minor", "minor", "major", "dorian"), metres=(4, 4, 3), drum_chance=0.6, room=0.38,
    ),
    "synthwave": Style(
        (84, 124), ("synth", "synth", "electric piano", "bells", "electric guitar"), ("pad", "synth"), ("synth bass",),
        ("electronic",), ("synthwave",), ("dreamy", "dark", "energetic"), ("held", "arpeggio"), ("eighths", "octaves"),
        modes=("minor", "minor", "major"), drum_chance=0.9, solo_chance=0.03, echo=True, room=0.22,
    ),
    "reggae": Style(
        (66, 92), ("organ", "guitar", "brass", "electric piano", "synth"), ("organ", "guitar", "piano"),
        ("electric bass",), ("acoustic",), ("one drop",), ("happy", "calm", "playful"), ("skank",),
        ("syncopated", "fifths"), modes=("major", "minor", "mixolydian"), drum_chance=0.92, solo_chance=0.0,
    ),
    "trap": Style(
        (120, 156), ("bells", "synth", "piano", "flute", "brass", "marimba"), ("pad", "piano", "strings"),
        ("808 bass",), ("808",), ("trap",), ("dark", "energetic", "sad"), ("held", "broken"), ("syncopated", "held"),
        modes=("minor",), drum_chance=0.95, solo_chance=0.0,
    ),
    "lullaby": Style(
        (60, 88), ("bells", "bells", "piano", "guitar", "flute", "marimba"), ("pad", "guitar", "piano", "strings"),
        ("upright bass",), ("brushes",), ("sparse",), ("calm", "tender", "dreamy"), ("arpeggio", "waltz", "held"),
        ("downbeat",), modes=("major", "major", "minor"), metres=(3, 4), drum_chance=0.05, solo_chance=0.35, room=0.25,
    ),
    "tropical": Style(
        (96, 128), ("marimba", "marimba", "bells", "flute", "synth", "brass"), ("guitar", "pad", "marimba"),
        ("electric bass", "synth bass"), ("latin",), ("tropical",), ("happy", "playful", "energetic"),
        ("strum", "charleston"), ("syncopated",), modes=("major", "major", "minor"), drum_chance=0.85,
    ),
}  # fmt: skip
LEADS = tuple(sorted({lead for style in STYLES.values() for lead in style.leads}))


@dataclass(frozen=True)
class Attributes:
    """All that a caption may say of a clip. `chords`, `bass` and `kit` are None where nobody plays them."""

    style: str
    tonic: int  # pitch class, 0 is C
    mode: str
    bpm: int
    metre: int  # quarter notes in a bar, 3 or 4
    lead: str
    chords: str | None
    bass: str | None
    kit: str | None
    mood: str

    @property
    def has_drums(self) -> bool:
        """Whether a drum kit plays."""
        return self.kit is not None

    @property
    def solo(self) -> bool:
        """Whether the lead instrument plays alone (a piano then plays with both hands)."""
        return self.bass is None and self.kit is None and self.chords in (None, self.lead)

    @property
    def tonic_name(self) -> str:
        """The tonic as it is written in this mode, "Eb" for E flat."""
        return (FLAT_NAMES if self.mode in ("major", "lydian") else SHARP_NAMES)[self.tonic]

    @property
    def beat_frames(self) -> int:
        """The beat that is played: the whole number of the codec's frames next to it, at most 3 % from `bpm`.

        So a stroke always begins with a frame, and a bar that comes again is the same codes again.
        """
        shortest, longest = BEAT_FRAMES
        return min(max(round(60 * FRAME_RATE / self.bpm), shortest), longest)

    @property
    def bar_frames(self) -> int:
        """The bar that is played, in frames of the codec."""
        return self.metre * self.beat_frames

    @property
    def tempo(self) -> str:
        """"slow", "medium" or "fast"."""  # fmt: skip
        return "slow" if self.bpm < SLOW_BPM else "fast" if self.bpm >= FAST_BPM else "medium"


def draw_attributes(rng: np.random.Generator, **given) -> Attributes:
    """Attributes that go together, drawn at random; `given` ones are kept as they are, sensible or not."""

    def pick(options):
        return options[int(rng.integers(len(options)))]

    # A lead that is asked for picks a style which knows it; otherwise every style is as likely.
    known = [name for name, style in STYLES.items() if given.get("lead", style.leads[0]) in style.leads]
    name = given.get("style") or pick(known or list(STYLES))
    style = STYLES[name]
    mode = given.get("mode") or pick(style.modes)
    moods = [mood for mood in style.moods if mode in MOOD_MODES.get(mood, MODES)] or list(style.moods)
    lead = given.get("lead") or pick(style.leads)
    solo = rng.random() < style.solo_chance
    chords = pick(style.chords)
    drawn = Attributes(
        style=name,
        tonic=int(rng.integers(12)),
        mode=mode,
        bpm=int(rng.integers(style.bpm[0], style.bpm[1] + 1)),
        metre=pick(style.metres),
        lead=lead,
        chords=(lead if lead in POLYPHONIC else None) if solo else chords,
        bass=None if solo or rng.random() < 0.12 else pick(style.basses),
        kit=pick(style.kits) if rng.random() < style.drum_chance and not solo else None,
        mood=pick(moods),
    )
    return Attributes(**{**drawn.__dict__, **given})


POLYPHONIC = ("piano", "electric piano", "organ", "guitar", "bells", "marimba", "strings", "pad", "chiptune")
