"""Every limit on what a user may ask for and on what is kept for users, in one place."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from musicgen_ui.errors import InputError
from musicgen_ui.memory import total_bytes
from musicgen_ui.processors import processors

PREFIX = "MUSICGEN_"
_HIGHEST = 10**12
_WITHIN = {
    "takes": "rows",
    "prompts": "rows",
    "queue_per_user": "queue",
    "queue_per_address": "queue",
    "heard_seconds": "clip_seconds",
}
_SESSION_BYTES = 200e6
"""of a browser's files, or more: 24 takes of a minute as WAV, FLAC and MP3, with pictures"""
_SESSION_MEMORY, _MEMORY_SHARE = 2.5e6, 0.1
"""bytes that Gradio keeps of a browser's page, and how much of the memory all of them may take"""


@dataclass(frozen=True)
class Limits:
    """Bounds checked before work starts. Each stands in one sentence that the user reads when it is passed."""

    prompt_characters: int = 2_000
    prompts: int = 8
    takes: int = 4
    rows: int = 8
    """prompts × takes: the rows of one batch"""
    piece_seconds: float = 300.0
    """a piece, its clip included"""
    clip_bytes: int = 50 * 1024 * 1024
    clip_seconds: float = 600.0
    """a longer file is refused unread"""
    heard_seconds: float = 300.0
    """of a longer file the first so many seconds are read: as much as a piece may begin with"""
    clip_channels: int = 32
    clips_bytes: int = 200 * 1024 * 1024
    """of memory that the clips of one request take once they are read: eight minutes of 48 kHz stereo"""
    padding: int = 600
    """padded_seconds and padded_tokens of a record that is made again"""
    queue: int = 16
    """requests that may wait for the engine, the running one included"""
    queue_per_user: int = 4
    """of which one user's"""
    queue_per_address: int = 8
    """of which those from one address of the internet: several users', it may be, or one with many sessions"""
    kept_takes: int = 24
    """of one browser; older ones go"""
    sessions: int = 100
    """browsers (and programs) whose takes are kept; those longest unused go first"""
    forgotten_seconds: float = 6 * 3600.0
    """without a sign of life, after which a browser's takes go"""
    free_disk_bytes: int = 10**9
    """where less is free, uploads are refused"""
    stall_seconds: float = 900.0
    """an engine process that is silent for so long while it works is taken for dead"""
    stop_seconds: float = 25.0
    """from SIGTERM to the end of the app"""
    own_models: bool = True
    """whether a model may be a folder or any id of the hub; not for strangers on a Space or in a network"""

    @classmethod
    def of_this_machine(cls, environment: Mapping[str, str] = os.environ) -> "Limits":
        """As the machine can bear them; MUSICGEN_QUEUE=8 (and so on) goes before. InputError for a wrong value."""
        served_here_only = (
            environment.get("GRADIO_SERVER_NAME", "127.0.0.1") in ("127.0.0.1", "localhost", "::1")
            and environment.get("GRADIO_SHARE", "").lower() != "true"  # Gradio's tunnel to everywhere
        )
        memory, disk = total_bytes(), shutil.disk_usage(tempfile.gettempdir()).free
        gigabytes = memory / 1e9
        sessions = min(500, disk / 2 / _SESSION_BYTES, memory * _MEMORY_SHARE / _SESSION_MEMORY)
        chosen: dict[str, Any] = {
            "own_models": served_here_only and "SPACE_ID" not in environment,
            "queue": min(64, 8 * processors(environment)),
            "rows": 8 if gigabytes > 7 else 4 if gigabytes > 3.5 else 2,
            "sessions": max(10, int(sessions)),
        }
        given = {f.name: f.type(whole_number(PREFIX + f.name.upper(), text, *_bounds(f.type)))  # type: ignore[operator]
                 for f in fields(cls) if (text := environment.get(PREFIX + f.name.upper(), "").strip())}  # fmt: skip
        values: dict[str, Any] = {**vars(cls()), **chosen, **given}
        if "queue_per_address" not in given:
            values["queue_per_address"] = max(1, values["queue"] // 2)
        for part, whole in _WITHIN.items():
            if values[part] > values[whole]:
                if part in given:
                    raise _wrong(PREFIX + part.upper(), values[whole], str(given[part]))
                values[part] = values[whole]
        return cls(**values)


def _bounds(kind: object) -> tuple[int, int]:
    return (0, 1) if kind is bool else (1, _HIGHEST)


def whole_number(name: str, text: str, low: int, high: int) -> int:
    """The number that the variable `name` gives as `text`; InputError where it isn't within `low` and `high`."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not low <= value <= high:
        raise _wrong(name, high, text, low)
    return value


def _wrong(name: str, high: float, text: str, low: int = 1) -> InputError:
    return InputError("error.limit", name=name, low=low, high=int(high), value=text[:40])
