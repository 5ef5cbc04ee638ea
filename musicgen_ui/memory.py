"""How much memory there is, and whether a checkpoint fits: a sentence is better than being killed."""

import functools
import json
import sys
import time
from math import prod
from pathlib import Path

import numpy as np
import psutil

from musicgen_ui.errors import MachineError

_GROUP = Path("/sys/fs/cgroup")
_SPARE = 1.1  # the weights, and a tenth for the cache and the activations


def available_bytes() -> int:
    """What this process may still take, of the machine's memory and of its container's (cgroup v2) share."""
    available = psutil.virtual_memory().available
    try:
        limit = int((_GROUP / "memory.max").read_text())
        used = int((_GROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return available
    return min(available, limit - used + int(stat.get("inactive_file", 0)))


def total_bytes() -> int:
    """The memory of this machine or of its container."""
    total = psutil.virtual_memory().total
    try:
        return min(total, int((_GROUP / "memory.max").read_text()))
    except (OSError, ValueError):
        return total


@functools.cache
def read_speed() -> float:
    """Bytes per second that a product of a large matrix reads; measured once, some 30 ms."""
    matrix, vector, times = np.ones((16_384, 1024), np.float32), np.ones(1024, np.float32), []
    for _ in range(4):
        started = time.perf_counter()
        matrix @ vector
        times.append(time.perf_counter() - started)
    return matrix.nbytes / min(times)


def float32_bytes(folder: Path) -> int:
    """The size of a checkpoint's weights once loaded, from the headers of its safetensors files.

    Raises ValueError for a file that has no such header.
    """
    total = 0
    sharded = (folder / "model.safetensors.index.json").is_file()
    for file in folder.glob("model-*.safetensors" if sharded else "model.safetensors"):
        with file.open("rb") as stream:
            header_bytes = int.from_bytes(stream.read(8), "little")
            if header_bytes > file.stat().st_size:  # a pointer of Git LFS, say
                raise ValueError(f"{file.name} has no safetensors header")
            header = json.loads(stream.read(header_bytes))
        try:
            total += sum(4 * prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
        except (KeyError, TypeError, AttributeError) as fault:
            raise ValueError(f"{file.name} has a broken safetensors header") from fault
    return total


def check_room_for(folder: Path, model: str) -> None:
    """MachineError where `folder`'s weights would not fit into what memory is left."""
    try:
        needed = _SPARE * float32_bytes(folder)
    except (OSError, ValueError):
        return  # broken: loading says so
    _check(needed, available_bytes(), model)


def check_total(weights_bytes: int, model: str) -> None:
    """MachineError where weights of this size can't fit into this machine: better known before a download."""
    _check(_SPARE * weights_bytes, total_bytes(), model)


def _check(needed: float, available: int, model: str) -> None:
    if needed > available:
        raise MachineError(
            "error.too_large", model=model, needed=f"{needed / 1e9:.1f}", available=f"{available / 1e9:.1f}"
        )


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in kB
