"""The engine process: owns the pipeline, does one thing at a time, and tells its parent all about it.

It is spawned by `engine.Engine` and talks through one duplex pipe. MindNLP is imported here and nowhere else
in the page's app: it takes seconds, isn't thread-safe, and may die natively without taking the page along.
"""

import logging
import os
import queue
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from musicgen_ui.errors import AppError, MachineError
from musicgen_ui.events import Decoding, Event, Finished, Generating, Loaded, Loading
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.request import Request, Settings

WARM_UP_TOKENS = 25
_PROGRESS_SECONDS = 0.1
log = logging.getLogger(__name__)


# From the parent:
@dataclass(frozen=True)
class Preload:
    """Load bundled checkpoints (name → folder) and measure their speed, before the first request."""

    folders: dict[str, Path]


@dataclass(frozen=True)
class Run:
    job: int
    request: Request
    folder: Path


@dataclass(frozen=True)
class Stop:
    job: int


# To the parent, besides (job, Event):
@dataclass(frozen=True)
class Ready:
    """Imports are done and what was to be preloaded is loaded."""


@dataclass(frozen=True)
class Measured:
    """`info`'s model takes `seconds_per_token`, the decoding of its sound included."""

    info: ModelInfo
    seconds_per_token: float


@dataclass(frozen=True)
class Failed:
    job: int
    fault: AppError


def main(connection: Connection) -> None:
    """The process: reads messages until the parent hangs up."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s engine %(levelname)s %(message)s")
    work: queue.SimpleQueue = queue.SimpleQueue()
    stopped: set[int] = set()
    threading.Thread(target=_listen, args=(connection, work, stopped), name="listener", daemon=True).start()

    from musicgen_ui.pipeline import Pipeline

    worker = _Worker(connection, Pipeline(), stopped)
    while True:
        message = work.get()
        if isinstance(message, Preload):
            worker.preload(message)
        else:
            worker.run(message)


def _listen(connection: Connection, work: queue.SimpleQueue, stopped: set[int]) -> None:
    try:
        while True:
            message = connection.recv()
            if isinstance(message, Stop):
                stopped.add(message.job)
            else:
                work.put(message)
    except (EOFError, OSError):
        os._exit(0)  # the page is gone, and whatever runs here runs for nobody


class _Worker:
    def __init__(self, connection: Connection, pipeline, stopped: set[int]) -> None:
        self.connection, self.pipeline, self.stopped = connection, pipeline, stopped

    def preload(self, message: Preload) -> None:
        for name, folder in message.folders.items():
            self._tell(None, Loading(name))
            try:
                model = self.pipeline.load(name, folder)
                started = time.perf_counter()
                self.pipeline.run(
                    Request(mode="text", prompts=("warm up",), model=name, seed=0, settings=Settings(WARM_UP_TOKENS))
                )
                seconds = (time.perf_counter() - started) / WARM_UP_TOKENS
            except Exception:
                log.exception("%s could not be preloaded", name)
                continue
            self.connection.send(Measured(model.info, seconds))
            self._tell(None, Loaded(model.info))
        self.connection.send(Ready())

    def run(self, message: Run) -> None:
        job, request = message.job, message.request
        try:
            if request.model not in self.pipeline:
                self._tell(job, Loading(request.model))
                from musicgen_ui.memory import check_room_for

                check_room_for(message.folder, request.model)
                self._tell(job, Loaded(self.pipeline.load(request.model, message.folder).info))
            takes = self.pipeline.run(request, _Reporter(self, job), lambda: job in self.stopped)
            self._tell(job, Finished(tuple(takes)))
        except AppError as fault:
            self.connection.send(Failed(job, fault))
        except MemoryError:
            self.connection.send(Failed(job, MachineError("error.out_of_memory", model=request.model)))
        except Exception:
            log.exception("request %d (%s on %s) failed", job, request.mode, request.model)
            self.connection.send(Failed(job, MachineError("error.unexpected")))
        finally:
            self.stopped.difference_update([number for number in tuple(self.stopped) if number <= job])

    def _tell(self, job: int | None, event: Event) -> None:
        self.connection.send((job, event))


class _Reporter:
    """Turns the pipeline's progress into events, not more of them than anyone can see."""

    def __init__(self, worker: _Worker, job: int) -> None:
        self._worker, self._job = worker, job
        self._first = self._last = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.perf_counter()
        if stage == "codec":
            self._worker._tell(self._job, Decoding())
            return
        if done == 0:
            self._first = now
        elif now - self._last < _PROGRESS_SECONDS and done < total:
            return
        self._last = now
        self._worker._tell(self._job, Generating(done, total, (now - self._first) / max(done, 1)))
