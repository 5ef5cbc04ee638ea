"""The engine process: owns the pipeline, does one thing at a time, and tells its parent all about it.

It is spawned by `engine.Engine` and talks through one duplex pipe. MindNLP is imported here and nowhere else
in the page's app: it takes seconds, isn't thread-safe, and may die natively without taking the page along.
"""

import logging
import os
import queue
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from musicgen_ui.errors import AppError, MachineError
from musicgen_ui.events import Decoding, Event, Finished, Generating, Loaded, Loading, Ready, Sound
from musicgen_ui.limits import Limits
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.request import Request

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
    keep: bool
    """whether anybody waits for what was made"""


# To the parent, besides (job, Event), where job is None for the engine as a whole:
@dataclass(frozen=True)
class Measured:
    """`info`'s model takes `seconds_per_token`, the decoding of its sound included."""

    info: ModelInfo
    seconds_per_token: float


@dataclass(frozen=True)
class Failed:
    job: int
    fault: AppError


Message = Measured | Failed | tuple[int | None, Event]


def main(connection: Connection, limits: Limits) -> None:
    """The process: reads messages until the parent hangs up."""
    for wish in (signal.SIGINT, signal.SIGTERM):  # Ctrl+C and a service's end reach the parent too, whose matter it is
        signal.signal(wish, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s engine %(levelname)s %(message)s")
    work: queue.SimpleQueue = queue.SimpleQueue()
    stopped: dict[int, bool] = {}
    threading.Thread(target=_listen, args=(connection, work, stopped), name="listener", daemon=True).start()

    from musicgen_ui.pipeline import Pipeline

    worker = _Worker(connection, Pipeline(limits), stopped)
    while True:
        message = work.get()
        if isinstance(message, Preload):
            worker.preload(message)
        else:
            worker.run(message)


def _listen(connection: Connection, work: queue.SimpleQueue, stopped: dict[int, bool]) -> None:
    try:
        while True:
            message = connection.recv()
            if isinstance(message, Stop):
                stopped[message.job] = message.keep
            else:
                work.put(message)
    except (EOFError, OSError):
        os._exit(0)  # the page is gone, and whatever runs here runs for nobody
    except BaseException:  # without this thread the process would hear nothing more
        log.exception("the engine can't read its messages")
        os._exit(1)


class _Abandoned(Exception):
    """Nobody waits for this request any more."""


class _Worker:
    def __init__(self, connection: Connection, pipeline, stopped: dict[int, bool]) -> None:
        self.connection, self.pipeline, self.stopped = connection, pipeline, stopped

    def preload(self, message: Preload) -> None:
        for name, folder in message.folders.items():
            self._tell(None, Loading(name))
            try:
                model = self.pipeline.load(name, folder)
                self._begin(name)  # compiles
                started = time.perf_counter()
                self._begin(name)
                seconds = (time.perf_counter() - started) / WARM_UP_TOKENS
            except Exception:
                log.exception("%s could not be preloaded", name)
                continue
            self.connection.send(Measured(model.info, seconds))
            self._tell(None, Loaded(model.info))
        self._tell(None, Ready())

    def _begin(self, name: str) -> None:
        """Makes the first tokens of a take of the length that is asked for when a call names none."""
        done = 0

        def count(stage: str, tokens: int, total: int) -> None:
            nonlocal done
            done = tokens

        request = Request(mode="text", prompts=("warm up",), model=name, seed=0)
        self.pipeline.run(request, count, lambda: done >= WARM_UP_TOKENS)

    def run(self, message: Run) -> None:
        job, request = message.job, message.request
        try:
            if job in self.stopped:
                raise _Abandoned
            new = request.model not in self.pipeline
            if new:
                self._tell(job, Loading(request.model))
                from musicgen_ui.memory import check_room_for

                check_room_for(message.folder, request.model)
            info = self.pipeline.load(request.model, message.folder, request.engine).info
            if new:
                self._tell(job, Loaded(info))
            clip_seconds = request.clips[0].seconds if request.mode == "continue" else 0.0
            reporter = _Reporter(self, job, info, clip_seconds)
            takes = self.pipeline.run(request, reporter, lambda: job in self.stopped, reporter.heard)
            self._tell(job, Finished(tuple(takes)))
        except _Abandoned:
            self._tell(job, Finished(()))
        except AppError as fault:
            if fault.__cause__:
                log.warning("%s", fault, exc_info=fault)
            self.connection.send(Failed(job, fault))
        except MemoryError:
            self.connection.send(Failed(job, MachineError("error.out_of_memory", model=request.model)))
        except Exception:
            log.exception("request %d (%s on %s) failed", job, request.mode, request.model)
            self.connection.send(Failed(job, MachineError("error.unexpected")))
        finally:
            self.stopped.pop(job, None)

    def _tell(self, job: int | None, event: Event) -> None:
        self.connection.send((job, event))


class _Reporter:
    """Turns the pipeline's progress into events, not more of them than anyone can see."""

    def __init__(self, worker: _Worker, job: int, info: ModelInfo, clip_seconds: float) -> None:
        self._worker, self._job, self._info, self._clip_seconds = worker, job, info, clip_seconds
        self._first = self._last = 0.0
        self._total = 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.perf_counter()
        if stage == "codec":
            if not self._worker.stopped.get(self._job, True):
                raise _Abandoned
            self._worker._tell(self._job, Decoding())
            return
        self._total = total
        if done == 0:
            self._first = now
        elif now - self._last < _PROGRESS_SECONDS and done < total:
            return
        self._last = now
        self._worker._tell(self._job, Generating(done, total, (now - self._first) / max(done, 1)))

    def heard(self, piece: np.ndarray, start: int) -> None:
        """A piece of the first take, (channels, samples) float32, that begins at sample `start`."""
        pcm = np.round(piece.clip(-1, 1) * 32767).astype(np.int16)
        seconds = self._clip_seconds + self._info.seconds(self._total)
        self._worker._tell(self._job, Sound(pcm, start, self._info.sampling_rate, seconds))
