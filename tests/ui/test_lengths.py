"""Pieces of minutes, as a person asks for them: lengths to click, prompts with times, a long take extended."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.ui.steps import SOON, button, describe, done, heading, make_short, number_box, words

OpenPage = Callable[..., Page]


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_a_piece_of_a_minute_whose_prompt_changes(fake_app: str, open_page: OpenPage, locale: str) -> None:
    page = open_page(fake_app, locale=locale)
    box = number_box(page, "page.length", locale)
    slider = page.locator("#mg-length input[type=range]")
    note = page.locator("#mg-estimate").get_by_text("0:30")
    expect(slider).to_have_attribute("max", "1500")
    button(page, "page.length.30", locale).click()
    expect(box).to_have_value("1500")  # what the model holds at once
    describe(page, "0:00 slow piano | drums", locale)
    button(page, "page.generate", locale).click()
    expect(page.get_by_role("alert")).to_contain_text("drums", timeout=SOON)
    prompt = "0:00 slow piano | 0:30 drums"
    describe(page, prompt, locale)
    button(page, "page.generate", locale).click()
    late = words("error.section_late", locale).format(time="0:30", seconds="29.9")
    expect(page.get_by_role("alert")).to_contain_text(late, timeout=SOON)
    expect(note).to_be_hidden()

    button(page, "page.length.60", locale).click()
    expect(box).to_have_value("3003")
    expect(slider).to_have_attribute("max", "15003")
    expect(note).to_be_visible()
    make_short(page, 1603, locale)  # 32 s
    button(page, "page.generate", locale).click()
    of_all = words("page.progress.tokens", locale).format(done="", total=1603).strip()
    expect(page.locator("#mg-status")).to_contain_text(of_all, timeout=SOON)
    expect(done(page, locale)).to_be_visible(timeout=SOON)
    expect(heading(page)).to_have_text(prompt)

    button(page, "page.length.10", locale).click()
    expect(box).to_have_value("503")
    expect(slider).to_have_attribute("max", "1500")
    button(page, "page.result.extend", locale).click()  # the take is longer than what the model holds
    expect(page.get_by_label(words("page.description", locale))).to_have_value(prompt, timeout=SOON)
    expect(page.locator("#mg-status")).to_contain_text("503", timeout=SOON)
    expect(done(page, locale)).to_be_visible(timeout=SOON)
    assert page.faults == []  # type: ignore[attr-defined]
