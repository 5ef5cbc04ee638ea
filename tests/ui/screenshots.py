"""Takes the pictures of the page into assets/screenshots: `python -m tests.ui.screenshots [URL]`.

Without a URL it starts the app itself.
"""

import contextlib
import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.ui.conftest import CHROMIUM_OPTIONS, ROOT, find_chromium, launched
from tests.ui.steps import button, tab, words

FOLDER = ROOT / "assets" / "screenshots"
PROMPTS = {
    "en-US": ("slow piano in A minor, gentle and sparse", "rock with electric guitar and drums, 130 bpm"),
    "zh-CN": ("A小调的慢速钢琴曲，没有鼓", "摇滚，失真吉他，有鼓，每分钟130拍"),
}
PATIENCE = 300_000  # ms: a first run waits for the engine
SHOTS = {
    "desktop-light": {"locale": "en-US", "width": 1280, "color_scheme": "light"},
    "desktop-dark": {"locale": "en-US", "width": 1280, "color_scheme": "dark"},
    "phone": {"locale": "en-US", "width": 390, "color_scheme": "light"},
    "chinese": {"locale": "zh-CN", "width": 1280, "color_scheme": "light"},
    "inside": {"locale": "en-US", "width": 1280, "color_scheme": "light", "show": lambda page: unfold(page, "Inside")},
    "help": {"locale": "en-US", "width": 1280, "color_scheme": "light", "show": lambda page: roll(page)},
    "melody": {"locale": "en-US", "width": 1280, "color_scheme": "light", "show": lambda page: follow(page)},
    "chinese-phone": {"locale": "zh-CN", "width": 390, "color_scheme": "light"},
}


def open_with_takes(browser: Browser, url: str, locale: str, width: int, color_scheme: str) -> Page:
    context = browser.new_context(
        locale=locale,
        viewport={"width": width, "height": 844 if width < 500 else 900},
        color_scheme=color_scheme,  # type: ignore[arg-type]
        device_scale_factor=2 if width < 500 else 1,
    )
    page = context.new_page()
    page.goto(url)
    page.locator("#mg-estimate p").wait_for()
    for prompt in PROMPTS[locale]:
        page.get_by_role("textbox").and_(page.locator("#mg-prompt textarea")).fill(prompt)
        page.keyboard.press("Control+Enter")
        expect(page.get_by_role("heading", level=2)).to_have_text(prompt, timeout=PATIENCE)
        page.wait_for_timeout(4000)  # the player draws its waveform, and what came out is measured
    return page


def unfold(page: Page, title: str) -> None:
    page.get_by_role("button", name=re.compile("^" + title)).click()
    page.wait_for_timeout(800)


def roll(page: Page) -> None:
    """The building blocks, as a dice has set them."""
    page.locator("#mg-prompt textarea").fill("")
    unfold(page, words("page.blocks"))
    button(page, "page.blocks.surprise").click()
    page.wait_for_timeout(1500)


def follow(page: Page) -> None:
    """A tune that is to be followed, and the take that did."""
    tab(page, "page.tab.audio").click()
    button(page, "page.example.piano-tune").click()
    page.get_by_role("radio", name=words("page.mode.melody")).check()
    page.get_by_role("img", name=re.compile("^" + words("page.tune.alt").split("{")[0])).wait_for()
    page.get_by_label(words("page.description")).fill("flute")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", level=2)).to_have_text("flute", timeout=PATIENCE)
    page.wait_for_timeout(4000)


def take_pictures(url: str, folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_OPTIONS))
        for name, shot in SHOTS.items():
            page = open_with_takes(browser, url, shot["locale"], shot["width"], shot["color_scheme"])
            if "show" in shot:
                shot["show"](page)
            page.mouse.move(0, 0)
            page.screenshot(path=folder / f"{name}.png", full_page=True)
            print(folder / f"{name}.png")
            page.context.close()
        browser.close()


if __name__ == "__main__":
    with contextlib.ExitStack() as stack:
        if len(sys.argv) > 1:
            address = sys.argv[1]
        else:
            log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "log.txt"
            address = stack.enter_context(launched(ROOT / "app.py", log))
        take_pictures(address)
