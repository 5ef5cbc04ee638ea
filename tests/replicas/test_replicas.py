"""Two replicas of Ray Serve behind one queue, on this machine. Needs Ray: requirements-replicas.txt.

In a pytest of its own: MindSpore can't be imported where Ray was before.
"""

import os
import signal
import time

import numpy as np
import psutil
import pytest

from musicgen_ui.engine import Engine
from musicgen_ui.errors import MachineError
from musicgen_ui.events import Finished, Ready
from musicgen_ui.limits import Limits
from musicgen_ui.replicas import replicas
from musicgen_ui.request import Request, Settings
from tests.jobs import finished, until_playing, wait_for

SHORT, LONG = Settings(max_new_tokens=30), Settings(max_new_tokens=1_200)


def request(settings=SHORT, seed=5):
    return Request(prompts=("slow bells",), seed=seed, settings=settings)


@pytest.fixture(scope="module")
def engine():
    before = signal.getsignal(signal.SIGTERM)
    engine = Engine(Limits(), runners=replicas(Limits(), {"MUSICGEN_REPLICAS": "2"}))
    signal.signal(signal.SIGTERM, before)
    engine.start()
    wait_for(lambda: all_ready(engine))
    yield engine
    engine.close()
    time.sleep(2)  # the engine's threads look after their replicas once more: that must start no other Ray
    assert not [name for name in ("gcs_server", "raylet", "ray::", "spawn_main") if running(name)]


def all_ready(engine):
    return all(lane.ready for lane in engine._lanes)


def running(name):
    """This process's descendants of that name."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if name in " ".join(process.cmdline()):
                found.append(process.pid)
        except psutil.Error:
            pass  # it has just ended
    return found


def two_playing(engine):
    jobs = [engine.submit(request(LONG, seed=seed)) for seed in (1, 2)]
    for job in jobs:
        until_playing(job)
    return jobs


def test_two_requests_run_at_once_and_one_is_stopped(engine):
    assert len(running("spawn_main")) == 2
    stopped, other = two_playing(engine)
    stopped.stop()
    (take,) = finished(stopped).takes
    assert not take.complete
    assert take.record["tokens"] >= 20
    take.samples[0, 0] = 0  # an array of this process's own
    until_playing(other)
    other.abandon()
    assert finished(other) == Finished(())
    assert isinstance(engine.status(), Ready)
    assert 0 < engine.seconds_per_token("nano") < 60


def test_replicas_make_the_samples_that_a_worker_process_of_this_machine_makes(engine):
    jobs = [engine.submit(request()) for _ in range(2)]
    one, other = (finished(job).takes[0].samples for job in jobs)
    alone = Engine(Limits(), preload=())
    alone.start()
    try:
        (take,) = finished(alone.submit(request())).takes
    finally:
        alone.close()
    np.testing.assert_array_equal(one, take.samples)
    np.testing.assert_array_equal(other, take.samples)


@pytest.mark.parametrize(
    ("victims", "sentence"), [("spawn_main", "error.engine_killed"), ("ray::ServeReplica", "error.engine_died")]
)
def test_whatever_is_killed_costs_its_own_request_and_is_started_again(engine, victims, sentence):
    jobs = two_playing(engine)
    killed, spared = running(victims)
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: any(job.over for job in jobs))
    lost, other = sorted(jobs, key=lambda job: not job.over)
    with pytest.raises(MachineError) as fault:
        finished(lost)
    assert fault.value.key == sentence
    assert finished(engine.submit(request())).takes
    other.stop()
    assert finished(other).takes
    wait_for(lambda: all_ready(engine))
    assert spared in running(victims)
    assert len(running("spawn_main")) == len(running("ray::ServeReplica")) == 2
    for job in two_playing(engine):
        job.abandon()


@pytest.mark.parametrize("victims", ["spawn_main", "ray::ServeReplica"])
def test_what_is_killed_while_idle_is_started_again(engine, victims):
    killed, spared = running(victims)
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: not all_ready(engine))
    assert finished(engine.submit(request())).takes
    wait_for(lambda: all_ready(engine))
    assert spared in running(victims)
    assert len(running("spawn_main")) == 2
