"""What makes the requests, one at a time: a worker process of this machine, started anew when it dies.

The queue (musicgen_ui/engine.py) knows only the `Runner` surface; musicgen_ui/replicas.py has another behind it.
"""

import logging
import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from musicgen_ui import worker
from musicgen_ui.checkpoints import MENU
from musicgen_ui.events import Finished, Loaded, Ready, Starting
from musicgen_ui.limits import Limits
from musicgen_ui.request import Request

PRELOAD = ("nano", "nano-melody")
log = logging.getLogger(__name__)


class RunnerDied(Exception):
    """It can't go on: `start` has to be called. `exit_code`: of the process, where one is known."""

    def __init__(self, exit_code: int | None = None) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"exit code {self.exit_code}"


class Runner(Protocol):
    def start(self) -> Iterator[worker.Message]:
        """What happens until requests can be made; what was begun before ends. Raises RunnerDied."""

    def make(self, number: int, request: Request, folder: Path | None) -> Iterator[worker.Message]:
        """What happens until `Finished` or `Failed` of request `number`, the last. Raises RunnerDied."""

    def stop(self, number: int, keep: bool) -> None:
        """Ends request `number`, from any thread; `keep`: whether anybody waits for what was made."""

    def check(self) -> None:
        """Raises RunnerDied where it died while it had nothing to do."""

    def close(self) -> None:
        """Ends it for good, from any thread."""


class LocalRunner:
    """A worker process (musicgen_ui/worker.py) under supervision."""

    def __init__(self, limits: Limits, preload: tuple[str, ...] = PRELOAD) -> None:
        self._limits = limits
        self._preload = {name: folder for name in preload if (folder := MENU[name].folder)}
        self._worker: WorkerProcess | None = None
        self._loaded: set[str] = set()
        self.stopped: set[int] = set()
        self._closing = threading.Lock()
        self._closed = False

    def start(self) -> Iterator[worker.Message]:
        self._loaded.clear()
        try:
            with self._closing:
                if self._worker:
                    self._worker.kill()
                if self._closed:
                    raise RunnerDied
                self._worker = WorkerProcess(self._limits)
        except OSError as fault:  # no memory or no file descriptors for one more process
            raise RunnerDied from fault
        self._worker.send(worker.Preload(self._preload))
        message: worker.Message | None = None
        while message != (None, Ready()):
            message = self._receive()
            yield message

    def make(self, number: int, request: Request, folder: Path | None) -> Iterator[worker.Message]:
        assert folder
        if self._must_make_room_for(request.model):
            log.info("a new engine process for %s", request.model)
            yield number, Starting()
            yield from self.start()
        if not self._worker:
            raise RunnerDied
        self._worker.send(worker.Run(number, request, folder))
        if number in self.stopped:  # the process that was told of it may not be this one
            self._worker.send(worker.Stop(number, keep=False))
        message: worker.Message | None = None
        while not _ends(message, number):
            message = self._receive()
            yield message
        self.stopped.clear()

    def stop(self, number: int, keep: bool) -> None:
        self.stopped.add(number)
        if self._worker:
            self._worker.send(worker.Stop(number, keep))

    def check(self) -> None:
        if not self._worker:
            raise RunnerDied
        if not self._worker.alive:
            self._worker.receive()

    def close(self) -> None:
        with self._closing:
            self._closed = True
            if self._worker:
                self._worker.kill()

    def _must_make_room_for(self, model: str) -> bool:
        """Whether another checkpoint besides the bundled ones is loaded: only a process's end gives all memory back."""
        return model not in self._loaded and any(name not in self._preload for name in self._loaded)

    def _receive(self) -> worker.Message:
        assert self._worker
        message = self._worker.receive()
        if isinstance(message, tuple) and isinstance(message[1], Loaded):
            self._loaded.add(message[1].info.name)
        return message


def _ends(message: worker.Message | None, number: int) -> bool:
    if isinstance(message, tuple):
        return message[0] == number and isinstance(message[1], Finished)
    return isinstance(message, worker.Failed) and message.job == number


class WorkerProcess:
    """The process and its pipe."""

    def __init__(self, limits: Limits) -> None:
        self._stall_seconds = limits.stall_seconds
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=worker.main, args=(theirs, limits), name="musicgen engine", daemon=True)
        self._process.start()
        theirs.close()
        self._sending = threading.Lock()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def send(self, message: object) -> None:
        try:
            with self._sending:
                self._pipe.send(message)
        except OSError:
            pass  # it is dead: `receive` says so

    def receive(self) -> worker.Message:
        """The next message; RunnerDied when there will be none, or was none for too long."""
        try:
            if not self._pipe.poll(self._stall_seconds):
                log.error("the engine process was silent for %g s and is ended", self._stall_seconds)
                self.kill()
                raise RunnerDied
            return self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(timeout=5)
            raise RunnerDied(self._process.exitcode) from None

    def kill(self) -> None:
        self._process.kill()
        self._process.join(timeout=5)
        self._pipe.close()
