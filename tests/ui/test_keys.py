"""Keys that work on the whole page and in the tray, on the fake engine."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.ui.steps import SOON, button, describe, done, heading, make_short, tab, takes, words

OpenPage = Callable[..., Page]


def start_long(page: Page, prompt: str) -> None:
    make_short(page, 1500)
    describe(page, prompt)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text(re.compile(r"[1-9]\d* of 1500 tokens"))).to_be_visible(timeout=SOON)
    page.wait_for_timeout(700)


def stopped(page: Page) -> Locator:
    return page.get_by_role("status").filter(has_text=words("page.status.stopped").split("{")[0])


def play_button(page: Page, title: str) -> Locator:
    return page.get_by_role(
        "button", name=re.compile(f"^({words('page.tray.play')}|{words('page.tray.pause')}): {title}$")
    )


def two_takes(page: Page, tokens: int) -> None:
    make_short(page, tokens)
    describe(page, "lower\nupper")
    button(page, "page.generate").click()
    expect(done(page)).to_be_visible(timeout=SOON)
    expect(takes(page)).to_have_count(2)
    page.wait_for_timeout(500)


def test_escape_stops_and_keeps_what_was_made(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    start_long(page, "too long to wait for")
    page.keyboard.press("Escape")
    expect(stopped(page)).to_be_visible(timeout=SOON)
    expect(heading(page)).to_have_text("too long to wait for")
    page.keyboard.press("Escape")  # with nothing to stop
    page.keyboard.type(", and more")
    expect(page.get_by_label(words("page.prompt"))).to_have_value("too long to wait for, and more")
    assert page.faults == []  # type: ignore[attr-defined]


def test_escape_is_left_to_lists_names_and_input_methods(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make_short(page)
    describe(page, "first")
    button(page, "page.generate").click()
    expect(done(page)).to_be_visible(timeout=SOON)
    start_long(page, "second")
    describe(page, "written by an input method")
    page.get_by_label(words("page.prompt")).dispatch_event("keydown", {"key": "Escape", "isComposing": True})
    page.get_by_role("listbox", name=words("page.model")).click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name=f"{words('page.tray.rename')}: first", exact=True).click()
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)
    expect(button(page, "page.stop")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(stopped(page)).to_be_visible(timeout=SOON)


def test_a_key_goes_to_the_description(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    for name, field in (("page.tab.text", "page.prompt"), ("page.tab.audio", "page.description")):
        tab(page, name).click()
        page.keyboard.press("Control+/")
        expect(page.get_by_label(words(field))).to_be_focused()
        page.keyboard.type("drums/bass")
        expect(page.get_by_label(words(field))).to_have_value("drums/bass")
    tab(page, "page.tab.unconditional").click()
    page.keyboard.press("Control+/")  # there is none
    tab(page, "page.tab.text").click()
    page.keyboard.press("/")  # alone it is the browser's
    expect(tab(page, "page.tab.text")).to_be_focused()
    assert page.faults == []  # type: ignore[attr-defined]


def test_arrows_go_from_take_to_take_and_through_their_sound(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    two_takes(page, 753)
    page.evaluate(
        """() => {
            const { play } = HTMLMediaElement.prototype;
            HTMLMediaElement.prototype.play = function () { window.sound = this; return play.call(this); };
        }"""
    )
    upper, lower = play_button(page, "upper"), play_button(page, "lower")
    lower.focus()
    page.keyboard.press("ArrowDown")  # there is none below
    expect(lower).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(upper).to_be_focused()
    page.keyboard.press("Space")
    page.wait_for_function("() => window.sound?.currentTime > 0.1")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => sound.currentTime > 5")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => sound.currentTime > 10")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => sound.currentTime < 9")
    before = page.evaluate("() => sound.currentTime")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(lower).to_be_focused()
    page.keyboard.press("ArrowRight")  # not what sounds
    page.wait_for_timeout(300)
    assert before < page.evaluate("() => sound.currentTime") < before + 4
    assert page.faults == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_the_keys_are_listed(fake_app: str, open_page: OpenPage, locale: str) -> None:
    page = open_page(fake_app, locale=locale)
    page.get_by_role("button", name=words("page.keys", locale)).click()
    terms, meanings = page.get_by_role("term"), page.get_by_role("definition")
    expect(terms).to_have_text(["Ctrl Enter", "Esc", "Ctrl /", "← →", "↑ ↓"])
    names = ("start", "stop", "prompt", "seek", "row")
    expect(meanings).to_have_text([words(f"page.keys.{name}", locale) for name in names])
