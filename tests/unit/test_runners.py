"""Several runners before one queue. tests/replicas has real ones."""

import pickle
import queue
import sys
from types import ModuleType

import pytest

from musicgen_ui.download import DownloadStopped
from musicgen_ui.engine import Engine
from musicgen_ui.errors import InputError, MachineError
from musicgen_ui.events import Downloading, Finished, Generating, Queued, Ready
from musicgen_ui.journal import Health
from musicgen_ui.limits import Limits
from musicgen_ui.replicas import Replica, replicas
from musicgen_ui.request import Request
from musicgen_ui.runner import RunnerDied
from tests.jobs import finished, until, wait_for


def request(**given):
    return Request(prompts=("slow bells",), seed=5, **given)


class ByHand:
    """A runner whose requests end when the test says so."""

    def __init__(self, turns):
        self.turns = turns
        self.told = queue.SimpleQueue()
        self.made, self.stops, self.starts = [], [], 0
        self.can_start = True

    def start(self):
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


def test_progress_reaches_only_who_asked(by_hand):
    engine, runners = by_hand
    jobs = [engine.submit(request(), f"user {n}") for n in range(2)]
    for job in jobs:
        until(job, Generating)
    for number, job in enumerate(jobs):
        for done in range(5):
            whose(runners, job).told.put(Generating(done, 100 + number, 0.0))
        whose(runners, job).told.put(Finished(()))
    for number, job in enumerate(jobs):
        assert {event.total for event in job if isinstance(event, Generating)} == {100 + number}


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


@pytest.fixture
def replica(monkeypatch):
    """One whose worker process wasn't started, in a process whose main module is another: it takes its file away."""
    main = ModuleType("__main__")
    main.__file__ = "main.py"
    monkeypatch.setitem(sys.modules, "__main__", main)
    return Replica(Limits())


def test_a_replica_brings_the_checkpoint_itself(replica, monkeypatch):
    """Of the hub only the answer is made up here; tests/unit/test_download.py has the rest."""

    def download(hub_id, progress, stopped):
        progress(1, 2)
        if stopped():
            raise DownloadStopped
        raise MachineError("error.hub_broke_off", model=hub_id)

    monkeypatch.setattr("musicgen_ui.replicas.download", download)
    monkeypatch.setattr("musicgen_ui.checkpoints.cached", lambda hub_id: None)
    told = list(map(pickle.loads, replica.make(1, request(model="small"))))
    assert told[:-1] == [(1, Downloading("small", 0, 0)), (1, Downloading("small", 1, 2))]
    assert (told[-1].job, told[-1].fault.key) == (1, "error.hub_broke_off")
    replica.stop(2, keep=True)
    assert pickle.loads(list(replica.make(2, request(model="small")))[-1]) == (2, Finished(()))


def test_a_new_replica_says_that_it_must_be_started(replica):
    """It may stand where another was, which had been."""
    assert isinstance(replica.check(), RunnerDied)
    assert isinstance(pickle.loads(*replica.make(1, request())), RunnerDied)
