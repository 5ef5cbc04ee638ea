"""Settings that survive a reload, and links to them, on the fake engine."""

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlencode, urlsplit

from playwright.sync_api import Page, expect

from tests.ui.steps import SOON, button, describe, done, heading, make_short, number_box, tab, words

OpenPage = Callable[..., Page]


def test_settings_are_there_after_a_reload(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    describe(page, "kept words\nand more")
    make_short(page, 77)
    number_box(page, "page.guidance").fill("4.5")
    number_box(page, "page.guidance").press("Tab")
    page.get_by_role("checkbox", name=words("page.sampling")).uncheck()
    page.get_by_role("button", name=words("page.more")).click()
    number_box(page, "page.seed").fill("7")
    number_box(page, "page.seed").press("Tab")
    page.wait_for_timeout(500)
    page.reload()
    expect(page.get_by_label(words("page.prompt"))).to_have_value("kept words\nand more", timeout=SOON)
    expect(number_box(page, "page.length")).to_have_value("77")
    expect(number_box(page, "page.guidance")).to_have_value("4.5")
    expect(page.get_by_role("checkbox", name=words("page.sampling"))).not_to_be_checked()
    page.get_by_role("button", name=words("page.more")).click()
    expect(number_box(page, "page.seed")).to_have_value("7")
    expect(page.get_by_role("checkbox", name=words("page.seed.lock"))).to_be_checked()
    stranger = open_page(fake_app)
    expect(stranger.get_by_label(words("page.prompt"))).to_have_value("")


def test_what_buttons_chips_and_tabs_set_is_there_after_a_reload(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    button(page, "page.try.rock").click()
    expect(page.get_by_label(words("page.prompt"))).not_to_have_value("")
    button(page, "page.length.60").click()
    expect(number_box(page, "page.length")).to_have_value("3003", timeout=SOON)
    tab(page, "page.tab.audio").click()
    page.get_by_role("radio", name=words("page.mode.melody")).check()
    page.wait_for_timeout(500)
    page.reload()
    expect(tab(page, "page.tab.audio")).to_have_attribute("aria-selected", "true", timeout=SOON)
    expect(page.get_by_role("radio", name=words("page.mode.melody"))).to_be_checked()
    expect(number_box(page, "page.length")).to_have_value("3003")
    tab(page, "page.tab.text").click()
    expect(page.get_by_label(words("page.prompt"))).to_have_value(words("page.try.rock.prompt"))


def test_a_copied_link_opens_the_page_with_these_settings(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    describe(page, "bells & more\n中文 50%")
    make_short(page, 53)
    page.get_by_role("button", name=words("page.more")).click()
    number_box(page, "page.seed").fill("11")
    number_box(page, "page.seed").press("Tab")
    button(page, "page.link").click()
    expect(button(page, "page.link")).to_have_attribute("data-copied", "")
    link = page.evaluate("() => navigator.clipboard.readText()")
    assert link.startswith(fake_app)
    assert parse_qs(urlsplit(link).query)["prompt"] == ["bells & more\n中文 50%"]

    other = open_page(link)
    expect(other.get_by_label(words("page.prompt"))).to_have_value("bells & more\n中文 50%", timeout=SOON)
    expect(number_box(other, "page.length")).to_have_value("53")
    expect(other.get_by_role("status").filter(has_text=words("page.link.opened"))).to_be_visible()
    button(other, "page.generate").click()
    expect(done(other)).to_be_visible(timeout=SOON)
    expect(heading(other)).to_have_text("bells & more")
    expect(other.get_by_role("button", name=re.compile("1 · seed 11"))).to_be_visible()


def test_a_link_to_a_melody_opens_its_tab(fake_app: str, open_page: OpenPage) -> None:
    asked = {"mode": "melody", "prompt": "flute", "model": "nano-melody", "guidance_scale": "2.5"}
    page = open_page(f"{fake_app}/?{urlencode(asked)}")
    expect(tab(page, "page.tab.audio")).to_have_attribute("aria-selected", "true", timeout=SOON)
    expect(page.get_by_label(words("page.description"))).to_have_value("flute")
    expect(page.get_by_role("radio", name=words("page.mode.melody"))).to_be_checked()
    expect(number_box(page, "page.guidance")).to_have_value("2.5")


def test_a_wrong_link_is_told_in_the_readers_language(fake_app: str, open_page: OpenPage) -> None:
    for locale in ("en-US", "zh-CN"):
        page = open_page(f"{fake_app}/?prompt=x&seed=many", locale=locale)
        said = page.get_by_role("alert").filter(has_text=words("page.link.wrong", locale).split("{")[0])
        expect(said).to_contain_text("seed", timeout=SOON)
        expect(page.get_by_label(words("page.prompt", locale))).to_have_value("")
