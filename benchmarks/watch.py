"""The most memory of its own (RssAnon: no mapped files) that a process holds, watched from another process.

A thread in the process itself would be held up by whatever holds the interpreter's lock.

python -m benchmarks.watch PID       until stdin is closed; then prints the peak in bytes
"""

import select
import sys
from pathlib import Path

INTERVAL = 0.004  # s


def status_bytes(pid: int | str, field: str) -> int:
    """A line of /proc/PID/status, such as VmRSS or RssAnon."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise KeyError(field)


if __name__ == "__main__":
    print("watching", flush=True)
    peak = 0
    while not select.select([sys.stdin], [], [], INTERVAL)[0]:
        peak = max(peak, status_bytes(sys.argv[1], "RssAnon"))
    print(peak)
