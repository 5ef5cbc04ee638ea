"""Jobs of an engine, as tests follow them."""

import time
from collections.abc import Callable
from typing import TypeVar

from musicgen_ui.engine import Job
from musicgen_ui.events import Event, Generating

PATIENCE = 300.0
"""seconds; a worker process takes a while to start"""
T = TypeVar("T")


def finished(job: Job) -> Event:
    """The job's last event."""
    return list(job)[-1]


def until(job: Job, kind: type[T]) -> T:
    """Reads the job's events up to the first of `kind`."""
    for event in job:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind}")


def until_playing(job: Job) -> None:
    """Reads the job's events until there are whole frames of sound."""
    while until(job, Generating).done < 20:
        pass


def wait_for(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)
