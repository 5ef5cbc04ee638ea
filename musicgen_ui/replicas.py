"""Engine processes as replicas of Ray Serve, on this machine or on many, behind the same queue.

Only imported where MUSICGEN_REPLICAS asks for it; Ray itself is in requirements-replicas.txt. RAY_ADDRESS names a
cluster, as Ray reads it; without it Ray runs on this machine, for itself.

Each replica is an application of its own, so that a Stop finds the one that has the request: of several replicas of one
application Serve chooses whom to call. Serve finds the place of each, and replaces one that dies.
"""

import contextlib
import functools
import importlib.util
import logging
import os
import pickle
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from musicgen_ui import checkpoints, worker
from musicgen_ui.download import DownloadStopped, download
from musicgen_ui.errors import AppError, MachineError
from musicgen_ui.events import Downloading, Finished, Loading
from musicgen_ui.limits import PREFIX, Limits, whole_number
from musicgen_ui.processors import processors
from musicgen_ui.request import Request, checked_for_model
from musicgen_ui.runner import LocalRunner, RunnerDied
from musicgen_ui.scratch import Scratch

VARIABLE = PREFIX + "REPLICAS"
MOST = 64
_APP = "musicgen-"
log = logging.getLogger(__name__)


def replicas(limits: Limits, environment: Mapping[str, str] = os.environ) -> "list[ServeRunner]":
    """A runner for each replica that MUSICGEN_REPLICAS asks for; the replicas begin to start.

    To be called in the main thread, and before anybody listens for SIGTERM: Ray takes it, and Ray's processes end with
    the thread that starts them. Raises InputError for what isn't a number of replicas, MachineError where Ray isn't
    installed or can't be reached.
    """
    number = whole_number(VARIABLE, environment.get(VARIABLE, ""), 1, MOST)
    if importlib.util.find_spec("ray") is None:
        raise MachineError("error.replicas_without_ray", name=VARIABLE)
    try:
        calls = _Calls()
        close = _connect(environment.get("RAY_ADDRESS", ""), number, calls)
        return [ServeRunner(handle, calls, close) for handle in _deploy(limits, number)]
    except Exception as fault:
        log.exception("Ray can't be used")
        raise MachineError("error.engine_does_not_start") from fault


class _Calls:
    """The calls of replicas that are under way. Ray ends a process that calls anything once Ray is shut down."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way = 0
        self._closed = False

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """A call's duration; whatever happens to the replica, or on the way, is its death to the queue."""
        with self._changed:
            if self._closed:
                raise RunnerDied
            self._under_way += 1
        try:
            yield
        except RunnerDied:  # the replica lives, its worker process doesn't
            raise
        except Exception as fault:
            raise RunnerDied from fault
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def refuse(self) -> None:
        """Every call from now on finds its replica dead."""
        with self._changed:
            self._closed = True

    def wait(self) -> None:
        """Until those under way are over, or will not be."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._under_way, timeout=5):
                log.error("%d calls of replicas don't end", self._under_way)


def _connect(address: str, number: int, calls: _Calls) -> Callable[[], None]:
    """To the cluster at `address`, or to a new one of this machine alone. What it gives back ends that."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # or whoever reaches a replica's port runs what they like
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # or a call after the end would start another Ray
    scratch = None
    if not address:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # no other machines: Ray is on 127.0.0.1
        os.environ.setdefault("RAY_worker_niceness", "0")  # or replicas would give way to all else on the machine
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, processors() // number)))  # or Ray would say 1
        # Ray itself never removes its logs, and its sockets want a short path.
        scratch = Scratch(Path(os.environ.get("RAY_TMPDIR", "/tmp"), "musicgen-ray"))
    import ray
    from ray import serve

    if scratch:
        cores = max(number, processors())
        ray.init(address="local", include_dashboard=False, num_cpus=cores, _temp_dir=str(scratch.folder))
    else:
        ray.init(address=address)

    def close() -> None:
        if not ray.is_initialized():
            return
        calls.refuse()
        end_serve = serve.shutdown if scratch else _delete  # of a cluster others may use the rest
        for end in (end_serve, calls.wait, functools.partial(ray.shutdown, wait_for_processes=True)):
            try:
                end()
            except Exception:
                log.exception("the replicas could not be ended")
        if scratch:
            scratch.close()

    return close


