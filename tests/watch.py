"""What this process opens, removes, runs and calls, as Python's audit events tell (PEP 578)."""

import contextlib
import ctypes
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from musicgen_ui.paths import ASSETS

_IN_OPEN = 0x20  # inotify(7)
_FILES = ("open", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.listdir", "os.scandir", "os.truncate",
          "os.chmod", "os.link", "os.symlink")  # fmt: skip
_OTHERS = ("socket.connect", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork",
           "pickle.find_class")  # fmt: skip
_INSTALLED = {Path(path).resolve() for path in (*sysconfig.get_paths().values(), sys.base_prefix, ASSETS.parent)}
_listening: list[str] | None = None
_hooked = False


def _hear(event: str, arguments: tuple) -> None:
    if _listening is None:
        return
    if event in _FILES and isinstance(arguments[0], (str, bytes, os.PathLike)):
        _listening.append(f"{event} {os.path.abspath(os.fsdecode(arguments[0]))}")
    elif event in _OTHERS:
        _listening.append(f"{event} {arguments}")


@contextlib.contextmanager
def nothing_outside(*folders: Path) -> Iterator[None]:
    """AssertionError where a file is touched that lies neither in `folders` nor in what is installed, or where anything
    is run or called. What libraries open in C isn't heard: see `unopened`."""
    global _listening, _hooked
    if not _hooked:  # a hook can't be taken away
        sys.addaudithook(_hear)
        _hooked = True
    allowed = {*_INSTALLED, *(folder.resolve() for folder in folders)}
    _listening = []
    try:
        yield
    finally:
        heard, _listening = _listening, None
    outside = [act for act in heard if not _inside(act, allowed)]
    assert outside == [], outside


def _inside(act: str, allowed: set[Path]) -> bool:
    event, _, path = act.partition(" ")
    if event not in _FILES:
        return False
    return any(Path(os.path.realpath(path)).is_relative_to(folder) for folder in allowed)


@contextlib.contextmanager
def unopened(path: Path) -> Iterator[None]:
    """AssertionError where anybody opens `path`, C libraries included. On Linux; elsewhere nothing is seen."""
    if sys.platform != "linux":
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(watch, os.fsencode(path), _IN_OPEN) >= 0
    try:
        yield
        with contextlib.suppress(BlockingIOError):
            assert not os.read(watch, 4096), f"{path} was opened"
    finally:
        os.close(watch)
