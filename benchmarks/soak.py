"""One second of music, again and again: what grows? Memory, threads, open files, files on disk.

    python -m benchmarks.soak --takes 1000

Every ten takes are another user's; the last twenty users' pages stay open. The app is told to keep the takes of five
(MUSICGEN_SESSIONS), so that the bound is reached soon. Prints a line for each tenth of the way, then one JSON
object with the last line's growth over the middle one's; exit code 1 where anything grew by more than MOST, or where
a file came to lie beside the app's own folders.
"""

import argparse
import contextlib
import json
import sys
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path

import psutil
from gradio_client import Client

from benchmarks.served import Served, served

TOKENS = 53  # 1 s
TAKES_PER_USER = 10
PAGES = 20  # that stay open
MOST = {  # that the second half of the way may add
    "page_mb": 10, "engine_mb": 20, "page_threads": 3, "engine_threads": 1, "page_open": 10, "engine_open": 2,
    "files": 5, "files_mb": 2, "files_beside": 0,
}  # fmt: skip

parser = argparse.ArgumentParser()
parser.add_argument("--takes", type=int, default=1_000)
options = parser.parse_args()


def census(app: Served) -> dict[str, float]:
    page = psutil.Process(app.pid)
    engines = [child for child in page.children() if child.memory_info().rss > 100e6]
    files = [path for path in app.folder.rglob("*") if path.is_file()]
    beside = [path for path in Path.cwd().glob("[!.]*/**/*") if path.is_file()]
    return {
        "page_mb": page.memory_info().rss / 1e6,
        "engine_mb": sum(engine.memory_info().rss for engine in engines) / 1e6,
        "page_threads": page.num_threads(),
        "engine_threads": sum(engine.num_threads() for engine in engines),
        "page_open": page.num_fds(),
        "engine_open": sum(engine.num_fds() for engine in engines),
        "files": len(files),
        "files_mb": sum(path.stat().st_size for path in files) / 1e6,
        "files_beside": len(beside),
    }


def make(client: Client, seed: int) -> None:
    """One take. gradio_client may take the end of its last call's stream for the end of this one's: once more, then."""
    for _ in range(3):
        with contextlib.suppress(CancelledError):
            client.predict(prompt="bells", seed=seed, max_new_tokens=TOKENS, api_name="/text")
            return
    raise RuntimeError(f"take {seed} was cancelled")


counts: list[dict[str, float]] = []
with served(MUSICGEN_SESSIONS="5") as app:
    started = time.perf_counter()
    clients: list[Client] = []
    for take in range(options.takes):
        if take % TAKES_PER_USER == 0:
            clients.append(Client(app.url, verbose=False, download_files=False))
            if len(clients) > PAGES:
                threading.Thread(target=clients.pop(0).close).start()  # it waits for its next heartbeat
        make(clients[-1], take)
        if (take + 1) % max(1, options.takes // 10) == 0:
            counts.append({"takes": take + 1, "seconds": time.perf_counter() - started, **census(app)})
            print("  ".join(f"{name} {value:.0f}" for name, value in counts[-1].items()), flush=True)
middle, last = counts[len(counts) // 2 - 1], counts[-1]
growth = {name: round(last[name] - middle[name], 1) for name in last}
grew = {name: growth[name] for name, most in MOST.items() if growth[name] > most}
print(
    json.dumps(
        {
            "counts": [{name: round(value, 1) for name, value in count.items()} for count in counts],
            "growth": growth,
            "grew_too_much": grew,
        }
    )
)
sys.exit(1 if grew else 0)
