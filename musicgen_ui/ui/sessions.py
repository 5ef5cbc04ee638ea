"""What the page keeps for each open tab: its running jobs, and the shelf of takes that its browser has."""

import secrets
import tempfile
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from gradio.utils import get_upload_folder

from musicgen_ui.ui.shelves import Shelf
from musicgen_ui.ui.surface import Job

FORGOTTEN_AFTER = 6 * 3600.0
"""seconds without a sign of life after which a browser's takes go"""


@dataclass
class Session:
    owner: str
    shelf: Shelf
    jobs: list[Job] = field(default_factory=list)


class Sessions:
    """All tabs, by Gradio's session hash, and all shelves, by the secret that their browser keeps.

    A tab that tells no secret (a program at the API) has a shelf of its own, which goes with it. Folders have names
    that can't be guessed, in Gradio's cache folder.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._shelves: dict[str, Shelf] = {}
        self._lock = threading.Lock()

    @cached_property
    def _root(self) -> tempfile.TemporaryDirectory:
        Path(get_upload_folder()).mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="takes-", dir=get_upload_folder(), ignore_cleanup_errors=True)

    def of(self, owner: str) -> Session:
        """The session of `owner`, made when it is new."""
        with self._lock:
            self._sweep()
            session = self._sessions.get(owner)
            if session is None:
                session = Session(owner, self._new_shelf(""))
                self._sessions[owner] = session
            session.shelf.last_used = time.monotonic()
            return session

    def open(self, owner: str, key: object) -> Session:
        """The session of a tab whose browser has kept `key`; an unknown key gives it a new shelf with a new key."""
        with self._lock:
            self._sweep()
            shelf = self._shelves.get(key) if isinstance(key, str) else None
            if shelf is None:
                shelf = self._new_shelf(secrets.token_urlsafe(24))
                self._shelves[shelf.key] = shelf
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
            session = self._sessions.get(owner)
            if session is not None:
                session.shelf.last_used = time.monotonic()
            return session

    def shelf(self, folder: str) -> Shelf | None:
        """The shelf whose folder has this name, which can't be guessed."""
        with self._lock:
            shelves = [*self._shelves.values(), *(session.shelf for session in self._sessions.values())]
            return next((shelf for shelf in shelves if shelf.folder.name == folder), None)

    def forget(self, owner: str) -> None:
        """The tab is closed: drops its session; takes stay for the browser, if it has a key."""
        with self._lock:
            session = self._sessions.pop(owner, None)
            if session and not (session.shelf.key and session.shelf.takes):
                self._drop(session.shelf)

    def __len__(self) -> int:
        return len(self._sessions)

    def _new_shelf(self, key: str) -> Shelf:
        return Shelf(key, Path(tempfile.mkdtemp(dir=self._root.name)))

    def _sweep(self) -> None:  # holding self._lock
        deadline = time.monotonic() - FORGOTTEN_AFTER
        for owner, session in list(self._sessions.items()):
            if session.shelf.last_used < deadline and not session.jobs:
                del self._sessions[owner]
                self._drop(session.shelf)
        for shelf in list(self._shelves.values()):
            if shelf.last_used < deadline:
                self._drop(shelf)

    def _drop(self, shelf: Shelf) -> None:  # holding self._lock
        """Removes `shelf`, unless another tab has it."""
        if not any(session.shelf is shelf for session in self._sessions.values()):
            self._shelves.pop(shelf.key, None)
            shelf.remove()
