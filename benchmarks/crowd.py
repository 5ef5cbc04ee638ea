"""Many users at once on nano: is each answered, in turn, with their own music, and does the page stay quick meanwhile?

    python -m benchmarks.crowd --users 50 --browsers 5

Every user asks for one second of music, by the API or on the page in a browser; who is refused (the queue is bounded)
reads the sentence and asks again. Prints one JSON object; exit code 1 where anybody got anything but their own music or
a sentence of ours, or the page's median answer took longer than PAGE_MS while the engine worked.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path

import httpx
from gradio_client import Client
from gradio_client.exceptions import AppError

from benchmarks.served import served
from musicgen_ui.locales import catalogue
from musicgen_ui.tags import read_record

TOKENS = 53  # 1 s
AGAIN = 1.0  # s after which a refused user asks again
PATIENCE = 600.0  # s that a browser waits
PAGE_MS = 200.0
WORDS = catalogue("en")
FULL = WORDS["error.queue_full"].partition("{limit}")[2]

parser = argparse.ArgumentParser()
parser.add_argument("--users", type=int, default=50)
parser.add_argument("--browsers", type=int, default=0)
options = parser.parse_args()

together = threading.Barrier(options.users + bool(options.browsers))
wrong: list[str] = []  # what shouldn't have been
sound_of: dict[bytes, str] = {}  # a file's content → whose it is


def check(user: str, prompt: str, sound: bytes, record: dict) -> None:
    """Whether the sound that `user` got is what was made of their `prompt`, and nobody else's."""
    if record["prompt"] != prompt:
        wrong.append(f"{user} got the music of {record['prompt']}")
    other = sound_of.setdefault(sound, user)
    if other != user:
        wrong.append(f"{user} got the same bytes as {other}")


def use(url: str, user: int) -> dict:
    client = Client(url, verbose=False)
    together.wait()
    asked, refusals = time.perf_counter(), 0
    prompt = f"song of {user}"
    while True:
        begun = time.perf_counter()
        try:
            files, records = client.predict(prompt=prompt, seed=user, max_new_tokens=TOKENS, api_name="/text")
        except CancelledError:  # gradio_client takes the end of its last call's stream for the end of this one's
            continue
        except httpx.TimeoutException as fault:
            wrong.append(f"{user} wasn't answered: {fault}")
            return {"refusals": refusals}
        except AppError as fault:
            refusals += 1
            if FULL not in str(fault):
                wrong.append(f"{user} was told: {fault}")
                return {"refusals": refusals}
            time.sleep(AGAIN)
            continue
        answered = time.perf_counter()
        in_file = read_record(files[0])
        if in_file["seed"] != user or in_file != records[0]:
            wrong.append(f"{user} got another's record")
        check(str(user), prompt, Path(files[0]).read_bytes(), in_file)
        return {"refusals": refusals, "accepted": begun - asked, "waited": answered - begun, "in all": answered - asked}


def browse(url: str) -> list[dict]:
    """The users who sit before a browser, each in a profile of their own; all in this thread."""
    return asyncio.run(_browse(url)) if options.browsers else []


async def _browse(url: str) -> list[dict]:
    from playwright.async_api import async_playwright

    installed = (shutil.which(name) for name in (os.environ.get("CHROMIUM", ""), "chromium", "google-chrome") if name)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=next(filter(None, installed), None), args=["--no-sandbox", "--disable-gpu"]
        )
        pages = [await opened(browser, url, f"browser {number}") for number in range(options.browsers)]
        await asyncio.to_thread(together.wait)
        users = await asyncio.gather(*(click(page, url, f"browser {n}") for n, page in enumerate(pages)))
        await browser.close()
    return users


