"""Renders a score. To listen: python -m training.synthesizer --seed 3 --out clip.wav --style jazz --lead piano"""

import argparse
import time

import numpy as np

from training import captions
from training.attributes import FRAME_RATE, LEADS, MODES, SHARP_NAMES, STYLES, draw_attributes
from training.composer import Score, compose
from training.drums import PANS, TAKES, strike
from training.effects import duck, echo, master, reverberate, wear
from training.instruments import INSTRUMENTS, play
from training.oscillators import SAMPLE_RATE

GAINS = {"lead": 1.0, "chords": 0.4, "bass": 0.8, "drums": 0.5}
SENDS = {"lead": 1.0, "chords": 0.9, "bass": 0.1, "drums": 0.35}  # how much of each part the room hears
ROOM_SECONDS = 1.3
HALL_SECONDS = 2.4  # for styles whose room is at least BIG_ROOM
BIG_ROOM = 0.25


def render(score: Score, stereo: bool = False) -> np.ndarray:
    """The sound of a score: (channels, samples) float32 at 32 kHz. The same score gives the same samples."""
    attributes, style = score.attributes, STYLES[score.attributes.style]
    samples, channels = int(score.seconds * SAMPLE_RATE), 2 if stereo else 1
    beat = attributes.beat_frames / FRAME_RATE  # seconds
    players = {"lead": attributes.lead, "chords": attributes.chords, "bass": attributes.bass}
    parts = {part: np.zeros((channels, samples), np.float32) for part in GAINS}
    for note in score.notes:
        name = players[note.part]
        pan = INSTRUMENTS[name].pan if note.part == "lead" else -INSTRUMENTS[name].pan
        add(parts[note.part], play(name, note.pitch, note.seconds, note.velocity), note.onset, pan)
    bar = attributes.metre * attributes.beat_frames
    for hit in score.hits:
        take = round(hit.onset * FRAME_RATE) % bar % TAKES  # the same in each bar
        wave = strike(attributes.kit, hit.drum, take, attributes.tonic)
        add(parts["drums"], wave * np.float32(hit.velocity**1.2), hit.onset, PANS.get(hit.drum, 0.0))
    for part, gain in GAINS.items():
        parts[part] *= np.float32(gain)
    if style.echo:
        parts["lead"] += echo(parts["lead"], 0.75 * beat, 0.38)  # dotted eighths
    if style.ducking:
        give_way = duck(samples, [hit.onset for hit in score.hits if hit.drum == "kick"], 0.65, 0.8 * beat)
        for part in ("chords", "bass"):
            parts[part] *= give_way
    send = sum(np.float32(SENDS[part]) * parts[part] for part in parts)
    wet = reverberate(send, HALL_SECONDS if style.room >= BIG_ROOM else ROOM_SECONDS)
    mix = sum(parts.values()) + np.float32(1.6 * style.room) * wet
    if attributes.style == "lo-fi":
        mix = wear(mix)
    return master(mix)


def add(part: np.ndarray, wave: np.ndarray, onset: float, pan: float) -> None:
    """Mix a wave (samples,) into a part (channels, samples) at its onset, panned with constant power."""
    at = round(onset * SAMPLE_RATE)
    wave = wave[: part.shape[1] - at]
    angle = (pan + 1) * np.pi / 4
    gains = (np.sqrt(2) * np.cos(angle), np.sqrt(2) * np.sin(angle)) if len(part) == 2 else (1.0,)
    for channel, gain in zip(part, gains, strict=True):
        channel[at : at + len(wave)] += np.float32(gain) * wave


def main() -> None:
    """Write one clip, and say what it is."""
    import soundfile  # only to listen: a machine that trains need not have it

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--out", default="clip.wav")
    parser.add_argument("--stereo", action="store_true")
    parser.add_argument("--ending", action="store_true", help="come to rest at the end")
    parser.add_argument("--style", choices=list(STYLES))
    parser.add_argument("--lead", choices=LEADS)
    parser.add_argument("--mode", choices=list(MODES))
    parser.add_argument("--tonic", choices=SHARP_NAMES, help="sharps, or Eb and Bb")
    parser.add_argument("--bpm", type=int)
    parser.add_argument("--metre", type=int, choices=(3, 4))
    options = parser.parse_args()
    given = {
        name: getattr(options, name) for name in ("style", "lead", "mode", "bpm", "metre") if getattr(options, name)
    }
    if options.tonic:
        given["tonic"] = SHARP_NAMES.index(options.tonic)
    rng = np.random.default_rng(options.seed)
    attributes = draw_attributes(rng, **given)
    began = time.perf_counter()
    audio = render(compose(attributes, options.seconds, options.seed, options.ending), options.stereo)
    print(f"{attributes}\n{options.seconds / (time.perf_counter() - began):.0f} × real time (nothing kept yet)")
    for caption in captions.write_captions(attributes, rng, 6):
        print(" ", caption)
    soundfile.write(options.out, audio.T, SAMPLE_RATE)


if __name__ == "__main__":
    main()
