"""Whether the files in the hub's cache are what the hub has: each lies there under its checksum as its name.

huggingface_hub compares sizes when it downloads, but no checksums, and never looks again at what the disk keeps.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from musicgen_ui.errors import MachineError

_READ = (".json", ".model", ".safetensors")
_NOTE = ".musicgen-ui-checked"  # in the repository's folder of the cache: what its files were when they were checked
_SHA256 = re.compile(r"[0-9a-f]{64}")  # of large files
_GIT = re.compile(r"[0-9a-f]{40}")  # of small ones: SHA-1 as git has it
_BLOCK = 1 << 22  # bytes


def is_checked(folder: Path) -> bool:
    """Whether `check` found the snapshot `folder` in order, and nothing has changed since; looks at sizes and times.

    A cache that can't be written to is its owner's matter: nothing could be noted, nor removed.
    """
    try:
        return not os.access(_note(folder).parent, os.W_OK) or _note(folder).read_text() == _mark(folder)
    except OSError:
        return False


def check(folder: Path, model: str, stopped: Callable[[], bool] = lambda: False) -> bool:
    """Reads every file of the snapshot `folder`, and notes that; False where `stopped` turned true.

    Damaged ones are removed, so that the next download brings them. Raises MachineError, which names the first.
    """
    mark = _mark(folder)
    damaged = []
    for path in _files(folder):
        blob = path.resolve()
        try:
            right = _is_right(blob, stopped)
        except FileNotFoundError:  # another request has just removed it
            right = False
        except _Stopped:
            return False
        if not right:
            damaged.append(path.name)
            path.unlink(missing_ok=True)
            blob.unlink(missing_ok=True)
    if damaged:
        raise MachineError("error.file_damaged", model=model, file=damaged[0])
    with contextlib.suppress(OSError):  # no room: it is checked again the next time
        _note(folder).write_text(mark)
    return True


class _Stopped(Exception):
    pass


def _is_right(blob: Path, stopped: Callable[[], bool]) -> bool:
    """Whether the file has the checksum that is its name, or a name that is none, as a mirror may give it."""
    if _SHA256.fullmatch(blob.name):
        digest = hashlib.sha256()
    elif _GIT.fullmatch(blob.name):
        digest = hashlib.sha1(b"blob %d\0" % blob.stat().st_size, usedforsecurity=False)
    else:
        return True
    with blob.open("rb") as file:
        while block := file.read(_BLOCK):
            if stopped():
                raise _Stopped
            digest.update(block)
    return digest.hexdigest() == blob.name


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in _READ and path.is_file())


def _mark(folder: Path) -> str:
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in _files(folder)]
    return hashlib.sha256(repr((folder.name, stats)).encode()).hexdigest()


def _note(folder: Path) -> Path:
    return folder.parent.parent / _NOTE
