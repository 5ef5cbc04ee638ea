"""How the app ends, and its command line.

SIGTERM once: nothing new is begun, and what runs may end. Twice, or Ctrl+C: at once.
"""

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Protocol

_LEFT_TO_SAVE = 5.0  # s before the last moment, at which a take that still runs is stopped: what was made is kept
_LINGERS = 3.0  # s in which a page fetches the files of its last take
_POLL = 0.1  # s
log = logging.getLogger(__name__)


class Drained(Protocol):
    def drain(self) -> None: ...

    def stop_running(self) -> None: ...


class Ending:
    """Listens for SIGTERM from the moment it is made, in the main thread."""

    def __init__(self) -> None:
        self._signals = 0
        signal.signal(signal.SIGTERM, self._signalled)

    def wait(self, engine: Drained, busy: Callable[[], bool], seconds: float) -> None:
        """Until SIGTERM, and from there until `busy` says that nobody waits any more: `seconds` at most."""
        try:
            while not self._signals:
                time.sleep(_POLL)
        except KeyboardInterrupt:
            return
        last = time.monotonic() + seconds
        log.info("ending: the running request has %g s", seconds)
        engine.drain()
        stopped = False
        while busy() and time.monotonic() < last - _LINGERS:
            if not stopped and time.monotonic() > last - _LINGERS - _LEFT_TO_SAVE:
                stopped = True
                engine.stop_running()
            time.sleep(_POLL)
        time.sleep(min(_LINGERS, max(0.0, last - time.monotonic())))
        log.info("ended")

    def _signalled(self, number: int, frame: object) -> None:
        self._signals += 1
        if self._signals > 1:
            end_at_once(128 + number)


def end_at_once(exit_code: int) -> None:
    """Ends this process and those that it started. The ordinary way waits for threads that wait for browsers.

    What was printed goes out first; where it can't, the exit code is 1 rather than 0.
    """
    for process in multiprocessing.active_children():
        process.kill()
    logging.shutdown()
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None: closed from the beginning
        try:
            stream.flush()
        except OSError:  # nobody reads it any more, or the disk is full
            exit_code = exit_code or 1
    os._exit(exit_code)
