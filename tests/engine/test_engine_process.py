"""The engine's process and its queue, with the real bundled checkpoints."""

import errno
import itertools
import os
import shutil
import signal
import sys
import threading
import time

import numpy as np
import psutil
import pytest

from musicgen_ui.engine import Engine
from musicgen_ui.errors import AppError, InputError, MachineError
from musicgen_ui.events import Decoding, Finished, Generating, Loaded, Loading, Queued, Ready, Sound, Starting
from musicgen_ui.journal import Health
from musicgen_ui.limits import Limits
from musicgen_ui.paths import ASSETS
from musicgen_ui.request import Request, Settings
from tests.jobs import finished, until, until_playing

SHORT, LONG = Settings(max_new_tokens=30), Settings(max_new_tokens=1_200)
QUEUE, PER_USER = 4, 2


def request(settings=SHORT, **given):
    return Request(**{"prompts": ("slow bells",), "seed": 5, "settings": settings, **given})


@pytest.fixture(scope="module")
def engine():
    engine = Engine(Limits(queue=QUEUE, queue_per_user=PER_USER))
    engine.start()
    yield engine
    engine.close()


def worker_pid(engine):
    return engine._lanes[0].runner._worker._process.pid


def test_a_request_tells_what_happens_and_ends_with_its_takes(engine):
    events = list(engine.submit(request(takes=2)))
    kinds = [type(event) for event in events]
    assert kinds.index(Queued) < kinds.index(Generating) < kinds.index(Decoding) < kinds.index(Finished)
    assert kinds[-1] is Finished
    done = [event.done for event in events if isinstance(event, Generating)]
    assert done == sorted(done)
    assert done[-1] == 30
    assert [take.record["seed"] for take in events[-1].takes] == [5, 6]
    assert isinstance(engine.status(), Ready)
    assert engine.info("nano").generation_config["guidance_scale"] == 3.0
    assert 0 < engine.seconds_per_token("nano") < 5


def test_the_first_takes_sound_comes_while_it_is_made(engine):
    events = list(engine.submit(request(Settings(120), takes=2)))
    kinds = [type(event) for event in events]
    assert kinds.index(Generating) < kinds.index(Sound) < kinds.index(Decoding)
    pieces = [event for event in events if isinstance(event, Sound)]
    take = events[-1].takes[0]
    assert len(pieces) > 1
    assert [piece.start for piece in pieces] == list(np.cumsum([0] + [piece.pcm.shape[1] for piece in pieces[:-1]]))
    assert {(piece.sampling_rate, piece.seconds) for piece in pieces} == {(take.sampling_rate, take.seconds)}
    heard = np.concatenate([piece.pcm for piece in pieces], axis=1)
    assert heard.dtype == np.int16
    np.testing.assert_array_equal(heard, np.round(take.samples.clip(-1, 1) * 32767))


def test_the_bundled_checkpoints_stay_loaded_together(engine):
    pid = worker_pid(engine)
    for model in ("nano", "nano-melody", "nano"):
        events = list(engine.submit(request(model=model)))
        assert not any(isinstance(event, Loaded) for event in events)
        assert events[-1].takes[0].record["model"] == model
    assert worker_pid(engine) == pid


def test_stop_keeps_what_was_made(engine):
    job = engine.submit(request(LONG))
    until_playing(job)
    job.stop()
    (take,) = finished(job).takes
    assert not take.complete
    assert 20 <= take.record["tokens"] < 200
    assert take.codes.shape[-1] == take.record["tokens"] - 3


def test_one_users_stop_reaches_only_their_own_request(engine):
    first, second, third = (engine.submit(request(LONG if n == 0 else SHORT, seed=n), f"user {n}") for n in range(3))
    until_playing(first)
    assert until(second, Queued).ahead == 1
    assert until(third, Queued).ahead == 2
    engine.forget("user 1")
    assert finished(second).takes == ()
    first.stop()
    assert finished(first).takes[0].record["seed"] == 0
    assert finished(third).takes[0].complete


def test_the_queue_is_bounded(engine):
    jobs = [engine.submit(request(LONG)) for _ in range(QUEUE)]
    with pytest.raises(MachineError, match="waiting already"):
        engine.submit(request())
    for job in reversed(jobs):
        job.stop()
    for job in jobs:
        finished(job)
    assert finished(engine.submit(request())).takes


def test_one_user_cannot_take_the_whole_queue(engine):
    jobs = [engine.submit(request(LONG), "greedy") for _ in range(PER_USER)]
    with pytest.raises(MachineError, match="of your requests"):
        engine.submit(request(), "greedy")
    other = engine.submit(request(), "modest")
    engine.forget("greedy")
    assert all(finished(job).takes == () for job in jobs)  # abandoned: nothing is decoded for nobody
    assert finished(other).takes[0].complete
    assert isinstance(engine.status(), Ready)


