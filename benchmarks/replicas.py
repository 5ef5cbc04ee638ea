"""Two Ray Serve replicas on this machine behind the app's own queue, beside one worker process: is all as it was?

    python -m pip install -r requirements-replicas.txt
    python -m benchmarks.replicas

Some requests of four users at once; one stopped midway; two whose page is closed; one whose worker process is killed,
and one whose whole replica is. Prints a line for each part, then one JSON object; exit code 1 where anything isn't as
it should be.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

import numpy as np
import psutil

from benchmarks.machine import machine
from musicgen_ui.engine import Engine, Job
from musicgen_ui.errors import AppError
from musicgen_ui.events import Event, Finished, Generating, Queued
from musicgen_ui.limits import Limits
from musicgen_ui.processors import processors
from musicgen_ui.replicas import replicas
from musicgen_ui.request import Request, Settings
from musicgen_ui.runner import Runner
from musicgen_ui.take import Take

USERS = 4
TOKENS = 103  # 2 s
LONG_TOKENS = 1_503  # 30 s: to be cut off
PATIENCE = 600.0  # s

wrong: list[str] = []  # what shouldn't have been


def expect(true: object, what: str) -> None:
    if not true:
        wrong.append(what)
        print("WRONG:", what, flush=True)


class Listener(threading.Thread):
    """Reads a job's events with the time of each."""

    def __init__(self, job: Job) -> None:
        super().__init__(daemon=True)
        self.job = job
        self.events: list[tuple[float, Event]] = []
        self.fault: AppError | None = None
        self.start()

    def run(self) -> None:
        try:
            for event in self.job:
                self.events.append((time.perf_counter(), event))
        except AppError as fault:
            self.fault = fault

    def takes(self) -> tuple[Take, ...]:
        self.join(PATIENCE)
        last = self.events[-1][1] if self.events else None
        return last.takes if isinstance(last, Finished) else ()

    def until_tokens(self, tokens: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.is_alive():
            if any(isinstance(event, Generating) and event.done >= tokens for _, event in list(self.events)):
                return
            time.sleep(0.02)
        expect(False, f"request {self.job.number} came to {tokens} tokens")

    @property
    def span(self) -> tuple[float, float]:
        """From its first token to its end."""
        first = next((at for at, event in self.events if isinstance(event, Generating)), self.events[-1][0])
        return first, self.events[-1][0]


def request(seed: int, tokens: int = TOKENS) -> Request:
    return Request(prompts=("slow bells",), model="nano", seed=seed, settings=Settings(max_new_tokens=tokens))


def started(limits: Limits, runners: Sequence[Runner] = ()) -> tuple[Engine, float]:
    """A ready engine, and the seconds that it took."""
    begun = time.perf_counter()
    engine = Engine(limits, runners=runners)
    engine.start()
    while not all(lane.ready for lane in engine._lanes):
        if engine.health().state == "broken":
            raise SystemExit("the engine can't be started")
        time.sleep(0.2)
    return engine, time.perf_counter() - begun


def crowd(engine: Engine, requests: int) -> tuple[float, int, list[Take]]:
    """Seconds for all requests, how many ran at once, and their takes."""
    begun = time.perf_counter()
    crowd = [Listener(engine.submit(request(n), f"user {n % USERS}")) for n in range(requests)]
    takes = [take for listener in crowd for take in listener.takes()]
    seconds = time.perf_counter() - begun
    expect(len(takes) == requests, f"{len(takes)} takes of {requests} requests")
    turns = [listener.job.times.begun or 0.0 for listener in crowd]
    expect(turns == sorted(turns), "in turn")
    for listener in crowd:
        places = [event.ahead for _, event in listener.events if isinstance(event, Queued)]
        expect(places == sorted(places, reverse=True), f"places only get better: {places}")
    spans = [listener.span for listener in crowd]
    at_once = max(sum(start <= at < end for start, end in spans) for at, _ in spans)
    return seconds, at_once, takes


def processes(name: str) -> list[psutil.Process]:
    """The replicas, or their worker processes, of this program's own Ray."""
    return [child for child in psutil.Process().children(recursive=True) if name in " ".join(child.cmdline())]


def workers() -> list[psutil.Process]:
    return [
        child
        for replica in processes("ray::ServeReplica")
        for child in replica.children()
        if "spawn_main" in " ".join(child.cmdline())
    ]


def killed(engine: Engine, victims: list[psutil.Process], what: str, n: int) -> dict:
    """Two requests run when one of `victims` is killed, a third waits."""
    running = [Listener(engine.submit(request(seed, LONG_TOKENS), f"user {seed}")) for seed in (n, n + 1)]
    waiting = Listener(engine.submit(request(n + 2), "user 2"))
    for listener in running:
        listener.until_tokens(20)
    begun = time.perf_counter()
    os.kill(victims[0].pid, signal.SIGKILL)
    while all(listener.is_alive() for listener in running) and time.perf_counter() - begun < PATIENCE:
        time.sleep(0.01)
    told = time.perf_counter() - begun
    for listener in running:
        listener.job.stop()
    kept = [listener.takes() for listener in running]
    faults = [listener.fault for listener in running if listener.fault]
    expect(len(faults) == 1 and sum(map(len, kept)) == 1, f"{what}: one request is lost, the other goes on")
    expect(len(waiting.takes()) == 1, f"{what}: who waits is served")
    while not all(lane.ready for lane in engine._lanes) and time.perf_counter() - begun < PATIENCE:
        time.sleep(0.05)
    again = time.perf_counter() - begun
    _, at_once, _ = crowd(engine, 4)
    expect(at_once == 2, f"{what}: afterwards two run at once again")
    return {
        "sentence": str(faults[0]) if faults else None,
        "told_after_s": round(told, 2),
        "ready_after_s": round(again, 1),
        "afterwards_at_once": at_once,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=8, help="at once (8)")
    requests = parser.parse_args().requests
    limits = Limits(queue=requests + 4, queue_per_user=requests + 4)
    figures: dict = {**machine(processors()), "load_before": os.getloadavg()[0]}

    def tell(name: str, value: object) -> None:
        figures[name] = value
        print(f"{name}: {value}", flush=True)

    engine, ready = started(limits)
    tell("one_ready_s", round(ready, 1))
    seconds, at_once, alone = crowd(engine, requests)
    tell("one_worker", {"seconds": round(seconds, 1), "at_once": at_once})
    engine.close()

    engine, ready = started(limits, replicas(limits, {**os.environ, "MUSICGEN_REPLICAS": "2"}))
    tell("two_ready_s", round(ready, 1))
    seconds, at_once, takes = crowd(engine, requests)
    tell("two_replicas", {"seconds": round(seconds, 1), "at_once": at_once})
    expect(at_once == 2, "two run at once")
    same = len(takes) == len(alone) and all(
        np.array_equal(a.samples, b.samples) for a, b in zip(alone, takes, strict=True)
    )
    tell("same_samples_as_one_worker", same)
    expect(same, "the same samples")

    stopped = Listener(engine.submit(request(20, LONG_TOKENS), "user 0"))
    stopped.until_tokens(100)
    begun = time.perf_counter()
    stopped.job.stop()
    (take,) = stopped.takes()
    tell("stopped", {"after_s": round(time.perf_counter() - begun, 2), "kept_s": round(take.seconds, 2)})
    expect(not take.complete and 1 < take.seconds < 25, "Stop keeps what was made")

    leaving = [Listener(engine.submit(request(seed, LONG_TOKENS), "leaves")) for seed in (21, 22)]
    for listener in leaving:
        listener.until_tokens(20)
    begun = time.perf_counter()
    engine.forget("leaves")
    expect(all(listener.takes() == () for listener in leaving), "nothing is decoded for a page that is closed")
    tell("freed_after_s", round(time.perf_counter() - begun, 2))

    tell("worker_killed", killed(engine, workers(), "worker killed", 30))
    tell("replica_killed", killed(engine, processes("ray::ServeReplica"), "replica killed", 40))

    begun = time.perf_counter()
    engine.close()
    tell("closed_after_s", round(time.perf_counter() - begun, 1))
    time.sleep(1)
    expect(not workers(), "nothing is left")
    tell("wrong", wrong)
    print(json.dumps(figures, indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
