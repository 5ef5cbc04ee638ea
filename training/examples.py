"""Makes the page's example clips with the bundled text model: python -m training.examples

Runs in the app's own environment. Seeds are the best of 12 or 14, by tempo, key and instrument as the evaluation hears
them, and by pictures of their spectra: they show what nano can do, not what it does on the average, and other weights
want other seeds. The sound is the same every time; the files differ by the number that Vorbis gives each stream.
"""

import argparse

import numpy as np
import soundfile

from musicgen_ui.loops import find_loop
from musicgen_ui.paths import ASSETS, EXAMPLES
from musicgen_ui.pipeline import Pipeline
from musicgen_ui.request import Request, Settings

FADE = 0.6  # seconds at the end, but of loops
QUALITY = 0.5  # libsndfile's compression level for Vorbis, 0 the largest file … 1 the smallest
# name: (description, seconds of music, seed); a groove is cut to the bars that may go round and round
CLIPS = {
    "piano-tune": ("happy solo piano tune in C major, no drums", 8.0, 9),
    "flute-tune": ("tender flute waltz in A minor, without drums", 8.0, 9),
    "guitar-riff": ("playful folk tune on acoustic guitar in D minor, no drums", 8.0, 10),
    "slow-chords": ("calm ambient soft pad, slow, no drums", 8.0, 0),
    "groove": ("rock with electric guitar and drums, 130 bpm", 10.0, 0),
}


def make(pipeline: Pipeline, prompt: str, seconds: float, seed: int) -> tuple[np.ndarray, int]:
    """samples (channels, samples) float32 of a take, and their rate."""
    model = pipeline.load("nano", ASSETS / "musicgen-nano")
    settings = Settings(max_new_tokens=model.info.tokens(seconds))
    request = Request(mode="text", prompts=(prompt,), model="nano", engine="float32", seed=seed, settings=settings)
    (take,) = pipeline.run(request)
    return take.samples, take.sampling_rate


def finished(samples: np.ndarray, rate: int, name: str) -> np.ndarray:
    """samples (channels, samples) as they are kept: a groove is a loop, all else fades out."""
    if name == "groove":
        return find_loop(samples, rate, name)[0]
    ramp = np.ones(samples.shape[1], np.float32)
    fading = round(FADE * rate)
    ramp[-fading:] = np.cos(np.linspace(0, np.pi / 2, fading)) ** 2
    return samples * ramp


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    pipeline = Pipeline()
    for name, (prompt, seconds, seed) in CLIPS.items():
        samples, rate = make(pipeline, prompt, seconds, seed)
        samples = finished(samples, rate, name)
        path = EXAMPLES / f"{name}.ogg"
        soundfile.write(path, samples.T, rate, format="OGG", subtype="VORBIS", compression_level=QUALITY)
        print(f"{path.name}: {samples.shape[1] / rate:.1f} s, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
