"""How much memory there is, and whether a checkpoint fits: a sentence is better than being killed."""

import json
import struct
import sys
from math import prod
from pathlib import Path

import psutil

from musicgen_ui.errors import MachineError

_SPARE = 1.1  # the weights, and a tenth for the cache and the activations


def available_bytes() -> int:
    """What this process may still take, of the machine's memory and of its container's (cgroup v2) share."""
    available = psutil.virtual_memory().available
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return available
    return min(available, limit - used + int(stat.get("inactive_file", 0)))


def float32_bytes(folder: Path) -> int:
    """The size of a checkpoint's weights once loaded, from the headers of its safetensors files."""
    total = 0
    for file in folder.glob("model*.safetensors"):
        with file.open("rb") as stream:
            header = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
        total += sum(4 * prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    return total


def check_room_for(folder: Path, model: str) -> None:
    """MachineError where `folder`'s weights would not fit into what memory is left."""
    try:
        needed = _SPARE * float32_bytes(folder)
    except (OSError, ValueError, KeyError, struct.error):
        return  # broken: loading says so
    if needed > available_bytes():
        raise MachineError(
            "error.too_large", model=model, needed=f"{needed / 1e9:.1f}", available=f"{available_bytes() / 1e9:.1f}"
        )


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in kB
