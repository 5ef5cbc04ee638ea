"""The clips that everything learns from: python -m training.data --workers 2 --minutes 10

A seed says all of a clip: its attributes, its music, the melody beside it, its captions. Clips are rendered ahead into
shards that any number of readers may use while more are written; what is there is kept, so the call can be repeated.
"""

import argparse
import os
import time
import zlib
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # one process per core makes the most clips

import numpy as np  # noqa: E402

from training import free_text  # noqa: E402
from training.attributes import LEADS, Attributes, draw_attributes  # noqa: E402
from training.captions import write_captions  # noqa: E402
from training.composer import Score, compose  # noqa: E402
from training.oscillators import SAMPLE_RATE  # noqa: E402
from training.synthesizer import render  # noqa: E402

OUT = Path(__file__).parent / "out"  # all that training makes; not in git
CLIPS = OUT / "clips"
SHARD_SECONDS = 960  # of music in one file, 61 MB
SECONDS = 10.0  # of a clip
LONG_SECONDS = 30.0  # of a clip in every LONG_EVERYth shard: how music goes on after ten seconds has to be learnt too
LONG_EVERY = 5
HELD_OUT_SHARDS = 2  # these come first, and are never trained on
HELD_OUT_ONE_IN = 20  # combinations of style, lead, tonic and mode
EVEN_LEADS = 0.5  # share of clips whose lead is drawn evenly, so that rare instruments are learnt as well
MIX_MELODIES = 0.35  # share of clips whose melody is told from the whole mix, as when a user gives a finished song
CAPTIONS = 12  # of each clip, English and Chinese in turn
SPLITS = {"train": 1, "held-out": 2}  # the first number of a seed


def is_held_out(attributes: Attributes) -> bool:
    """Whether this combination of style, lead, tonic and mode is kept from training: by its hash, for ever."""
    combination = f"{attributes.style}|{attributes.lead}|{attributes.tonic}|{attributes.mode}"
    return zlib.crc32(combination.encode()) % HELD_OUT_ONE_IN == 0


def draw_clip(seed: int, split: str = "train") -> Attributes:
    """The attributes of a seed's clip, of a combination that belongs to this split."""
    rng = np.random.default_rng([SPLITS[split], seed])
    while True:
        given = {"lead": LEADS[int(rng.integers(len(LEADS)))]} if rng.random() < EVEN_LEADS else {}
        attributes = draw_attributes(rng, **given)
        if is_held_out(attributes) == (split == "held-out"):
            return attributes


def compose_clip(seed: int, split: str = "train", seconds: float = SECONDS) -> Score:
    """The music of a seed's clip."""
    return compose(draw_clip(seed, split), seconds, SPLITS[split] * 1_000_000_000 + seed)


def melody_of(score: Score, seed: int) -> Score:
    """Its lead alone, played on any instrument, as somebody would hum it; or now and then all of it."""
    rng = np.random.default_rng([3, seed])
    if rng.random() < MIX_MELODIES:
        return score
    lead = LEADS[int(rng.integers(len(LEADS)))]
    attributes = replace(score.attributes, lead=lead, chords=None, bass=None, kit=None)
    return replace(score, attributes=attributes, notes=lead_notes(score), hits=())


def lead_notes(score: Score):
    """What the lead plays."""
    return tuple(note for note in score.notes if note.part == "lead")


def caption_clip(attributes: Attributes, seed: int, count: int = CAPTIONS) -> list[str]:
    """`count` captions, English and Chinese in turn: most name attributes, some an occasion, some hold noise words."""
    rng = np.random.default_rng([4, seed])
    return [free_text.vary(rng, attributes, text) for text in write_captions(attributes, rng, count)]


def make_clip(seed: int, split: str, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Samples (seconds · 32000,) int16, and the strongest pitch class (frames,) uint8 of the melody to be followed."""
    from musicgen_ui.chroma import chroma_features  # what the app does with a user's clip

    score = compose_clip(seed, split, seconds)
    mix, melody = render(score)[0], melody_of(score, seed)
    clip = mix if melody is score else render(melody)[0]
    chroma = chroma_features([clip], SAMPLE_RATE)[0].argmax(-1)
    return np.round(mix * 32767).astype(np.int16), chroma.astype(np.uint8)


def shard_seconds(number: int) -> float:
    """How long the clips of a shard are."""
    return LONG_SECONDS if number % LONG_EVERY == LONG_EVERY - 1 else SECONDS


def shard_seeds(number: int) -> list[int]:
    """The seeds of a shard's clips."""
    first = number * int(SHARD_SECONDS / SECONDS)
    return list(range(first, first + int(SHARD_SECONDS / shard_seconds(number))))


def shard_file(number: int, split: str, folder: Path = CLIPS) -> Path:
    """Where a shard's samples are; its chroma is beside it, under `chroma_file` of that path."""
    return folder / f"{split}-{number:05d}.npy"


def chroma_file(path: Path) -> Path:
    """Where the chroma of a shard's clips is."""
    return path.with_name(path.name.replace(".npy", ".chroma"))


def number_of(path: Path) -> int:
    """A shard's number, from the path of its samples or of its codes."""
    return int(path.stem.rsplit("-", 1)[1])


def shards(split: str, folder: Path = CLIPS, seconds: float | None = None) -> list[Path]:
    """The finished shards of a split, all or those with clips of this many seconds."""
    paths = sorted(folder.glob(f"{split}-*.np[yz]"))
    return [path for path in paths if seconds in (None, shard_seconds(number_of(path)))]


def write_shard(number: int, split: str, folder: Path = CLIPS) -> Path:
    """Renders a shard unless it is there; its file appears whole."""
    path = shard_file(number, split, folder)
    if path.exists():
        return path
    made = [make_clip(seed, split, shard_seconds(number)) for seed in shard_seeds(number)]
    np.stack([chroma for _, chroma in made]).tofile(chroma_file(path))
    partial = path.with_suffix(f".{os.getpid()}.part")
    with partial.open("wb") as file:
        np.save(file, np.stack([samples for samples, _ in made]))
    partial.rename(path)
    return path


def read_chroma(path: Path, clips: int) -> np.ndarray:
    """Chroma (clips, frames) uint8 of the shard whose samples are in `path`."""
    return np.fromfile(chroma_file(path), np.uint8).reshape(clips, -1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--shards", type=int, default=100_000, help="at most this many for training")
    parser.add_argument("--first", type=int, default=0, help="the number of the first of these")
    parser.add_argument("--minutes", type=float, default=10.0, help="begin no new shard after this time")
    options = parser.parse_args()
    CLIPS.mkdir(parents=True, exist_ok=True)
    began, seconds = time.perf_counter(), 0.0

    def draw_jobs():
        for number in range(HELD_OUT_SHARDS):
            yield number, "held-out"
        for number in range(options.first, options.first + options.shards):
            if time.perf_counter() - began > 60 * options.minutes:
                return
            if not shard_file(number, "train").exists():
                yield number, "train"

    jobs = draw_jobs()
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        doing = {pool.submit(write_shard, *job) for job in islice(jobs, options.workers)}
        while doing:
            done, doing = wait(doing, return_when=FIRST_COMPLETED)
            doing |= {pool.submit(write_shard, *job) for job in islice(jobs, len(done))}
            for path in (future.result() for future in done):
                seconds += SHARD_SECONDS
                speed = seconds / (time.perf_counter() - began)
                print(f"{path.name}: {seconds / 3600:.1f} h of music, {speed:.0f} × real time", flush=True)


if __name__ == "__main__":
    main()
