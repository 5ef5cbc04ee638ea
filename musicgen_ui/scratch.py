"""The page's files that are nobody's after it, uploads and takes: in a folder that this process has to itself.

Whether the process of such a folder lives is told by a lock on a file in it. The system takes the lock away when the
process ends, however it ends: so a start can remove what a kill has left, and touches nothing of an app that runs.
"""

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

_PREFIX = "musicgen-"
_LOCK = "lock"
_PAUSE = 600.0  # s between two looks at what lies there


class Scratch:
    """A new folder in `parent`, after leftovers there have been removed."""

    def __init__(self, parent: Path) -> None:
        parent = parent.resolve()
        parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(parent)
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        self._lock = _locked(self.folder)
        self._looked = time.monotonic()
        self._seen: dict[Path, tuple[int, float]] = {}

    def part(self, name: str) -> str:
        """The path of a folder in it."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return str(folder)

    def sweep(self, seconds: float, kept: Collection[Path]) -> None:
        """Removes files that were here, unchanged, for `seconds`, but for what is `kept` or lies in it.

        The time is this process's own: who sets the machine's clock removes nothing.
        """
        now = time.monotonic()
        if now - self._looked < min(_PAUSE, seconds):
            return
        self._looked = now
        before, self._seen = self._seen, {}
        for place, folders, files in os.walk(self.folder):  # passes over what goes meanwhile
            folders[:] = [name for name in folders if Path(place, name) not in kept]
            for path in (Path(place, name) for name in files if name != _LOCK):
                if path not in kept:
                    self._look_at(path, before, now, seconds)

    def _look_at(self, path: Path, before: dict[Path, tuple[int, float]], now: float, seconds: float) -> None:
        with contextlib.suppress(OSError):  # it has just gone, or isn't its folder's last
            changed = path.stat().st_mtime_ns
            known, since = before.get(path, (changed, now))
            if known != changed:
                since = now
            if now - since < seconds:
                self._seen[path] = (changed, since)
            else:
                path.unlink()
                if path.parent.parent != self.folder:  # each upload has a folder of its own
                    path.parent.rmdir()

    def close(self) -> None:
        """Removes it, when the app ends."""
        with contextlib.suppress(OSError):  # the system has cleared it
            _remove(self.folder)
        if self._lock is not None:
            os.close(self._lock)


def make_scratch() -> Scratch:
    """One where Gradio would keep its files. From now on it keeps them in there, and so does whatever else makes
    temporary files in this process: an upload under way, say."""
    given = os.environ.get("GRADIO_TEMP_DIR")
    scratch = Scratch(Path(given) if given else Path(tempfile.gettempdir()) / "gradio")
    os.environ["GRADIO_TEMP_DIR"] = scratch.part("gradio")
    tempfile.tempdir = scratch.part("incoming")
    return scratch


def _remove(folder: Path) -> None:
    """The lock last: what is half removed can still be told from what is in use."""
    for part in folder.iterdir():
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


if sys.platform == "win32":  # no such locks: what a kill has left is left to the system

    def _locked(folder: Path) -> int | None:
        return None

    def _remove_leftovers(parent: Path) -> None:
        pass

else:
    import fcntl

    def _locked(folder: Path) -> int | None:
        """Locks `folder`; the file has its name only once it is locked. None where the disk knows no locks."""
        new = folder / f"{_LOCK}.new"
        lock = os.open(new, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        new.rename(folder / _LOCK)
        return lock

    def _remove_leftovers(parent: Path) -> None:
        for folder in parent.glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError):  # its process lives, or it is another user's
                lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(folder)
                finally:
                    os.close(lock)
