"""Engine processes as replicas of a Ray Serve deployment, on this machine or on many, behind the same queue.

Only imported where MUSICGEN_REPLICAS asks for it; Ray itself is in requirements-replicas.txt. RAY_ADDRESS names a
cluster, as Ray reads it; without it Ray runs on this machine, for itself.

A request goes to whichever replica is free, and its messages stream back. A Stop can't take that way, since a busy
replica takes no second call: it goes by a small actor beside the page (`Wishes`), which the replica listens to. When
the page's process ends, so does the actor, and with it what still runs for nobody.
"""

import asyncio
import contextlib
import importlib.util
import logging
import os
import pickle
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicgen_ui import checkpoints, worker
from musicgen_ui.download import DownloadStopped, download
from musicgen_ui.errors import AppError, MachineError
from musicgen_ui.events import Downloading, Finished, Loading, Ready, Starting
from musicgen_ui.limits import PREFIX, Limits, whole_number
from musicgen_ui.processors import processors
from musicgen_ui.request import Request
from musicgen_ui.runner import LocalRunner, RunnerDied

VARIABLE = PREFIX + "REPLICAS"
MOST = 64
_APP = "musicgen"
_HEALTH_SECONDS = 2.0  # between two looks at a replica
_LAST_SECONDS = 1.0  # that a replica has to end
log = logging.getLogger(__name__)


def replicas(limits: Limits, environment: Mapping[str, str] = os.environ) -> "list[ServeRunner]":
    """A runner for each replica that MUSICGEN_REPLICAS asks for, before one deployment, which begins to start.

    To be called in the main thread, and before anybody listens for SIGTERM: Ray takes it, and Ray's processes end with
    the thread that starts them. Raises InputError for what isn't a number of replicas, MachineError where Ray isn't
    installed or can't be reached.
    """
    number = whole_number(VARIABLE, environment.get(VARIABLE, ""), 1, MOST)
    if importlib.util.find_spec("ray") is None:
        raise MachineError("error.replicas_without_ray", name=VARIABLE)
    deployment = Deployment(limits, number, environment.get("RAY_ADDRESS", ""))
    return [ServeRunner(deployment) for _ in range(number)]


@dataclass(frozen=True)
class Died:
    """A replica's worker process ended. What follows in the stream is its new start."""

    exit_code: int | None


