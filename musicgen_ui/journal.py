"""What the app's owner learns of it: a line in the log for each request, figures for Prometheus, the engine's health.

Neither tells anything of a user: no prompt, no name of a file, no address. A model or an engine that isn't one of ours
is "other". Only MUSICGEN_LOG_PROMPTS=1 puts prompts into the log.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from musicgen_ui.checkpoints import MENU
from musicgen_ui.errors import AppError, InputError
from musicgen_ui.events import Event, Finished
from musicgen_ui.request import ENGINES, MODES, Request

STATES = ("starting", "loading", "ready", "working", "stopping", "broken")
"""of the engine; broken: it can't be started"""
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300, 900)
log = logging.getLogger("musicgen_ui.requests")


@dataclass(frozen=True)
class Health:
    state: str
    queue: int
    """requests that wait or run"""

    @property
    def usable(self) -> bool:
        return self.state not in ("broken", "stopping")


@dataclass
class Times:
    """When a request came and when its turn came, as `time.monotonic` says."""

    submitted: float = field(default_factory=time.monotonic)
    begun: float | None = None

    def spent(self) -> tuple[float, float]:
        """(seconds of waiting, seconds of work) until now"""
        now = time.monotonic()
        begun = now if self.begun is None else self.begun
        return begun - self.submitted, now - begun


class Journal:
    """Told of the end of each request; it counts them, and writes one line (logfmt) for each."""

    def __init__(self, prompts: bool = False) -> None:
        self._prompts = prompts
        self._registry = CollectorRegistry()
        kind = ("mode", "model", "engine")
        self._requests = Counter(
            "musicgen_requests", "Requests by how they ended", (*kind, "outcome"), registry=self._registry
        )
        self._seconds = Histogram(
            "musicgen_request_seconds", "Work on a request", kind, buckets=_SECONDS, registry=self._registry
        )
        self._waits = Histogram(
            "musicgen_wait_seconds", "Waiting for the engine", buckets=_SECONDS, registry=self._registry
        )
        self._stages = Histogram(
            "musicgen_stage_seconds", "A stage of a request", ("stage",), buckets=_SECONDS, registry=self._registry
        )
        self._takes = Counter("musicgen_takes", "Takes made", ("model",), registry=self._registry)
        self._music = Counter("musicgen_music_seconds", "Music made", ("model",), registry=self._registry)
        self._deaths = Counter(
            "musicgen_engine_deaths", "Ends of the engine process that nobody wished", registry=self._registry
        )
        self._queue = Gauge("musicgen_queue_length", "Requests that wait or run", registry=self._registry)
        self._state = Gauge("musicgen_engine_state", "1 for the state it is in", ("state",), registry=self._registry)
        ProcessCollector(registry=self._registry)

    def ended(self, number: int | None, request: Request, times: Times, end: Event | AppError, stopping: bool) -> None:
        """`end`: what the request ended with. `number`: None where it was refused. `stopping`: its user ended it."""
        takes = end.takes if isinstance(end, Finished) else ()
        record: Mapping = takes[0].record if takes else {}
        mode = _one_of(MODES, request.mode)
        model = _one_of(MENU, request.model)
        engine = _one_of(ENGINES, record.get("engine") or request.engine)
        outcome = _outcome(number, end, stopping)
        waited, worked = times.spent()
        stages = record.get("stages") or {}
        self._requests.labels(mode, model, engine, outcome).inc()
        if number is not None:
            self._waits.observe(waited)
        if takes:
            self._seconds.labels(mode, model, engine).observe(worked)
            self._takes.labels(model).inc(len(takes))
            self._music.labels(model).inc(sum(take.seconds for take in takes))
            for stage, seconds in stages.items():
                self._stages.labels(stage).observe(seconds)
        line = {
            "id": number,
            "mode": mode,
            "model": model,
            "engine": engine,
            "outcome": outcome,
            "fault": end.key if isinstance(end, AppError) else None,
            "takes": len(takes) or None,
            "tokens": record.get("tokens"),
            "waited": f"{waited:.3f}",
            "seconds": f"{worked:.3f}",
            **{stage: f"{seconds:.3f}" for stage, seconds in stages.items()},
            "prompts": json.dumps(" | ".join(map(str, request.prompts)), ensure_ascii=False) if self._prompts else None,
        }
        log.info("request %s", " ".join(f"{name}={value}" for name, value in line.items() if value is not None))

    def engine_died(self) -> None:
        self._deaths.inc()

    def metrics(self, health: Health) -> bytes:
        """All figures in Prometheus' text format."""
        self._queue.set(health.queue)
        for state in STATES:
            self._state.labels(state).set(state == health.state)
        return generate_latest(self._registry)


def _one_of(known, name: object) -> str:
    return name if isinstance(name, str) and name in known else "other"


def _outcome(number: int | None, end: Event | AppError, stopping: bool) -> str:
    if isinstance(end, Finished):
        return "stopped" if stopping else "done"
    return "refused" if number is None or isinstance(end, InputError) else "failed"
