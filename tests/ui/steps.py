"""What a person does on the page, by role and label; shared by the tests on the fake and on the real engine."""

import re
from pathlib import Path

from playwright.sync_api import Locator, Page

from musicgen_ui.locales import catalogue

SOON = 60_000  # ms; patience, not speed: another page is tested at the same time, perhaps on a slow machine


def words(key: str, locale: str = "en-US") -> str:
    return catalogue("zh-CN" if locale.startswith("zh") else "en")[key]


def button(page: Page, key: str, locale: str = "en-US") -> Locator:
    return page.get_by_role("button", name=words(key, locale), exact=True)


def tab(page: Page, key: str, locale: str = "en-US") -> Locator:
    return page.get_by_role("tab", name=words(key, locale), exact=True)


def number_box(page: Page, key: str, locale: str = "en-US") -> Locator:
    """The number beside a slider, or a number field."""
    return page.get_by_role("spinbutton", name=re.compile(re.escape(words(key, locale))))


def make_short(page: Page, tokens: int = 53, locale: str = "en-US") -> None:
    box = number_box(page, "page.length", locale)
    box.fill(str(tokens))
    box.press("Tab")


def describe(page: Page, prompt: str, locale: str = "en-US") -> None:
    page.get_by_label(words("page.prompt", locale)).fill(prompt)


def done(page: Page, locale: str = "en-US") -> Locator:
    """The status line of a run that came to its end."""
    return page.get_by_role("status").filter(has_text=words("page.status.done", locale).split("{")[0])


def heading(page: Page) -> Locator:
    return page.get_by_role("heading", level=2)


def takes(page: Page) -> Locator:
    """The rows of the tray, newest first."""
    return page.get_by_role("region", name=re.compile("^(Your takes|你的作品)$")).get_by_role("listitem")


class Hand:
    """Drags a file from outside over the page."""

    def __init__(self, page: Page, file: Path) -> None:
        self._session = page.context.new_cdp_session(page)
        self._data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}

    def over(self, place: Locator) -> None:
        self._send(place, "dragEnter")
        self._send(place, "dragOver")

    def stay(self, place: Locator, seen: Locator) -> None:
        """Over `place` until something is seen, as a hand would: the browser tells of it again and again."""
        for _ in range(100):
            self.over(place)
            if seen.is_visible():
                return
            place.page.wait_for_timeout(50)
        raise AssertionError("nothing was seen")

    def drop(self, place: Locator) -> None:
        self.over(place)
        self._send(place, "drop")

    def away(self, place: Locator) -> None:
        self._send(place, "dragCancel")

    def _send(self, place: Locator, act: str) -> None:
        box = place.bounding_box()
        assert box
        middle = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        self._session.send("Input.dispatchDragEvent", {"type": act, "data": self._data, **middle})
