"""From a request to a file, with the model loaded: how long a take takes, and its first sound.

One short take goes before, unmeasured: it compiles what is compiled at first use.

python -m benchmarks.takes int8 FOLDER --runs 5
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import ours
from musicgen_ui.audio import write_audio

PROMPT = "slow piano in A minor with warm strings and soft drums"


class FirstSound:
    """Called with each piece of sound; notes when the first one came."""

    at: float | None = None

    def __call__(self, samples, start) -> None:
        self.at = self.at or time.perf_counter()


parser = argparse.ArgumentParser()
parser.add_argument("engine")
parser.add_argument("folder", type=Path)
parser.add_argument("--seconds", type=float, default=10.0, help="of music")
parser.add_argument("--runs", type=int, default=5)
options = parser.parse_args()

model = ours.load(options.folder, options.engine)
ours.generate(model, options.engine, PROMPT, 1.0, 0, FirstSound())
to_file, to_first_sound, codec = [], [], []
with tempfile.TemporaryDirectory() as folder:
    for run in range(options.runs):
        heard = FirstSound()
        started = time.perf_counter()
        take = ours.generate(model, options.engine, PROMPT, options.seconds, run, heard)
        write_audio(Path(folder) / "take.wav", take.samples, take.sampling_rate)
        to_file.append(time.perf_counter() - started)
        to_first_sound.append((heard.at or time.perf_counter()) - started)
        codec.append(take.record["stages"]["codec"] / take.seconds)
        print(options.engine, round(to_file[-1], 2), round(to_first_sound[-1], 2), file=sys.stderr)
        assert abs(take.seconds - options.seconds) < 0.1
print(json.dumps({"to_file_s": to_file, "to_first_sound_s": to_first_sound, "codec_s_per_s": codec}))
