"""Several runners before one queue, and replicas as they are behind Ray Serve, which itself isn't here.

Only what Ray does is done otherwise: which replica is free, and how its messages come (`Nearby`).
benchmarks/replicas.py has all of it with Ray.
"""

import asyncio
import os
import pickle
import queue
import signal
import sys
import threading
import time

import numpy as np
import pytest

from musicgen_ui.engine import Engine
from musicgen_ui.errors import InputError, MachineError
from musicgen_ui.events import Finished, Generating, Queued, Ready, Starting
from musicgen_ui.journal import Health
from musicgen_ui.limits import Limits
from musicgen_ui.replicas import Died, Replica, ServeRunner, Wishes, replicas
from musicgen_ui.request import Request, Settings
from musicgen_ui.runner import RunnerDied

SHORT, LONG = Settings(max_new_tokens=30), Settings(max_new_tokens=1_200)


def request(settings=SHORT, **given):
    return Request(**{"prompts": ("slow bells",), "seed": 5, "settings": settings, **given})


def until(job, kind):
    for event in job:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind}")


def finished(job):
    return list(job)[-1]


def wait_for(true):
    deadline = time.monotonic() + 300
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class ByHand:
    """A runner whose requests end when the test says so."""

    brings_checkpoints = True

    def __init__(self, turns):
        self.turns = turns
        self.told = queue.SimpleQueue()
        self.made, self.stops, self.starts = [], [], 0
        self.can_start = True

    def start(self):
        yield None, Starting()
        if not self.can_start:
            raise RunnerDied(1)
        self.starts += 1
        yield None, Ready()

    def make(self, number, request, folder):
        self.made.append((number, request.model, folder))
        self.turns.append(number)
        yield number, Generating(0, 1, 0.0)
        while True:
            message = self.told.get()
            if isinstance(message, RunnerDied):
                raise message
            yield number, message
            if isinstance(message, Finished):
                return

    def stop(self, number, keep):
        self.stops.append((number, keep))
        self.told.put(Finished(()))

    def check(self): ...

    def kill(self): ...

    def close(self): ...


@pytest.fixture
def by_hand():
    """An engine with two runners by hand, ready."""
    turns = []
    runners = [ByHand(turns), ByHand(turns)]
    engine = Engine(Limits(queue=8, queue_per_user=8), runners=runners)
    engine.start()
    wait_for(lambda: all(runner.starts for runner in runners))
    yield engine, runners
    engine.close()


def whose(runners, job):
    """The runner that has `job`."""
    return next(runner for runner in runners if job.number in [number for number, *_ in runner.made])


def test_as_many_run_at_once_as_there_are_runners_and_the_places_are_true(by_hand):
    engine, runners = by_hand
    first, second, third, fourth = (engine.submit(request()) for _ in range(4))
    until(first, Generating)
    until(second, Generating)
    assert whose(runners, first) is not whose(runners, second)
    assert engine.health() == Health("working", 4)
    assert until(third, Queued).ahead <= 2
    whose(runners, second).told.put(Finished(()))
    until(third, Generating)
    assert whose(runners, third) is whose(runners, second)
    while until(fourth, Queued).ahead != 2:
        pass
    whose(runners, first).told.put(Finished(()))
    until(fourth, Generating)
    assert runners[0].turns == [job.number for job in (first, second, third, fourth)]


def test_a_stop_reaches_the_runner_that_has_the_request(by_hand):
    engine, runners = by_hand
    jobs = [engine.submit(request(), f"user {n}") for n in range(3)]
    for job in jobs[:2]:
        until(job, Generating)
    jobs[1].stop()
    assert finished(jobs[1]) == Finished(())
    until(jobs[2], Generating)
    engine.forget("user 2")
    assert finished(jobs[2]) == Finished(())
    assert whose(runners, jobs[1]).stops == [(jobs[1].number, True), (jobs[2].number, False)]
    assert whose(runners, jobs[0]).stops == []
    engine.stop_running()
    assert whose(runners, jobs[0]).stops == [(jobs[0].number, True)]


def test_a_runner_that_dies_costs_its_own_request_only(by_hand):
    engine, runners = by_hand
    lost, other, waiting = (engine.submit(request()) for _ in range(3))
    until(lost, Generating)
    until(other, Generating)
    died = whose(runners, lost)
    died.told.put(RunnerDied(-9))
    with pytest.raises(MachineError) as fault:
        finished(lost)
    assert fault.value.key == "error.engine_killed"
    until(waiting, Generating)
    assert whose(runners, waiting) is died
    assert died.starts == 2
    whose(runners, other).told.put(Finished(()))
    died.told.put(Finished(()))
    assert finished(other) == finished(waiting) == Finished(())


def test_while_one_runner_can_start_the_engine_is_well():
    turns = []
    runners = [ByHand(turns), ByHand(turns)]
    runners[0].can_start = False
    engine = Engine(Limits(), runners=runners)
    engine.start()
    try:
        wait_for(lambda: engine._lanes[0].failures and engine.status() == Ready())
        assert engine.health() == Health("ready", 0)
        job = engine.submit(request())
        until(job, Generating)
        assert whose(runners, job) is runners[1]
    finally:
        engine.close()


def test_what_is_not_here_is_the_runners_to_download(by_hand):
    engine, runners = by_hand
    job = engine.submit(request(model="small"))
    until(job, Generating)
    assert whose(runners, job).made == [(job.number, "small", None)]


def test_without_ray_there_is_a_sentence(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MachineError, match=r"MUSICGEN_REPLICAS .* requirements-replicas\.txt"):
        replicas(Limits(), {"MUSICGEN_REPLICAS": "2"})


