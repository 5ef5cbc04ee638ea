"""The page's side of the engine: requests wait their turn here, and a runner makes them (musicgen_ui/runner.py).

A runner that dies is started again: its request gets one sentence, the others go on. Of more than one runner
(musicgen_ui/replicas.py) each takes the next request when it is free.
"""

import atexit
import itertools
import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from musicgen_ui import checkpoints, worker
from musicgen_ui.download import DownloadStopped, download
from musicgen_ui.errors import AppError, MachineError
from musicgen_ui.events import Downloading, Event, Finished, Loaded, Loading, Queued, Ready, Starting
from musicgen_ui.journal import Health, Journal, Times
from musicgen_ui.limits import Limits
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.request import Request, checked, checked_for_model
from musicgen_ui.runner import PRELOAD, LocalRunner, Runner, RunnerDied
from musicgen_ui.windows import effort, plan

_START_ATTEMPTS = 3
log = logging.getLogger(__name__)


class Job:
    """One request on its way. Iterating over it gives its events and blocks between them."""

    def __init__(self, number: int, request: Request, owner: str, address: str, engine: "Engine") -> None:
        self.number, self.request, self.owner, self.address = number, request, owner, address
        self._engine = engine
        self._events: queue.SimpleQueue[Event | AppError] = queue.SimpleQueue()
        self.times = Times()
        self.folder: Path | None = None
        self.stopping = False
        self.over = False
        self.begun = False
        self.retried = False

    def __iter__(self) -> Iterator[Event]:
        """Events as they come, `Finished` the last. Raises the AppError that ended the request otherwise."""
        while True:
            event = self._events.get()
            if isinstance(event, AppError):
                raise event
            yield event
            if isinstance(event, Finished):
                return

    def stop(self) -> None:
        """Ends the request within one step; `Finished` brings what was made."""
        self._engine._stop(self, keep=True)

    def abandon(self) -> None:
        """Ends the request: nobody waits for it any more."""
        self._engine._stop(self, keep=False)

    def tell(self, event: Event | AppError) -> None:
        if not self.over:
            if isinstance(event, (Finished, AppError)):
                self.over = True
                self._engine.journal.ended(self.number, self.request, self.times, event, self.stopping)
            self._events.put(event)


@dataclass(eq=False)
class _Lane:
    """A runner, and how things stand with it."""

    runner: Runner
    thread: threading.Thread | None = None
    status: Event | None = None
    ready: bool = False
    running: Job | None = None
    failures: int = 0
    """to start, one after the other"""

    @property
    def is_broken(self) -> bool:
        return self.failures >= _START_ATTEMPTS or bool(self.thread and not self.thread.is_alive())


