"""How fast the app is, beside MindNLP as installed and torch + transformers, all in one run on the same cores.

    python -m benchmarks                            everything; writes results.md, results.json, speed.svg, the README
    python -m benchmarks --quick --json             fewer measurements; prints one JSON object and writes nothing
    python -m benchmarks --only int8 torch-bf16     some of it; writes nothing

Every subject is measured in a process of its own, one after the other. What can't be measured (no environment with
torch, say) is null, and stderr says why. Nothing else should run on the machine meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from benchmarks import report
from benchmarks.checkpoint import FOLDER
from benchmarks.figures import figures_of
from benchmarks.machine import machine
from musicgen_ui.paths import ASSETS

CORES = 2
TAKE = 500  # steps of the take whose mean step is given
POSITIONS = (16, 250, 490)  # where steps are timed, the cache filled up to there
QUICK = {"steps": 7, "slow_steps": 1, "takes": 5, "loads": 3}  # steps: at each position; slow: MindNLP's as installed
FULL = {"steps": 25, "slow_steps": 5, "takes": 7, "loads": 7}
TORCH = Path(".venv-benchmarks/bin/python")  # made by `make bench`
NANO = ASSETS / "musicgen-nano"
TIMEOUT = 900  # s, for one subject
BUSY = 0.5  # processes that ran on average in the last minute: more than this disturbs

SUBJECTS = (
    "bandwidth", "int8", "int4", "float32", "graph", "mindnlp", "torch-f32", "torch-bf16", "as-installed",
    "takes", "takes-int4", "nano", "load",
)  # fmt: skip

parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
parser.add_argument("--quick", action="store_true", help="fewer measurements, some minutes")
parser.add_argument("--json", action="store_true", help="print one JSON object, write no files")
parser.add_argument("--only", nargs="+", choices=SUBJECTS, metavar="NAME", help=f"of {', '.join(SUBJECTS)}")
parser.add_argument("--torch", type=Path, default=TORCH, help="the interpreter of an environment with torch")
options = parser.parse_args()

wanted = options.only or SUBJECTS
effort = QUICK if options.quick else FULL
places = [str(position) for position in POSITIONS]
steps = ["--positions", *places, "--steps", str(effort["steps"])]
runs: dict[str, dict] = {}  # what each subject measured
versions: dict[str, str] = {}
failed: list[str] = []


def say(*words: object) -> None:
    print(*words, file=sys.stderr, flush=True)


def measure(subject: str, module: str, *arguments: object, python: Path | str = sys.executable) -> None:
    """Runs `module` and keeps the JSON object that it prints last as runs[subject]; says so where there is none."""
    say(f"{subject} …")
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        command = [str(python), "-m", f"benchmarks.{module}", *map(str, arguments)]
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, timeout=TIMEOUT, check=True
            )
        except subprocess.SubprocessError as fault:
            errors.seek(0)
            failed.append(subject)
            say(f"{subject}: not measured. {fault}\n{''.join(errors.readlines()[-15:])}")
            return
    runs[subject] = json.loads(done.stdout.splitlines()[-1])
    versions.update(runs[subject].pop("versions", {}))
    say(f"{subject}: {time.perf_counter() - started:.0f} s")


busy = os.getloadavg()[0]
if busy > BUSY:
    say(f"something else runs on this machine (load average {busy:.1f}): the figures will suffer")

# The same cores for everybody, also where there are more; threads are made to measure.
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
os.environ |= {name: str(CORES) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}

if not FOLDER.is_dir():
    say("building the checkpoint …")
    subprocess.run([sys.executable, "-m", "benchmarks.checkpoint"], check=True, stdout=sys.stderr)

if "bandwidth" in wanted:
    measure("bandwidth", "bandwidth", "--threads", CORES)
for engine in ("int8", "int4", "float32", "graph"):
    if engine in wanted:
        rows = ["--rows", 2, 8] if engine == "int8" else ["--rows", 2]
        measure(engine, "engine_step", engine, FOLDER, *rows, *steps)
for subject in ("torch-f32", "torch-bf16"):
    if subject in wanted and not options.torch.is_file():
        say(f"{subject}: not measured, there is no {options.torch} (`make bench` makes it)")
    elif subject in wanted:
        measure(subject, "transformers_step", subject, FOLDER, *steps, python=options.torch)
if "mindnlp" in wanted:
    measure("mindnlp", "transformers_step", "mindnlp", FOLDER, *steps)
if "as-installed" in wanted:
    # Seconds a step: only the process as a whole warms up. The first position is there twice, the second time counts.
    few = ["--positions", places[0], *places, "--steps", effort["slow_steps"], "--warm-up", 0]
    measure("as-installed", "transformers_step", "as-installed", FOLDER, *few)
if "takes" in wanted:
    measure("takes", "takes", "int8", FOLDER, "--runs", effort["takes"])
if "takes-int4" in wanted:
    measure("takes-int4", "takes", "int4", FOLDER, "--runs", effort["takes"])
if "nano" in wanted:
    measure("nano", "takes", "auto", NANO, "--runs", effort["takes"])
if "load" in wanted:
    measure("first-load", "load", "int8", FOLDER, "--first")
    for number in range(effort["loads"]):
        measure(f"load-{number + 1}", "load", "int8", FOLDER)

figures: dict = figures_of(runs, TAKE)
figures |= {"machine": machine(CORES), "versions": versions, "date": date.today().isoformat(), "quick": options.quick}
figures["load_average_before"] = round(busy, 2)
if options.json:
    print(json.dumps(figures | {"runs": runs}))
else:
    print(f"{report.conditions(figures)}\n{report.table(figures)}", end="")
    if options.quick or options.only:
        say("no files are written: that is for a run of everything at full length")
    else:
        here, readme = Path(__file__).parent, Path("README.md")
        (here / "results.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        (here / "results.md").write_text(f"{report.conditions(figures)}\n{report.table(figures)}", encoding="utf-8")
        (here / "speed.svg").write_text(report.chart(figures), encoding="utf-8")
        (FOLDER.parent / "runs.json").write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
        text = report.with_section(readme.read_text(encoding="utf-8"), report.section(figures))
        readme.write_text(text, encoding="utf-8")
sys.exit(1 if failed else 0)
