"""What the page keeps for each open tab: its running jobs, and the shelf of takes that its browser has."""

import secrets
import tempfile
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from gradio.utils import get_upload_folder

from musicgen_ui.limits import Limits
from musicgen_ui.scratch import Scratch
from musicgen_ui.ui.shelves import Shelf
from musicgen_ui.ui.surface import Job

_FORMER = 1_000  # tabs that are remembered beyond their session


@dataclass
class Session:
    owner: str
    shelf: Shelf
    jobs: list[Job] = field(default_factory=list)


class Sessions:
    """All tabs, by Gradio's session hash, and all shelves, by the secret that their browser keeps.

    A tab that tells no secret (a program at the API) has a shelf of its own, which goes with it. A tab whose connection
    broke was taken for closed; when it asks for something after all, it has its browser's shelf again. Folders have
    names that can't be guessed, in Gradio's cache folder.
    """

    def __init__(self, limits: Limits = Limits(), scratch: Scratch | None = None) -> None:
        """`scratch`: where uploads lie, which go when nobody has need of them any more."""
        self._limits = limits
        self._scratch = scratch
        self._sessions: dict[str, Session] = {}
        self._shelves: dict[str, Shelf] = {}
        self._former: dict[str, str] = {}  # the keys of tabs that have no session any more
        self._lock = threading.Lock()

    @cached_property
    def _root(self) -> tempfile.TemporaryDirectory:
        Path(get_upload_folder()).mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="takes-", dir=get_upload_folder(), ignore_cleanup_errors=True)

    def of(self, owner: str) -> Session:
        """The session of `owner`, made when it is new."""
        with self._lock:
            session = self._sessions.get(owner) or self._returning(owner)
            if session is None:
                self._sweep()
                session = self._sessions[owner] = Session(owner, self._new_shelf(self._former.get(owner, "")))
            session.shelf.last_used = time.monotonic()
            return session

    def open(self, owner: str, key: object) -> Session:
        """The session of a tab whose browser has kept `key`; an unknown key gives it a new shelf with a new key."""
        with self._lock:
            self._sweep()
            shelf = self._shelves.get(key) if isinstance(key, str) else None
            if shelf is None:
                shelf = self._new_shelf(secrets.token_urlsafe(24))
            shelf.last_used = time.monotonic()
            session = self._sessions.get(owner)
            if session is None:
                session = self._sessions[owner] = Session(owner, shelf)
            elif not session.shelf.key:  # it was here before its browser's key was
                session.shelf.remove()
                session.shelf = shelf
            return session

    def find(self, owner: str) -> Session | None:
        with self._lock:
            session = self._sessions.get(owner) or self._returning(owner)
            if session is not None:
                session.shelf.last_used = time.monotonic()
            return session

    def touch(self, owner: str) -> None:
        """A sign of life from a tab."""
        with self._lock:
            if session := self._sessions.get(owner):
                session.shelf.last_used = time.monotonic()

    def shelf(self, folder: str) -> Shelf | None:
        """The shelf whose folder has this name, which can't be guessed."""
        with self._lock:
            return next((shelf for shelf in self._all_shelves() if shelf.folder.name == folder), None)

    def forget(self, owner: str) -> None:
        """The tab is closed: drops its session; takes stay for the browser, if it has a key."""
        with self._lock:
            session = self._end(owner)
            if session and not (session.shelf.key and session.shelf.takes):
                self._drop(session.shelf)

    def __len__(self) -> int:
        return len(self._sessions)

    def close(self) -> None:
        """Drops everything, when the app ends."""
        with self._lock:
            self._sessions.clear()
            self._shelves.clear()
            self._root.cleanup()

    @property
    def busy(self) -> bool:
        """Whether anybody's takes are still on their way."""
        return any(session.jobs for session in list(self._sessions.values()))

    def _new_shelf(self, key: str) -> Shelf:  # holding self._lock
        Path(self._root.name).mkdir(parents=True, exist_ok=True)  # systems clear /tmp of what is old
        shelf = Shelf(key, Path(tempfile.mkdtemp(dir=self._root.name)), self._limits.kept_takes)
        if key:
            self._shelves[key] = shelf
        return shelf

    def _end(self, owner: str) -> Session | None:  # holding self._lock
        """Ends a tab's session, and remembers which shelf it had: it may be open still."""
        session = self._sessions.pop(owner, None)
        if session and session.shelf.key:
            self._former[owner] = session.shelf.key
            if len(self._former) > _FORMER:
                del self._former[next(iter(self._former))]
        return session

    def _returning(self, owner: str) -> Session | None:  # holding self._lock
        """A new session of a tab that had one before, if its shelf is still there."""
        shelf = self._shelves.get(self._former.get(owner, ""))
        if shelf is None:
            return None
        self._sessions[owner] = Session(owner, shelf)
        return self._sessions[owner]

    def _sweep(self) -> None:  # holding self._lock
        """Drops who has long been silent, and the longest silent of too many: tabs, then shelves without a tab. Then
        uploads, but for the clips of takes that are kept."""
        deadline = time.monotonic() - self._limits.forgotten_seconds
        idle = [session for session in self._sessions.values() if not session.jobs]
        for session in sorted(idle, key=lambda session: session.shelf.last_used):
            if session.shelf.last_used < deadline or len(self._sessions) >= self._limits.sessions:
                self._end(session.owner)
                if session.shelf.last_used < deadline or not session.shelf.key:
                    self._drop(session.shelf)
        for shelf in sorted(self._shelves.values(), key=lambda shelf: shelf.last_used):
            if shelf.last_used < deadline or len(self._shelves) >= self._limits.sessions:
                self._drop(shelf)
        if self._scratch:
            takes = [take for shelf in self._all_shelves() for take in shelf.takes.values()]
            clips = {Path(path).resolve() for take in takes for path in take.ask.clip_paths}
            self._scratch.sweep(self._limits.forgotten_seconds, {Path(self._root.name).resolve(), *clips})

    def _all_shelves(self) -> list[Shelf]:  # holding self._lock
        return [*self._shelves.values(), *(session.shelf for session in self._sessions.values())]

    def _drop(self, shelf: Shelf) -> None:  # holding self._lock
        """Removes `shelf`, unless another tab has it."""
        if not any(session.shelf is shelf for session in self._sessions.values()):
            self._shelves.pop(shelf.key, None)
            shelf.remove()