def _deploy(limits: Limits, number: int) -> list[Any]:
    """Handles of the replicas, at once; a call waits until its replica is ready."""
    from ray import serve

    serve.start(proxy_location="Disabled")  # no port for HTTP
    _delete()  # what a page that was killed left on the cluster
    deployed = serve.deployment(
        ray_actor_options={"num_cpus": 1},
        graceful_shutdown_timeout_s=1.0,  # when it is ended, the queue has let its request end already
        logging_config={"enable_access_log": False},
    )
    replica = deployed(Replica).bind(limits)
    targets = [serve.RunTarget(replica, name=f"{_APP}{n}", route_prefix=None) for n in range(number)]
    return serve.run_many(targets, wait_for_applications_running=False)


def _delete() -> None:
    from ray import serve

    for name in serve.status().applications:
        if name.startswith(_APP):
            serve.delete(name)


class ServeRunner:
    """A replica, seen from the page."""

    def __init__(self, handle: Any, calls: _Calls, close: Callable[[], None]) -> None:
        self._handle, self._calls, self._close = handle, calls, close

    def start(self) -> Iterator[worker.Message]:
        return self._stream("start")

    def make(self, number: int, request: Request, folder: Path | None) -> Iterator[worker.Message]:
        return self._stream("make", number, request)

    def stop(self, number: int, keep: bool) -> None:
        with contextlib.suppress(RunnerDied), self._calls.one():
            self._handle.stop.remote(number, keep)  # not waited for: the queue stands still meanwhile

    def check(self) -> None:
        with self._calls.one():
            if death := self._handle.check.remote().result():
                raise death

    def close(self) -> None:
        self._close()

    def _stream(self, method: str, *values: object) -> Iterator[worker.Message]:
        with self._calls.one():
            for message in map(pickle.loads, self._handle.options(method_name=method, stream=True).remote(*values)):
                if isinstance(message, RunnerDied):
                    raise message
                yield message


class Replica:
    """A worker process of the replica's machine. Messages go pickled, as through a pipe: Ray's own arrays can't be
    written to, and take room in its store for as long as a take is kept."""

    def __init__(self, limits: Limits) -> None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s replica %(levelname)s %(message)s")
        # The worker process would import this one's main file, and with it protobuf before MindSpore has chosen how.
        vars(sys.modules["__main__"]).pop("__file__", None)
        self._limits = limits
        self._runner = LocalRunner(limits)

    def start(self) -> Iterator[bytes]:
        yield from _pickled(self._runner.start())

    def make(self, number: int, request: Request) -> Iterator[bytes]:
        yield from _pickled(self._make(number, request))

    def stop(self, number: int, keep: bool) -> None:
        self._runner.stop(number, keep)

    def check(self) -> RunnerDied | None:
        try:
            self._runner.check()
        except RunnerDied as death:
            return death
        return None

    def _make(self, number: int, request: Request) -> Iterator[worker.Message]:
        try:
            place = checkpoints.locate(request.model, self._limits.own_models)
            folder = place if isinstance(place, Path) else checkpoints.downloaded(place)
            if folder is None:
                folder = yield from self._download(number, request.model, str(place))
                checked_for_model(request, checkpoints.info(request.model, self._limits.own_models), self._limits)
            yield from self._runner.make(number, request, folder)
        except DownloadStopped:
            yield number, Finished(())
        except AppError as fault:
            yield worker.Failed(number, fault)

    def _download(self, number: int, model: str, hub_id: str) -> Generator[worker.Message, None, Path]:
        yield number, Loading(model) if checkpoints.cached(hub_id) else Downloading(model, 0, 0)
        told: queue.SimpleQueue[worker.Message | None] = queue.SimpleQueue()
        with ThreadPoolExecutor(1) as thread:
            folder = thread.submit(
                download,
                hub_id,
                lambda done, total: told.put((number, Downloading(model, done, total))),
                lambda: number in self._runner.stopped,
            )
            folder.add_done_callback(lambda _: told.put(None))
            while message := told.get():
                yield message
        return folder.result()


def _pickled(messages: Iterator[worker.Message]) -> Iterator[bytes]:
    """The worker process's death is a message too: Serve would make a long story of an exception."""
    try:
        yield from map(pickle.dumps, messages)
    except RunnerDied as death:
        yield pickle.dumps(death)