async def opened(browser, url: str, user: str):
    """A page on which everything is filled in."""
    context = await browser.new_context(locale="en-US")
    page = await context.new_page()
    page.set_default_timeout(1_000 * PATIENCE)
    page.on("pageerror", lambda error: wrong.append(f"{user}: {error}"))
    await page.goto(url)
    await page.locator("#mg-estimate p").wait_for()
    length = page.locator("#mg-length input[type=number]")
    await length.fill(str(TOKENS))
    await length.press("Tab")
    await page.get_by_label(WORDS["page.prompt"]).fill(f"song of {user}")
    return page


async def click(page, url: str, user: str) -> dict:
    """Generate, until there is music; `told` is how long the page then takes to say that it has heard of it."""
    asked, refusals, told = time.perf_counter(), 0, []
    while True:
        await page.evaluate("document.querySelector('#mg-status [data-state]').dataset.old = ''")
        begun = time.perf_counter()
        await page.locator("#mg-generate").click()
        await page.locator("#mg-status [data-state]:not([data-old])").wait_for()
        told.append(time.perf_counter() - begun)
        ended = page.locator("#mg-status :is([data-state=done], [data-state=fault]):not([data-old])")
        await ended.wait_for()
        answered = time.perf_counter()
        if await ended.get_attribute("data-state") == "done":
            break
        refusals += 1
        said = await ended.inner_text()
        if FULL not in said:
            wrong.append(f"{user} was told: {said}")
            return {"refusals": refusals, "told": told}
        await asyncio.sleep(AGAIN)
    takes = page.locator("#mg-tray [data-sound]")
    await takes.first.wait_for()
    if await takes.count() != 1:
        wrong.append(f"{user} has {await takes.count()} takes")
    answer = await page.context.request.get(f"{url}/{await takes.first.get_attribute('data-sound')}")
    sound = await answer.body()
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        Path(file.name).write_bytes(sound)
        check(user, f"song of {user}", sound, read_record(file.name))
    return {"refusals": refusals, "told": told, "waited": answered - begun, "in all": answered - asked}


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


def milliseconds(seconds: Sequence[float]) -> float:
    return round(1000 * statistics.median(seconds), 1)


with served() as app, ThreadPoolExecutor(options.users + 2) as pool:
    quiet = visit(app.url, 5, threading.Event())
    over = threading.Event()
    visits = pool.submit(visit, app.url, 3_600, over)
    before_browsers = pool.submit(browse, app.url)
    try:
        users = list(pool.map(lambda user: use(app.url, user), range(options.users)))
        browsers = before_browsers.result()
    finally:
        over.set()
    busy = visits.result()
    figures = httpx.get(f"{app.url}/metrics").text
    log = app.log.read_text()

users += browsers
answered = [user for user in users if "waited" in user]
turns = [int(number) for number in re.findall(r"request id=(\d+) .*outcome=done", log)]  # numbered as they came
if turns != sorted(turns):
    wrong.append(f"not in turn: {turns}")
if milliseconds(busy) > PAGE_MS:
    wrong.append(f"pages took {milliseconds(busy)} ms")
told = [seconds for user in browsers for seconds in user["told"]]
print(
    json.dumps(
        {
            "users": options.users,
            "browsers": options.browsers,
            "answered": len(answered),
            "refusals": sum(user["refusals"] for user in users),
            "wrong": wrong,
            "wait_median_s": round(statistics.median(user["waited"] for user in answered), 2),
            "wait_longest_s": round(max(user["waited"] for user in answered), 2),
            "all_longest_s": round(max(user["in all"] for user in answered), 2),
            "in_turn": turns == sorted(turns),
            "page_median_ms_quiet": milliseconds(quiet),
            "page_median_ms_busy": milliseconds(busy),
            "page_slowest_ms_busy": round(1000 * max(busy), 1),
            **({"click_median_ms": milliseconds(told), "click_slowest_ms": round(1000 * max(told), 1)} if told else {}),
            "metrics": [line for line in figures.splitlines() if line.startswith("musicgen_requests_total")],
        },
        indent=1,
    )
)
sys.exit(1 if wrong or len(answered) < len(users) else 0)
