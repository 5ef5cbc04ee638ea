"""What the page needs of an engine; app.py hands over the real one, the layout tests a fake."""

from collections.abc import Iterator
from typing import Protocol

from musicgen_ui.events import Event
from musicgen_ui.journal import Health
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.request import Request


class Job(Protocol):
    """One submitted request: iterate for its events, the last being `Finished`. Faults are raised as AppError."""

    def __iter__(self) -> Iterator[Event]: ...

    def stop(self) -> None: ...

    def abandon(self) -> None: ...


class Engine(Protocol):
    def status(self) -> Event | None: ...

    def info(self, model: str) -> ModelInfo: ...

    def seconds_per_token(self, model: str, rows: int = 1, guided: bool = True) -> float | None: ...

    def submit(self, request: Request, owner: str = "", address: str = "") -> Job: ...

    def health(self) -> Health: ...

    def forget(self, owner: str) -> None: ...
