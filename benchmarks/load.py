"""Loading, in a process that has its imports behind it, with the checkpoint in the page cache.

python -m benchmarks.load int8 FOLDER --first      (--first: nothing kept of an earlier loading)
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import ours
from benchmarks.watch import status_bytes

parser = argparse.ArgumentParser()
parser.add_argument("engine")
parser.add_argument("folder", type=Path)
parser.add_argument("--first", action="store_true")
options = parser.parse_args()

if options.first:
    ours.forget_kept_weights(options.folder)
for file in options.folder.rglob("*"):
    if file.is_file():
        with file.open("rb") as stream:
            while stream.read(1 << 24):
                pass
watch = subprocess.Popen(
    [sys.executable, "-m", "benchmarks.watch", str(os.getpid())],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
)  # fmt: skip
assert watch.stdin
assert watch.stdout
watch.stdout.readline()
started = time.perf_counter()
model = ours.load(options.folder, options.engine)
seconds = time.perf_counter() - started
resident = status_bytes("self", "VmRSS")
peak = int(watch.communicate()[0])
print(json.dumps({"load_s": seconds, "peak_bytes": peak, "resident_bytes": resident}))
