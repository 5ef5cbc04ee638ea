"""One decoding step of one of our engines, at some positions, on a filled cache.

A step is codes in, logits out as a numpy array, as in transformers_step.py; sampling is not in it. Also counts
the bytes that a step has to read: the weights, and the cache in the middle of a take.

python -m benchmarks.engine_step int8 FOLDER --rows 2 8
"""

import argparse
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks import ours

MIDDLE = 250  # of a take of 500 steps: as many positions of the cache are read on average

parser = argparse.ArgumentParser()
parser.add_argument("engine")
parser.add_argument("folder", type=Path)
parser.add_argument("--rows", type=int, nargs="+", default=[2], help="2: one take with guidance; 8: four takes")
parser.add_argument("--positions", type=int, nargs="+", default=[16, 250, 490])
parser.add_argument("--capacity", type=int, default=512, help="steps that the cache has room for")
parser.add_argument("--steps", type=int, default=7, help="timed ones at each position")
parser.add_argument("--warm-up", type=int, default=2, help="steps before those, at each position")
options = parser.parse_args()

model = ours.load(options.folder, options.engine)
rows_ms: dict[int, dict[int, list[float]]] = {}
rows_bytes: dict[int, dict[str, int]] = {}
for rows in options.rows:
    steps = ours.Steps(model, options.engine, rows, options.capacity)
    rows_ms[rows] = {}
    for position in options.positions:
        steps.move_to(position - (options.warm_up + options.steps) // 2)  # so that the steps lie around the position
        times = []
        for _ in range(options.warm_up + options.steps):
            started = time.perf_counter()
            logits = steps.step()
            times.append(1e3 * (time.perf_counter() - started))
        assert logits.shape[0] == rows
        assert np.isfinite(logits).all()
        rows_ms[rows][position] = times[options.warm_up :]
        print(options.engine, rows, position, [round(each, 1) for each in rows_ms[rows][position]], file=sys.stderr)
    if options.engine.startswith("int"):
        rows_bytes[rows] = steps.bytes_read(MIDDLE)
        print(options.engine, rows, rows_bytes[rows], file=sys.stderr)

print(
    json.dumps(
        {
            "rows_ms": rows_ms,
            "rows_bytes": rows_bytes,
            "versions": {name: version(name) for name in ("mindspore", "mindnlp", "numba", "numpy")},
        }
    )
)