@pytest.mark.parametrize("number", ["", "0", "two", "65"])
def test_what_is_no_number_of_replicas_is_refused(number):
    with pytest.raises(InputError, match="MUSICGEN_REPLICAS"):
        replicas(Limits(), {"MUSICGEN_REPLICAS": number})


class Remote:
    """A method as Ray has it."""

    def __init__(self, method, loop):
        self._method, self._loop = method, loop

    def remote(self, *values):
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._method(*values), self._loop))


class Nearby:
    """In place of the deployment: a free replica of this process."""

    def __init__(self, *replicas):
        self.replicas = replicas
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._free = queue.SimpleQueue()
        for replica in replicas:
            self._free.put(replica)
        self.wishes = Wishes()
        self.wait = Remote(self.wishes.wait, self._loop)

    def call(self, method, *values):
        replica = self._free.get()
        told = getattr(replica, method)(*values)
        try:
            while (message := self._run(anext(told, None))) is not None:
                yield message
        finally:
            self._run(told.aclose())
            self._free.put(replica)

    def make(self, number, request):
        return self.call("make", number, request, self)

    def stop(self, number, keep):
        self._run(self.wishes.stop(number, keep))

    def over(self, number):
        self._run(self.wishes.over(number))

    def close(self): ...

    def _run(self, awaitable):
        async def awaited():
            return await awaitable

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result(300)


@pytest.fixture(scope="module")
def pair():
    """Two replicas with their worker processes."""
    main, threads = sys.modules["__main__"], os.environ.get("OMP_NUM_THREADS")
    file = vars(main).get("__file__")
    pair = [Replica(Limits()), Replica(Limits())]
    yield pair
    for replica in pair:
        replica._runner.close()
    if file is not None:
        main.__file__ = file
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = threads


@pytest.fixture(scope="module")
def engine(pair):
    deployment = Nearby(*pair)
    engine = Engine(Limits(), runners=[ServeRunner(deployment) for _ in pair])
    engine.start()
    yield engine
    engine.close()


def pids(pair):
    return [replica._runner._worker._process.pid for replica in pair]


def test_two_requests_run_at_once_and_one_is_stopped(engine):
    stopped, other = (engine.submit(request(LONG, seed=seed)) for seed in (1, 2))
    for job in (stopped, other):
        while until(job, Generating).done < 20:
            pass
    stopped.stop()
    (take,) = finished(stopped).takes
    assert not take.complete
    assert take.record["tokens"] >= 20
    take.samples[0, 0] = 0  # an array of this process's own
    other.abandon()
    assert finished(other).takes == ()
    assert isinstance(engine.status(), Ready)
    assert 0 < engine.seconds_per_token("nano") < 60


def test_a_replica_makes_the_samples_that_one_machine_makes(engine, pair):
    (take,) = finished(engine.submit(request(seed=7))).takes
    local = pair[0]._runner
    *_, (_, alone) = local.make(10_000, request(seed=7), local._preload["nano"])
    np.testing.assert_array_equal(take.samples, alone.takes[0].samples)


def test_a_killed_worker_costs_its_own_request_and_is_started_again(engine, pair):
    before = pids(pair)
    jobs = [engine.submit(request(LONG, seed=seed)) for seed in (1, 2)]
    for job in jobs:
        until(job, Generating)
    os.kill(before[0], signal.SIGKILL)
    wait_for(lambda: any(job.over for job in jobs))
    lost, other = sorted(jobs, key=lambda job: not job.over)
    with pytest.raises(MachineError) as fault:
        finished(lost)
    assert fault.value.key == "error.engine_killed"
    other.stop()
    assert len(finished(other).takes) == 1
    assert all(finished(job).takes for job in [engine.submit(request()) for _ in range(3)])
    wait_for(lambda: all(lane.ready for lane in engine._lanes))
    assert pids(pair)[0] != before[0]
    assert pids(pair)[1] == before[1]


class NoPage:
    """The actor of a page whose process has ended."""

    class wait:
        @staticmethod
        def remote(number):
            raise ConnectionError


def messages(replica, *values):
    async def collect():
        return [pickle.loads(message) async for message in replica.make(*values)]

    return asyncio.run(collect())


def test_what_runs_for_a_page_that_has_ended_is_ended(pair):
    assert messages(pair[0], 20_000, request(LONG), NoPage)[-1] == (20_000, Finished(()))


def test_an_idle_replica_whose_worker_ended_is_unwell_and_helps_itself(pair):
    replica = pair[1]
    replica.check_health()
    os.kill(pids(pair)[1], signal.SIGKILL)
    wait_for(lambda: not replica._runner.alive)
    with pytest.raises(RuntimeError):
        replica.check_health()
    told = messages(replica, 20_001, request(), Nearby())
    assert told[0] == (20_001, Starting())
    assert not any(isinstance(message, Died) for message in told)
    assert len(told[-1][1].takes) == 1
    replica.check_health()


def test_a_replica_brings_the_checkpoint_itself(pair, monkeypatch):
    """Of the hub only the answer is made up here; tests/unit/test_download.py has the rest."""

    def download(hub_id, progress, stopped):
        progress(1, 2)
        raise MachineError("error.hub_broke_off", model=hub_id)

    monkeypatch.setattr("musicgen_ui.replicas.download", download)
    monkeypatch.setattr("musicgen_ui.checkpoints.cached", lambda hub_id: None)
    told = messages(pair[0], 20_002, request(model="small"), Nearby())
    assert [event.done_bytes for _, event in told[:-1]] == [0, 1]
    assert told[-1].fault.key == "error.hub_broke_off"
