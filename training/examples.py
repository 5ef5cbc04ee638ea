"""Makes the page's example clips: python -m training.examples

The sound is the same every time; the files differ by the number that Vorbis gives each stream.
"""

from dataclasses import replace
from pathlib import Path

import soundfile

from training.attributes import Attributes
from training.composer import compose
from training.oscillators import SAMPLE_RATE
from training.synthesizer import render

OUT = Path(__file__).parent.parent / "assets" / "examples"
TAIL = 0.9  # seconds for the last note to fade
QUALITY = 0.5  # libsndfile's compression level for Vorbis, 0 the largest file … 1 the smallest

C, D, E, G, A = 0, 2, 4, 7, 9
# name: (attributes, seconds of music, seed chosen by its tune, parts that are kept; "" keeps all)
EXAMPLES = {
    "piano-tune": (Attributes("pop", C, "major", 138, 4, "piano", None, None, None, "happy"), 7.0, 2, "lead"),
    "flute-tune": (Attributes("waltz", A, "minor", 132, 3, "flute", None, None, None, "tender"), 5.6, 2, "lead"),
    "drum-groove": (
        Attributes("funk", E, "minor", 112, 4, "synth", None, None, "acoustic", "energetic"),
        3 * 4 * 60 / 112,
        2,
        "drums",
    ),
    "slow-chords": (
        Attributes("ballad", G, "major", 72, 4, "electric piano", "electric piano", None, None, "calm"),
        6.8,
        5,
        "chords",
    ),
    "guitar-riff": (Attributes("folk", D, "minor", 138, 4, "guitar", "guitar", None, None, "playful"), 7.0, 2, ""),
}


def main() -> None:
    """Write every example as mono OGG Vorbis."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, (attributes, seconds, seed, kept) in EXAMPLES.items():
        score = compose(attributes, seconds, seed, ending=kept != "drums")
        notes = tuple(note for note in score.notes if not kept or note.part == kept)
        tail = 0.0 if kept == "drums" else TAIL  # the groove ends on the bar line, ready to be continued
        score = replace(score, notes=notes, hits=score.hits if kept == "drums" else (), seconds=seconds + tail)
        path = OUT / f"{name}.ogg"
        soundfile.write(path, render(score).T, SAMPLE_RATE, format="OGG", subtype="VORBIS", compression_level=QUALITY)
        print(f"{path.name}: {score.seconds:.1f} s, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
