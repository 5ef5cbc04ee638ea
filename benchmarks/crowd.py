"""Many users at once on nano: is each answered, in turn, with their own music, and does the page stay quick meanwhile?

    python -m benchmarks.crowd --users 50

Every user asks for one second of music; who is refused (the queue is bounded) reads the sentence and asks again.
Prints one JSON object; exit code 1 where anybody got anything but their own music or a sentence of ours.
"""

import argparse
import json
import re
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
from gradio_client import Client
from gradio_client.exceptions import AppError

from benchmarks.served import served
from musicgen_ui.locales import catalogue
from musicgen_ui.tags import read_record

TOKENS = 53  # 1 s
AGAIN = 1.0  # s after which a refused user asks again
FULL = catalogue("en")["error.queue_full"].partition("{limit}")[2]

parser = argparse.ArgumentParser()
parser.add_argument("--users", type=int, default=50)
options = parser.parse_args()

together = threading.Barrier(options.users)
wrong: list[str] = []  # what shouldn't have been
sound_of: dict[bytes, int] = {}  # a file's content → whose it is


def use(url: str, user: int) -> dict:
    client = Client(url, verbose=False)
    together.wait()
    asked, refusals = time.perf_counter(), 0
    while True:
        begun = time.perf_counter()
        try:
            files, records = client.predict(
                prompt=f"song of {user}", seed=user, max_new_tokens=TOKENS, api_name="/text"
            )
        except AppError as fault:
            refusals += 1
            if FULL not in str(fault):
                wrong.append(f"{user} was told: {fault}")
                return {"refusals": refusals}
            time.sleep(AGAIN)
            continue
        answered = time.perf_counter()
        in_file = read_record(files[0])
        if (in_file["prompt"], in_file["seed"]) != (f"song of {user}", user) or in_file != records[0]:
            wrong.append(f"{user} got the music of {in_file['prompt']}")
        with open(files[0], "rb") as file:
            other = sound_of.setdefault(file.read(), user)
        if other != user:
            wrong.append(f"{user} got the same bytes as {other}")
        return {"refusals": refusals, "accepted": begun - asked, "waited": answered - begun, "in all": answered - asked}


def visit(url: str, seconds: float, over: threading.Event) -> list[float]:
    """How long the page's HTML takes, again and again."""
    took = []
    until = time.monotonic() + seconds
    with httpx.Client() as visitor:
        while time.monotonic() < until and not over.is_set():
            begun = time.perf_counter()
            visitor.get(url).raise_for_status()
            took.append(time.perf_counter() - begun)
            time.sleep(0.2)
    return took


with served() as app, ThreadPoolExecutor(options.users + 1) as pool:
    quiet = visit(app.url, 5, threading.Event())
    over = threading.Event()
    visits = pool.submit(visit, app.url, 3_600, over)
    users = list(pool.map(lambda user: use(app.url, user), range(options.users)))
    over.set()
    busy = visits.result()
    figures = httpx.get(f"{app.url}/metrics").text
    log = app.log.read_text()

answered = [user for user in users if "waited" in user]
turns = [int(number) for number in re.findall(r"request id=(\d+) .*outcome=done", log)]  # numbered as they came
if turns != sorted(turns):
    wrong.append(f"not in turn: {turns}")
print(
    json.dumps(
        {
            "users": options.users,
            "answered": len(answered),
            "refusals": sum(user["refusals"] for user in users),
            "wrong": wrong,
            "wait_median_s": round(statistics.median(user["waited"] for user in answered), 2),
            "wait_longest_s": round(max(user["waited"] for user in answered), 2),
            "all_longest_s": round(max(user["in all"] for user in answered), 2),
            "in_turn": turns == sorted(turns),
            "page_median_ms_quiet": round(1000 * statistics.median(quiet), 1),
            "page_median_ms_busy": round(1000 * statistics.median(busy), 1),
            "page_slowest_ms_busy": round(1000 * max(busy), 1),
            "metrics": [line for line in figures.splitlines() if line.startswith("musicgen_requests_total")],
        },
        indent=1,
    )
)
sys.exit(1 if wrong or len(answered) < options.users else 0)