def test_the_time_of_day_may_jump_while_requests_wait_and_run(engine, monkeypatch):
    really, hours = time.time, itertools.cycle((10, -10, 0))
    monkeypatch.setattr(time, "time", lambda: really() + 3_600 * next(hours))
    begun = time.monotonic()
    running, waiting = engine.submit(request(Settings(300))), engine.submit(request())
    paces = [event.seconds_per_token for event in running if isinstance(event, Generating)]
    assert finished(waiting).takes[0].complete
    spent = time.monotonic() - begun
    assert all(0 <= pace < spent for pace in paces)
    for job in (running, waiting):
        waited, worked = job.times.spent()
        assert 0 <= waited <= spent
        assert 0 < worked < 2 * spent
    assert 0 < engine.seconds_per_token("nano") < spent


def test_a_killed_worker_costs_its_own_request_only(engine):
    first, second = engine.submit(request(LONG)), engine.submit(request())
    until(first, Generating)
    os.kill(worker_pid(engine), signal.SIGKILL)
    with pytest.raises(MachineError, match="started again") as fault:
        finished(first)
    assert fault.value.key == "error.engine_killed"
    assert finished(second).takes[0].complete


@pytest.mark.parametrize("stage", [Loading, Sound, Decoding])
def test_a_worker_killed_at_any_stage_is_told_and_the_next_request_works(engine, copies, stage):
    job = engine.submit(request(Settings(300), takes=4, model=copies[0]))
    until(job, stage)
    os.kill(worker_pid(engine), signal.SIGKILL)
    try:
        ended = "made" if finished(job).takes else "nothing"
    except MachineError as fault:
        ended = fault.key
    assert ended == "error.engine_killed" or (stage is Decoding and ended == "made")  # faster than the signal
    assert finished(engine.submit(request())).takes[0].complete


def test_a_worker_killed_before_it_heard_of_a_request_serves_it_anew(engine):
    finished(engine.submit(request()))
    os.kill(worker_pid(engine), signal.SIGSTOP)
    job = engine.submit(request())
    while engine.health().state != "working":
        time.sleep(0.05)
    os.kill(worker_pid(engine), signal.SIGKILL)
    assert finished(job).takes[0].complete


@pytest.mark.skipif(sys.platform != "linux", reason="a process's address space has a limit on Linux alone")
def test_memory_that_runs_out_is_told_and_the_next_request_works(engine):
    small, large = request(engine="int8"), request(Settings(1_500), engine="int8", takes=4)
    finished(engine.submit(small))
    pid = worker_pid(engine)
    process = psutil.Process(pid)
    _, most = before = process.rlimit(psutil.RLIMIT_AS)
    process.rlimit(psutil.RLIMIT_AS, (process.memory_info().vms + (4 << 20), most))
    try:
        with pytest.raises(MachineError) as fault:
            finished(engine.submit(large))
    finally:
        process.rlimit(psutil.RLIMIT_AS, before)
    assert (fault.value.key, fault.value.params) == ("error.out_of_memory", {"model": "nano"})
    assert finished(engine.submit(small)).takes[0].complete
    assert worker_pid(engine) == pid


def test_a_worker_that_hangs_is_taken_for_dead():
    engine = Engine(Limits())
    engine.start()
    try:
        finished(engine.submit(request()))
        pid = worker_pid(engine)
        engine._lanes[0].runner._worker._stall_seconds = 5  # of this one: a start takes longer
        job = engine.submit(request(LONG))
        until_playing(job)
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(MachineError) as fault:
            finished(job)
        assert fault.value.key == "error.engine_died"
        assert finished(engine.submit(request())).takes[0].complete
        assert worker_pid(engine) != pid
    finally:
        engine.close()


def test_an_engine_that_cannot_start_says_so_and_is_unwell_until_it_can(monkeypatch):
    class NoProcess:
        def __init__(self, limits):
            raise OSError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr("musicgen_ui.runner.WorkerProcess", NoProcess)
    engine = Engine(Limits())
    assert engine.health().usable
    job = engine.submit(request())
    engine.start()
    try:
        with pytest.raises(MachineError) as fault:
            finished(job)
        assert fault.value.key == "error.engine_does_not_start"
        assert engine.health() == Health("broken", 0)
        monkeypatch.undo()
        assert finished(engine.submit(request())).takes[0].complete
        assert engine.health().usable
    finally:
        engine.close()
    assert engine.health().state == "stopping"


def test_how_long_a_piece_may_last_is_known_to_the_process_too():
    engine = Engine(Limits(piece_seconds=2))
    engine.start()
    try:
        (take,) = finished(engine.submit(request(Settings()))).takes
        assert take.seconds == 2
    finally:
        engine.close()


def test_draining_ends_what_waits_and_not_what_runs():
    engine = Engine(Limits())
    engine.start()
    try:
        running, waiting = engine.submit(request(Settings(300))), engine.submit(request())
        until(running, Generating)
        assert engine.health() == Health("working", 2)
        engine.drain()
        for late in (lambda: finished(waiting), lambda: engine.submit(request())):
            with pytest.raises(MachineError) as fault:
                late()
            assert fault.value.key == "error.engine_stopping"
        assert engine.health() == Health("stopping", 1)
        assert finished(running).takes[0].complete
        assert engine.health() == Health("stopping", 0)
    finally:
        engine.close()