class Engine:
    """A bounded queue of requests before a worker process of this machine, which loads the `preload` checkpoints first.

    `runners`: what makes the requests instead; they download what they lack themselves.
    """

    def __init__(
        self,
        limits: Limits,
        preload: tuple[str, ...] = PRELOAD,
        journal: Journal | None = None,
        runners: Sequence[Runner] = (),
    ) -> None:
        self._limits = limits
        self.journal = journal or Journal()
        self._lanes = [_Lane(runner) for runner in runners or [LocalRunner(limits, preload)]]
        self._downloads = not runners
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._waiting: list[Job] = []
        self._downloading: set[Job] = set()
        self._draining = self._closed = False
        self._infos: dict[str, ModelInfo] = {}
        self._seconds_per_token: dict[tuple[str, int], float] = {}

    def start(self) -> None:
        """Starts the runners in the background."""
        atexit.register(self.close)  # or this process would end by waiting for one that ignores SIGTERM
        for lane in self._lanes:
            lane.thread = threading.Thread(target=self._dispatch, args=(lane,), name="engine", daemon=True)
            lane.thread.start()

    def close(self) -> None:
        """Ends the runners; requests that still wait are told so."""
        atexit.unregister(self.close)
        with self._changed:
            self._closed = True
            jobs = self._jobs()
            self._changed.notify_all()
        for job in jobs:
            job.tell(MachineError("error.engine_closed"))
        for lane in self._lanes:
            lane.runner.close()

    def drain(self) -> None:
        """Takes no more requests and tells those that wait so; what runs goes on. `close` is yet to come."""
        with self._changed:
            self._draining = True
            waiting = [*self._waiting, *self._downloading]
            self._waiting.clear()
            for job in self._downloading:
                job.stopping = True
        for job in waiting:
            job.tell(MachineError("error.engine_stopping"))

    def stop_running(self) -> None:
        """Ends what runs as its user's Stop would: what was made comes to its page."""
        for job in self._running():
            job.stop()

    def health(self) -> Health:
        with self._changed:
            queue = len(self._jobs())
            if self._draining or self._closed:
                state = "stopping"
            elif all(lane.is_broken for lane in self._lanes):
                state = "broken"
            elif self._running():
                state = "working"
            else:
                states: dict[type, str] = {Ready: "ready", Loading: "loading", Loaded: "loading"}
                state = states.get(type(self.status()), "starting")
        return Health(state, queue)

    def status(self) -> Event | None:
        """What the engine itself is doing: Starting, Loading, Loaded, Ready; None before `start`.

        Of several runners the one's that is furthest.
        """
        order = (type(None), Starting, Loading, Loaded, Ready)
        return max((lane.status for lane in self._lanes), key=lambda status: order.index(type(status)))

    def info(self, model: str) -> ModelInfo:
        """`model`'s sizes and generation config: the loaded model's own, else its files', else as published."""
        return self._infos.get(model) or checkpoints.info(model, self._limits.own_models)

    def seconds_per_token(self, model: str, rows: int = 1, guided: bool = True) -> float | None:
        """As measured on this machine with `rows` takes, or with the nearest number of them; None if never.

        Guidance doubles the decoder's rows.
        """
        rows *= 1 + guided
        measured = {known: value for (name, known), value in list(self._seconds_per_token.items()) if name == model}
        return measured[min(measured, key=lambda known: abs(known - rows))] if measured else None

    def submit(self, request: Request, owner: str = "", address: str = "") -> Job:
        """Puts `request` into the queue. `address`: where its owner is on the internet; "" is nowhere.

        Raises InputError for a bad one, MachineError when the queue is full, or as full as one user, or one address,
        may make it.
        """
        try:
            return self._submit(request, owner, address)
        except AppError as fault:
            self.journal.ended(None, request, Times(), fault, stopping=False)
            raise

    def _submit(self, request: Request, owner: str, address: str) -> Job:
        request = checked(request, self._limits)
        place = checkpoints.locate(request.model, self._limits.own_models)
        job = Job(next(self._numbers), request, owner, address, self)
        job.folder = place if isinstance(place, Path) else checkpoints.downloaded(place)
        if job.folder is not None:
            checked_for_model(request, self.info(request.model), self._limits)
        elif request.model in checkpoints.MENU:  # not here yet: better refused now than after the download
            checked_for_model(request, checkpoints.published_info(checkpoints.MENU[request.model]), self._limits)
        with self._changed:
            if self._closed:
                raise MachineError("error.engine_closed")
            if self._draining:
                raise MachineError("error.engine_stopping")
            if len(self._jobs()) >= self._limits.queue:
                raise MachineError("error.queue_full", limit=self._limits.queue)
            if owner and sum(other.owner == owner for other in self._jobs()) >= self._limits.queue_per_user:
                raise MachineError("error.queue_full_for_you", limit=self._limits.queue_per_user)
            if address and sum(other.address == address for other in self._jobs()) >= self._limits.queue_per_address:
                raise MachineError("error.queue_full_for_address", limit=self._limits.queue_per_address)
            if job.folder is not None or not self._downloads:
                self._enqueue(job)
            else:
                self._downloading.add(job)
                threading.Thread(target=self._download, args=(job, str(place)), daemon=True).start()
        return job

    def forget(self, owner: str) -> None:
        """Ends all requests of `owner`, whose page is closed."""
        with self._changed:
            jobs = self._jobs()
        for job in jobs:
            if job.owner == owner:
                job.abandon()

    def _jobs(self) -> list[Job]:  # holding self._changed
        return [*self._waiting, *self._downloading, *self._running()]

    def _running(self) -> list[Job]:
        return [job for lane in self._lanes if (job := lane.running)]

    def _enqueue(self, job: Job) -> None:  # holding self._changed
        self._waiting.append(job)
        self._tell_places()
        self._changed.notify_all()

    def _tell_places(self) -> None:  # holding self._changed
        for place, job in enumerate(self._waiting):
            job.tell(Queued(place + len(self._running())))

    def _stop(self, job: Job, keep: bool) -> None:
        with self._changed:
            job.stopping = True
            if job in self._waiting:
                self._waiting.remove(job)
                job.tell(Finished(()))
                self._tell_places()
            for lane in self._lanes:
                if lane.running is job:
                    lane.runner.stop(job.number, keep)

    def _download(self, job: Job, hub_id: str) -> None:
        """In a thread of its own: a download, or a look at whether what came is right, takes nobody's turn."""
        model = job.request.model
        job.tell(Loading(model) if checkpoints.cached(hub_id) else Downloading(model, 0, 0))
        fault: AppError | None = None
        try:
            job.folder = download(
                hub_id,
                lambda done, total: job.tell(Downloading(model, done, total)),
                lambda: job.stopping or self._closed,
            )
            checked_for_model(job.request, self.info(model), self._limits)
        except DownloadStopped:
            pass
        except AppError as problem:
            fault = problem
        except Exception:
            log.exception("download of %s failed", hub_id)
            fault = MachineError("error.unexpected")
        with self._changed:
            self._downloading.discard(job)
            if fault is not None:
                job.tell(fault)
            elif job.stopping or job.folder is None:
                job.tell(Finished(()))
            else:
                self._enqueue(job)

    def _dispatch(self, lane: _Lane) -> None:
        """A lane's thread: keeps its runner alive and hands it one request after the other."""
        while not self._closed:
            if not lane.ready:
                try:
                    self._start(lane)
                    lane.failures = 0
                except RunnerDied as death:
                    if self._closed:
                        return
                    lane.failures += 1
                    log.error("the engine can't be started (%s)", death, exc_info=death.__cause__)
                    self.journal.engine_died()
                    if all(other.failures >= _START_ATTEMPTS for other in self._lanes):
                        self._fail_all(MachineError("error.engine_does_not_start"))
                    with self._changed:
                        self._changed.wait(timeout=min(60, 2**lane.failures))
                    continue
            try:
                job = self._next_job(lane)
                if job is None:
                    continue
                self._serve(lane, job)
            except RunnerDied as death:
                if self._closed:
                    return
                log.error("the engine ended (%s)", death, exc_info=death.__cause__)
                self.journal.engine_died()
                lane.ready = False
                with self._changed:
                    self._blame(lane.running, death)
                    lane.running = None
                    self._changed.notify_all()
            except Exception:  # a bug: one request's loss, not the end of this thread
                log.exception("the engine's thread failed")
                lane.ready = False
                with self._changed:
                    job, lane.running = lane.running, None
                if job:
                    job.tell(MachineError("error.unexpected"))

    def _blame(self, job: Job | None, death: RunnerDied) -> None:  # holding self._changed
        """Tells `job` that the process died on it; one that it died before is served again."""
        if job and not job.begun and not job.retried and not self._draining:
            job.retried = True
            self._waiting.insert(0, job)
        elif job:
            job.tell(MachineError("error.engine_killed" if death.exit_code == -9 else "error.engine_died"))

    def _start(self, lane: _Lane) -> None:
        lane.status = Starting()
        self._infos.clear()
        for message in lane.runner.start():
            self._hear(lane, message, None)
        lane.ready = True

    def _next_job(self, lane: _Lane) -> Job | None:
        """Waits for one, watching the idle runner meanwhile."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout=1.0)
            if self._waiting:
                job = lane.running = self._waiting.pop(0)
                job.times.begun = time.monotonic()
                self._tell_places()
                return job
        lane.runner.check()
        return None

    def _serve(self, lane: _Lane, job: Job) -> None:
        for message in lane.runner.make(job.number, job.request, job.folder):
            self._hear(lane, message, job)
        lane.status = Ready()
        with self._changed:
            lane.running = None
            self._tell_places()

    def _hear(self, lane: _Lane, message: worker.Message, job: Job | None) -> None:
        if isinstance(message, worker.Measured):
            self._seconds_per_token[message.info.name, 2] = message.seconds_per_token
        elif isinstance(message, worker.Failed):
            if job and job.number == message.job:
                job.tell(message.fault)
        else:
            number, event = message
            if isinstance(event, (Starting, Loading, Loaded, Ready)):
                lane.status = event
            if isinstance(event, Starting):
                self._infos.clear()
            if isinstance(event, Loaded):
                self._infos[event.info.name] = event.info
            if job and job.number == number:
                job.begun = job.begun or not isinstance(event, (Starting, Downloading))
                if isinstance(event, Finished):
                    self._measure(job, event)
                job.tell(event)

    def _measure(self, job: Job, finished: Finished) -> None:
        """The pace of the engine that is taken where none is named."""
        if job.request.engine != "auto":
            return
        if finished.takes and finished.takes[0].record["tokens"] >= worker.WARM_UP_TOKENS:
            record = finished.takes[0].record
            rows = len(finished.takes) * (1 + (record["guidance_scale"] > 1))
            steps = effort(plan(self.info(job.request.model), 0, record["tokens"], record["section_frames"]))
            pace = sum(record["stages"].values()) / steps
            known = self._seconds_per_token.get((job.request.model, rows), pace)
            self._seconds_per_token[job.request.model, rows] = (pace + known) / 2

    def _fail_all(self, fault: AppError) -> None:
        with self._changed:
            for job in self._waiting:
                job.tell(fault)
            self._waiting.clear()
