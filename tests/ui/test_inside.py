"""The "Inside" view on the fake engine: the stages, T5's tokens, the delay pattern, the code, and takes to compare."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from musicgen_ui.tags import read_record
from tests.ui.steps import SOON, button, describe, done, heading, make_short, number_box, tab, words

OpenPage = Callable[..., Page]


def make_a_take(page: Page, prompt: str, locale: str = "en-US") -> None:
    make_short(page, 253, locale)
    describe(page, prompt, locale)
    button(page, "page.generate", locale).click()
    expect(done(page, locale)).to_be_visible(timeout=SOON)
    expect(heading(page)).to_have_text(prompt)
    page.wait_for_timeout(500)  # Gradio drops a click that comes in the same moment as the end of a run


def open_fold(page: Page, key: str, locale: str = "en-US") -> None:
    page.get_by_role("button", name=words(key, locale)).click()


def look_inside(page: Page, locale: str = "en-US") -> None:
    open_fold(page, "page.inside", locale)


def record_of_the_take(page: Page) -> dict:
    """What the chosen take's WAV file says."""
    with page.expect_download() as waiting:
        page.get_by_text("WAV", exact=True).click()
    path = Path(waiting.value.path())
    named = path.rename(path.with_name(f"{path.name}.wav"))
    return read_record(named)


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_stages_tokens_and_delay_are_shown(fake_app: str, open_page: OpenPage, locale: str) -> None:
    page = open_page(fake_app, locale=locale)
    make_a_take(page, "a small waltz", locale)
    look_inside(page, locale)
    stages = page.get_by_role("listitem").filter(has_text=words("page.inside.decoder.what", locale))
    expect(stages).to_contain_text("4 × 250")
    expect(stages).to_contain_text(re.compile(words("page.seconds", locale).format(seconds=r"\d[\d.]*")))
    expect(stages).to_contain_text(words("page.inside.guided", locale))
    expect(page.get_by_text("4 × 768")).to_be_visible()
    expect(page.get_by_text("1 × 160,000")).to_be_visible()
    for piece in ("▁small", "</s>"):
        expect(page.get_by_role("listitem").filter(has_text=piece)).to_be_visible()
    for key in ("page.inside.delayed", "page.inside.undone"):
        expect(page.get_by_role("img", name=words(key, locale))).to_be_visible()
    expect(page.get_by_role("img", name=words("page.inside.whole", locale).format(steps=254))).to_be_visible()
    assert page.faults == []  # type: ignore[attr-defined]


def test_a_description_that_is_too_long_is_told(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make_a_take(page, " ".join(["waltz"] * 30))
    look_inside(page)
    expect(page.get_by_text(re.compile("7 more, which were cut off"))).to_be_visible()


def test_stereo_shows_left_and_right(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    model = page.get_by_role("combobox", name=words("page.model")).or_(page.get_by_label(words("page.model"))).first
    model.fill("stereo-small")
    model.press("Enter")
    expect(page.get_by_text("CC-BY-NC-4.0").first).to_be_visible(timeout=SOON)
    make_a_take(page, "wide strings")
    look_inside(page)
    picture = page.get_by_role("img", name=words("page.inside.delayed"))
    for name in ("1 L", "1 R", "4 R"):
        expect(picture.get_by_text(name, exact=True)).to_be_visible()
    expect(page.get_by_text("2 × 160,000")).to_be_visible()


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_the_code_is_shown_copied_and_in_the_file(fake_app: str, open_page: OpenPage, locale: str) -> None:
    page = open_page(fake_app, locale=locale)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_fold(page, "page.more", locale)
    number_box(page, "page.seed", locale).fill("4242")
    make_a_take(page, 'a "quoted" tune', locale)
    look_inside(page, locale)
    open_fold(page, "page.code", locale)
    expect(page.get_by_text("np.random.default_rng(4242)")).to_be_visible(timeout=SOON)
    expect(page.get_by_text(words("page.code.run", locale).split("`")[0])).to_be_visible()
    page.get_by_role("button", name="Copy", exact=True).click()
    page.wait_for_timeout(300)
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == record_of_the_take(page)["script"].rstrip("\n")
    assert 'a "quoted" tune' in copied
    compile(copied, "take.py", "exec")
    assert page.faults == []  # type: ignore[attr-defined]


def test_takes_without_guidance_and_greedy_stand_beside_the_first(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make_a_take(page, "a theme")
    first = record_of_the_take(page)
    look_inside(page)
    changed: dict[str, object] = {}
    for key, change, fact in (
        ("page.inside.unguided", {"guidance_scale": 1.0}, "page.result.unguided"),
        ("page.inside.greedy", {"do_sample": False}, "page.result.greedy"),
    ):
        button(page, key).click()
        expect(page.get_by_text(re.compile(rf" · {words(fact)}\b")).first).to_be_visible(timeout=SOON)
        expect(button(page, key)).to_be_enabled(timeout=SOON)
        page.wait_for_timeout(500)
        changed |= change  # the second is made of the first's sister, which is chosen now
        record = record_of_the_take(page)
        differing = {name for name in first if record[name] != first[name]} - {"stages", "script"}
        assert differing == changed.keys()
        assert {name: record[name] for name in changed} == changed
    button(page, "page.inside.greedy").click()
    expect(page.get_by_text(words("page.inside.greedy.already"))).to_be_visible(timeout=SOON)
    assert page.faults == []  # type: ignore[attr-defined]


def test_without_a_description_there_is_nothing_to_guide(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make_short(page)
    tab(page, "page.tab.unconditional").click()
    button(page, "page.generate").click()
    expect(heading(page)).to_have_text(words("page.result.untitled.unconditional"), timeout=SOON)
    page.wait_for_timeout(500)
    look_inside(page)
    expect(page.get_by_text(words("page.inside.text.none"))).to_be_visible()
    expect(page.get_by_text(words("page.inside.unguided_rows"))).to_be_visible()
    button(page, "page.inside.unguided").click()
    expect(page.get_by_text(words("page.inside.unguided.already"))).to_be_visible(timeout=SOON)
    expect(button(page, "page.generate")).to_be_enabled()


def test_on_a_phone_only_the_pictures_scroll_sideways(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app, width=390)
    make_a_take(page, "a tune for a small screen")
    look_inside(page)
    open_fold(page, "page.code")
    expect(page.get_by_text("cures.apply()")).to_be_visible(timeout=SOON)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    picture = page.get_by_role("img", name=words("page.inside.delayed"))
    assert picture.evaluate("element => element.parentElement.scrollWidth > element.parentElement.clientWidth")