def test_a_worker_that_dies_idle_is_started_again(engine):
    finished(engine.submit(request()))
    pid = worker_pid(engine)
    os.kill(pid, signal.SIGSEGV)
    assert finished(engine.submit(request())).takes[0].complete
    assert worker_pid(engine) != pid


@pytest.fixture
def copies(tmp_path):
    """Two checkpoints that the engine knows nothing of."""
    return [str(shutil.copytree(ASSETS / "musicgen-nano", tmp_path / name)) for name in ("one", "two")]


def test_another_large_checkpoint_gets_a_new_process(engine, copies):
    """Only the end of a process gives all of a large model's memory back."""
    pids = []
    for model in (*copies, copies[1], "nano"):
        assert finished(engine.submit(request(model=model))).takes[0].record["model"] == model
        pids.append(worker_pid(engine))
    one, two, again, nano = pids
    assert one != two
    assert two == again == nano


@pytest.mark.parametrize("stage", [Starting, Loading, Generating])
def test_whoever_waits_behind_a_switch_of_model_is_served_though_its_process_is_killed(engine, copies, stage):
    """The second request needs a new process. One that is killed before it was heard of is served after all."""
    before = finished(engine.submit(request(model=copies[0]))).takes[0]
    pid = worker_pid(engine)
    running = engine.submit(request(LONG, model=copies[0]), "first")
    until_playing(running)
    switched = engine.submit(request(Settings(300), model=copies[1]), "second")
    waiting = [engine.submit(request(model=model), "third") for model in ("nano", copies[0])]
    running.stop()
    assert finished(running).takes[0].record["model"] == copies[0]
    until(switched, stage)
    while worker_pid(engine) == pid:
        time.sleep(0.01)
    os.kill(worker_pid(engine), signal.SIGKILL)
    if stage is Starting:
        assert finished(switched).takes[0].record["model"] == copies[1]
    else:
        with pytest.raises(MachineError) as fault:
            finished(switched)
        assert fault.value.key == "error.engine_killed"
    nano, again = (finished(job).takes[0] for job in waiting)
    assert (nano.record["model"], again.record["model"]) == ("nano", copies[0])
    np.testing.assert_array_equal(again.codes, before.codes)


def test_a_broken_checkpoint_gives_a_sentence_and_the_next_request_works(engine, copies):
    weights = f"{copies[0]}/model.safetensors"
    with open(weights, "r+b") as file:
        file.truncate(1_000_000)
    with pytest.raises(InputError, match=r"model\.safetensors is missing or broken"):
        finished(engine.submit(request(model=copies[0])))
    with open(weights, "w") as file:
        file.write("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputError, match=r"model\.safetensors is missing or broken"):
        finished(engine.submit(request(model=copies[0])))
    os.remove(f"{copies[1]}/config.json")
    with pytest.raises(InputError, match=r"config\.json is missing or broken"):
        finished(engine.submit(request(model=copies[1])))
    assert finished(engine.submit(request())).takes


def test_pickled_weights_are_not_opened(engine, tmp_path):
    """A pickle runs whatever its maker likes."""
    folder = shutil.copytree(ASSETS / "musicgen-nano", tmp_path / "pickled")
    marker = tmp_path / "it ran"
    for name in ("pytorch_model.bin", "model.safetensors", "model.bin", "pytorch_model-00001-of-00001.bin"):
        (folder / name).write_bytes(b"cos\nsystem\n(S'touch \"" + str(marker).encode() + b"\"'\ntR.")
    for given in ({}, {"engine": "mindnlp"}):
        with pytest.raises(InputError, match=r"model\.safetensors is missing or broken"):
            finished(engine.submit(request(model=str(folder), **given)))
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors is missing or broken"):
        finished(engine.submit(request(model=str(folder))))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"prompts": ("",)}, "error.prompt_empty"),
        ({"model": "nope"}, "error.model_unknown"),
        ({"mode": "melody", "model": "nano"}, "error.clip_missing"),
        ({"takes": 0}, "error.range"),
        ({"seed": "x"}, "error.not_a_number"),
        ({"settings": Settings(max_new_tokens=2)}, "error.too_few_tokens"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(engine, given, key):
    with pytest.raises(AppError) as fault:
        engine.submit(request(**given))
    assert fault.value.key == key


def test_the_same_seed_gives_the_same_samples_from_any_thread(engine):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(finished(engine.submit(request(seed=11))).takes[0]))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert all((take.samples == results[0].samples).all() for take in results)


def test_on_a_space_only_the_menu_can_be_chosen(copies, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "someone/some-space")
    engine = Engine(Limits.of_this_machine())
    for model in (copies[0], "someone/some-model"):
        with pytest.raises(InputError, match="no model"):
            engine.submit(request(model=model))