class Deployment:
    """The replicas, seen from the page."""

    def __init__(self, limits: Limits, number: int, address: str) -> None:
        self._ours = not address
        try:
            self._wishes: Any = self._connect(address, number)
            self._handle: Any = self._deploy(limits, number)
        except Exception as fault:
            log.exception("Ray can't be used")
            raise MachineError("error.engine_does_not_start") from fault

    def call(self, method: str, *values: object) -> Any:
        """`method` of a free replica; the answer is to be iterated over."""
        if self._handle is None:
            raise RunnerDied
        return getattr(self._handle.options(stream=True), method).remote(*values)

    def make(self, number: int, request: Request) -> Any:
        return self.call("make", number, request, self._wishes)

    def stop(self, number: int, keep: bool) -> None:
        if self._wishes is not None:
            self._wishes.stop.remote(number, keep)

    def over(self, number: int) -> None:
        if self._wishes is not None:
            self._wishes.over.remote(number)

    def close(self) -> None:
        """Ends the replicas, and Ray where it was started here."""
        if self._handle is None:
            return
        self._handle = self._wishes = None
        import ray
        from ray import serve

        try:
            if not self._ours:
                serve.delete(_APP)
            ray.shutdown()
        except Exception:
            log.exception("the replicas could not be ended")

    def _connect(self, address: str, number: int) -> Any:
        """The actor for what users want stopped."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if self._ours:
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # no other machines: on 127.0.0.1 alone
            os.environ.setdefault("RAY_worker_niceness", "0")  # or replicas would give way to all else on the machine
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        if self._ours:
            ray.init(address="local", include_dashboard=False, num_cpus=max(number, processors()))
        else:
            ray.init(address=address)
        beside_the_page = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        return ray.remote(num_cpus=0, scheduling_strategy=beside_the_page)(Wishes).remote()

    def _deploy(self, limits: Limits, number: int) -> Any:
        """The handle, at once; calls wait for the first replica that is ready."""
        from ray import serve

        serve.start(proxy_location="Disabled")  # no port for HTTP
        serve.delete(_APP)  # what a page that was killed left on the cluster
        deployment = serve.deployment(
            Replica,
            num_replicas=number,
            max_ongoing_requests=1,
            ray_actor_options={"num_cpus": 1},
            health_check_period_s=_HEALTH_SECONDS,
            graceful_shutdown_wait_loop_s=_LAST_SECONDS,
            graceful_shutdown_timeout_s=_LAST_SECONDS,
            logging_config={"enable_access_log": False},
        )
        target = serve.RunTarget(deployment.bind(limits), name=_APP, route_prefix=None)
        (handle,) = serve.run_many([target], wait_for_applications_running=False)
        return handle


class ServeRunner:
    """As many of these as there are replicas; each call goes to the replica that is free."""

    brings_checkpoints = True

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._stream: Any = None
        self._starts_anew = False

    def start(self) -> Iterator[worker.Message]:
        yield None, Starting()
        # A replica whose worker process died tells of the new one in the same stream.
        call = (lambda: self._stream) if self._starts_anew else (lambda: self._deployment.call("hello"))
        self._starts_anew = ready = False
        for message in self._read(call):
            ready = ready or message == (None, Ready())
            yield message
        if not ready:
            raise RunnerDied

    def make(self, number: int, request: Request, folder: Path | None) -> Iterator[worker.Message]:
        try:
            yield from self._read(lambda: self._deployment.make(number, request))
        finally:
            self._deployment.over(number)

    def stop(self, number: int, keep: bool) -> None:
        self._deployment.stop(number, keep)

    def check(self) -> None:
        """Serve looks after idle replicas."""

    def kill(self) -> None:
        if self._stream is not None:
            self._stream.cancel()

    def close(self) -> None:
        self._deployment.close()

    def _read(self, call: Callable[[], Any]) -> Iterator[worker.Message]:
        """What a replica tells. Whatever happens to it, or on the way, is its death to the queue."""
        try:
            self._stream = call()
            told = iter(self._stream)
        except RunnerDied:
            raise
        except Exception as fault:
            log.exception("the replicas can't be called")
            raise RunnerDied from fault
        while True:
            try:
                message = pickle.loads(next(told))
            except StopIteration:
                return
            except Exception as fault:
                log.error("a replica was lost: %s", fault)
                raise RunnerDied from fault
            if isinstance(message, Died):
                self._starts_anew = True
                raise RunnerDied(message.exit_code)
            yield message


class Wishes:
    """An actor beside the page: which requests are to be stopped, number → whether what was made is kept."""

    def __init__(self) -> None:
        self._wishes: dict[int, asyncio.Future[bool]] = {}

    async def stop(self, number: int, keep: bool) -> None:
        wish = self._wish(number)
        if not wish.done():
            wish.set_result(keep)

    async def wait(self, number: int) -> bool:
        """Returns when somebody wants request `number` stopped."""
        return await asyncio.shield(self._wish(number))

    async def over(self, number: int) -> None:
        wish = self._wishes.pop(number, None)
        if wish and not wish.done():
            wish.set_result(False)

    def _wish(self, number: int) -> "asyncio.Future[bool]":
        return self._wishes.setdefault(number, asyncio.get_running_loop().create_future())


Tell = Callable[[worker.Message | Died | None], None]


class Replica:
    """A worker process of the replica's machine. Messages go pickled, as through a pipe: arrays can be written to."""

    def __init__(self, limits: Limits) -> None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s replica %(levelname)s %(message)s")
        os.environ.pop("OMP_NUM_THREADS", None)  # Ray's: one thread an actor; the worker process may use the machine
        # The worker process would import this one's main file, and with it protobuf before MindSpore has chosen how.
        vars(sys.modules["__main__"]).pop("__file__", None)
        self._limits = limits
        self._runner = LocalRunner(limits)
        self._turn = threading.Lock()
        self._stopped: set[int] = set()
        self._start: list[worker.Message] = list(self._runner.start())

    async def hello(self) -> AsyncIterator[bytes]:
        """What was told at the start."""
        for message in self._start:
            yield pickle.dumps(message)

    async def make(self, number: int, request: Request, wishes: Any) -> AsyncIterator[bytes]:
        """Request `number`'s messages as they come."""
        told: asyncio.Queue[worker.Message | Died | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(message: worker.Message | Died | None) -> None:
            loop.call_soon_threadsafe(told.put_nowait, message)

        listening = asyncio.create_task(self._listen(number, wishes))
        making = threading.Thread(target=self._make, args=(number, request, tell), name="making", daemon=True)
        making.start()
        message: worker.Message | Died | None = (None, Starting())
        try:
            while (message := await told.get()) is not None:
                yield pickle.dumps(message)
        finally:
            listening.cancel()
            if message is not None:  # nobody reads on
                self._stop(number, keep=False)

    def check_health(self) -> None:
        """Called by Serve, which replaces a replica whose worker process died while it had nothing to do."""
        if not self._turn.locked() and not self._runner.alive:
            raise RuntimeError("the engine process has ended")

    async def _listen(self, number: int, wishes: Any) -> None:
        try:
            keep = await wishes.wait.remote(number)
        except Exception:  # the page is gone
            keep = False
        self._stop(number, keep)

    def _stop(self, number: int, keep: bool) -> None:
        self._stopped.add(number)
        self._runner.stop(number, keep)

    def _make(self, number: int, request: Request, tell: Tell) -> None:
        """In a thread of its own."""
        with self._turn:
            try:
                if not self._runner.alive:
                    tell((number, Starting()))
                    self._start_anew(tell)
                folder = self._folder(number, request.model, tell)
                for message in self._runner.make(number, request, folder):
                    tell(message)
            except DownloadStopped:
                tell((number, Finished(())))
            except AppError as fault:
                tell(worker.Failed(number, fault))
            except RunnerDied as death:
                log.error("the engine process ended (exit code %s)", death.exit_code)
                tell(Died(death.exit_code))
                self._start_once_more(tell)
            except Exception:
                log.exception("request %d failed", number)
                tell(worker.Failed(number, MachineError("error.unexpected")))
            finally:
                self._stopped.discard(number)
                tell(None)

    def _start_anew(self, tell: Tell) -> None:
        start = []
        for message in self._runner.start():
            start.append(message)
            tell(message)
        self._start = start

    def _start_once_more(self, tell: Tell) -> None:
        with contextlib.suppress(RunnerDied):  # Serve finds out by `check_health`
            self._start_anew(tell)

    def _folder(self, number: int, model: str, tell: Tell) -> Path:
        """`model`'s on this machine, downloaded if need be. Raises AppError, DownloadStopped."""
        place = checkpoints.locate(model, self._limits.own_models)
        if isinstance(place, Path):
            return place
        folder = checkpoints.downloaded(place)
        if folder is not None:
            return folder
        tell((number, Loading(model) if checkpoints.cached(place) else Downloading(model, 0, 0)))
        return download(
            place,
            lambda done, total: tell((number, Downloading(model, done, total))),
            lambda: number in self._stopped,
        )
