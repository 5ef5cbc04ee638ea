"""Help with the prompt, and what a screen reader hears: by role, name and description, on the fake engine."""

import itertools
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from musicgen_ui.prompts import GENRES, INSTRUMENTS, MOODS
from musicgen_ui.ui.inputs import TRIES
from tests.ui.steps import SOON, button, describe, done, make_short, tab, words

OpenPage = Callable[..., Page]
LOCALES = ("en-US", "zh-CN")


def prompt_box(page: Page, locale: str = "en-US") -> Locator:
    return page.get_by_label(words("page.prompt", locale))


def unfold(page: Page, locale: str = "en-US") -> None:
    page.get_by_role("button", name=re.compile("^" + words("page.blocks", locale))).click()
    expect(group(page, "genre", locale)).to_be_visible(timeout=SOON)


def group(page: Page, name: str, locale: str = "en-US") -> Locator:
    role = "group" if name in ("instruments", "moods") else "radiogroup"
    return page.get_by_role(role, name=words(f"page.blocks.{name}", locale), exact=True)  # type: ignore[arg-type]


def switch(page: Page, name: str, chip: str) -> None:
    role = "checkbox" if name in ("instruments", "moods") else "radio"
    group(page, name).get_by_role(role, name=chip, exact=True).click()  # type: ignore[arg-type]


def choose_model(page: Page, name: str, locale: str) -> None:
    box = page.get_by_role("listbox", name=words("page.model", locale), exact=True)
    box.fill(name)
    box.press("Enter")


def test_the_blocks_write_the_prompt(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    unfold(page)
    box = prompt_box(page)
    switch(page, "instruments", "piano")
    expect(box).to_have_value("A piece with piano")
    switch(page, "genre", "ambient")
    expect(box).to_have_value("An ambient piece with piano")
    switch(page, "instruments", "strings")
    switch(page, "moods", "dreamy")
    switch(page, "tempo", "slow · 66 bpm")
    switch(page, "key", "D minor")
    expect(box).to_have_value("A slow, dreamy ambient piece with piano and strings, 66 bpm, in D minor")
    switch(page, "instruments", "piano")
    switch(page, "genre", "any")
    expect(box).to_have_value("A slow, dreamy piece with strings, 66 bpm, in D minor")
    button(page, "page.blocks.clear").click()
    expect(box).to_have_value("")
    expect(group(page, "moods").get_by_role("checkbox", checked=True)).to_have_count(0)
    expect(group(page, "tempo").get_by_role("radio", name="any")).to_be_checked()
    assert page.faults == []  # type: ignore[attr-defined]


def test_own_words_stay(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    box = prompt_box(page)
    describe(page, "rainy night in Tokyo")
    unfold(page)
    switch(page, "genre", "jazz")
    expect(box).to_have_value("rainy night in Tokyo, a jazz tune")
    box.press("End")
    box.press_sequentially(" with vinyl noise")
    switch(page, "moods", "calm")
    expect(box).to_have_value("rainy night in Tokyo, a calm jazz tune with vinyl noise")
    describe(page, "rewritten by hand")
    switch(page, "instruments", "piano")
    expect(box).to_have_value("rewritten by hand, a calm jazz tune with piano")
    button(page, "page.blocks.clear").click()
    expect(box).to_have_value("rewritten by hand")
    describe(page, "first piece\n")
    switch(page, "genre", "waltz")
    expect(box).to_have_value("first piece\nA waltz")


def test_surprises_are_sentences_and_the_chips_say_them(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    box = prompt_box(page)
    describe(page, "my own")
    unfold(page)
    rolled: set[str] = set()
    for _ in range(6):
        button(page, "page.blocks.surprise").click()
        page.wait_for_timeout(400)
        rolled.add(box.input_value())
        genre = group(page, "genre").get_by_role("radio", checked=True)
        expect(genre).not_to_have_value("")
        assert re.match(rf"my own, an? .*\b{genre.input_value()}\b.* with ", box.input_value())
        for chip in group(page, "instruments").get_by_role("checkbox", checked=True).all():
            assert str(chip.get_attribute("name")) in box.input_value()
    assert len(rolled) >= 4


def test_chips_by_keyboard(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    unfold(page)
    group(page, "genre").get_by_role("radio", name="any").focus()
    page.keyboard.press("ArrowRight")
    expect(prompt_box(page)).to_have_value("An ambient piece")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(prompt_box(page)).to_have_value("An ambient piece with piano")


def test_chips_are_chinese_and_write_english(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app, locale="zh-CN")
    unfold(page, "zh-CN")
    for name, role, blocks in (
        ("genre", "radio", GENRES),
        ("instruments", "checkbox", INSTRUMENTS),
        ("moods", "checkbox", MOODS),
    ):
        for block in blocks:
            chip = group(page, name, "zh-CN").get_by_role(role, name=block.chinese, exact=True)  # type: ignore[arg-type]
            expect(chip).to_be_visible()
    group(page, "genre", "zh-CN").get_by_role("radio", name="氛围音乐").click()
    expect(prompt_box(page, "zh-CN")).to_have_value("An ambient piece")
    expect(page.get_by_text(words("page.tips.never", "zh-CN"))).to_be_visible()
    expect(page.get_by_text(words("page.tips.never"))).to_have_count(0)


@pytest.mark.parametrize("locale", LOCALES)
def test_chinese_for_a_model_that_knows_english(fake_app: str, open_page: OpenPage, locale: str) -> None:
    page = open_page(fake_app, locale=locale)
    use = button(page, "page.hint.use", locale)
    describe(page, "夜晚海边的慢速钢琴曲", locale)
    page.wait_for_timeout(600)
    expect(use).to_be_hidden()
    choose_model(page, "small", locale)
    hint = page.locator(".mg-hint p")
    expect(hint).to_contain_text(words("page.hint", locale).format(model="small"), timeout=SOON)
    expect(hint).to_contain_text("A slow piece with piano")
    expect(hint).to_contain_text("夜晚海边")
    describe(page, "<雨>", locale)
    expect(hint).to_contain_text(words("page.hint.nothing", locale).format(model="small"))
    expect(use).to_be_hidden()
    describe(page, "a tune\n欢快的长笛", locale)
    expect(hint).to_contain_text("A happy piece with flute")
    use.click()
    expect(prompt_box(page, locale)).to_have_value("a tune\nA happy piece with flute")
    expect(hint).to_have_count(0)
    expect(use).to_be_hidden()
    describe(page, "慢速的钢琴曲", locale)
    expect(use).to_be_visible()
    choose_model(page, "nano", locale)
    expect(use).to_be_hidden(timeout=SOON)
    assert page.faults == []  # type: ignore[attr-defined]


def test_chinese_beside_a_clip(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app, locale="zh-CN")
    choose_model(page, "small", "zh-CN")
    tab(page, "page.tab.audio", "zh-CN").click()
    description = page.get_by_label(words("page.description", "zh-CN"))
    description.fill("欢快的长笛")
    expect(page.locator(".mg-hint p")).to_contain_text("A happy piece with flute", timeout=SOON)
    button(page, "page.hint.use", "zh-CN").click()
    expect(description).to_have_value("A happy piece with flute")
    expect(page.locator(".mg-hint p")).to_have_count(0)


@pytest.mark.parametrize("locale", LOCALES)
def test_examples_tell_how_they_will_sound(fake_app: str, open_page: OpenPage, locale: str) -> None:
    page = open_page(fake_app, locale=locale)
    told = page.locator(".mg-tried p")
    for name in TRIES:
        chip, sound = button(page, f"page.try.{name}", locale), words(f"page.sounds.{name}", locale)
        expect(chip).to_have_accessible_description(sound)
        expect(chip).to_have_attribute("title", sound)
        expect(told).to_have_count(0)
        chip.click()  # a finger can't hover
        expect(told).to_have_text(sound)
        prompt = page.get_by_label(words("page.prompt", locale))
        expect(prompt).to_have_value(words(f"page.try.{name}.prompt", locale))
        prompt.press("End")
        prompt.press("!")


@pytest.mark.parametrize(("locale", "width"), [("en-US", 1280), ("zh-CN", 390)])
def test_everything_has_a_name(fake_app: str, open_page: OpenPage, locale: str, width: int) -> None:
    page = open_page(fake_app, locale=locale, width=width)
    make_short(page, locale=locale)
    describe(page, "a waltz\na march", locale)
    button(page, "page.generate", locale).click()
    expect(done(page, locale)).to_be_visible(timeout=SOON)
    expect(page.get_by_role("img", name=words("page.result.picture", locale))).to_be_visible(timeout=SOON)
    folds, number = page.locator(".mg-fold > button"), 0
    while number < folds.count():  # one may hold another
        if folds.nth(number).is_visible():
            folds.nth(number).click()
            page.wait_for_timeout(300)
        number += 1
    levels = []
    for key in ("page.tab.unconditional", "page.tab.text", "page.tab.audio"):
        tab(page, key, locale).click()
        page.wait_for_timeout(500)
        tree = page.locator("main").aria_snapshot()
        table = tree.index("- grid")  # of the generation config: its empty cells have no name but their place
        nameless = re.findall(
            r"^ *- (?:button|checkbox|radio|switch|slider|spinbutton|textbox|listbox|combobox|link|radiogroup|group)\b"
            r"(?! \")[^\n]*",
            tree[:table],
            re.MULTILINE,
        )
        assert nameless == []
        if locale == "zh-CN":
            assert not re.search(r'"[^"\n]*(?:number input|range slider|Reset to|Adjust|Skip |Upload|Record a)', tree)
        levels = [int(level) for level in re.findall(r"heading .*\[level=(\d)\]", tree)]
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert len(levels) >= 2


def test_the_status_area_speaks_but_does_not_chatter(fake_app: str, open_page: OpenPage) -> None:
    """What a screen reader reads out: what comes into a live region, unless a part of it is switched off."""
    page = open_page(fake_app)
    expect(page.locator("#mg-status .prose")).to_have_attribute("role", "status")
    page.evaluate(
        """() => {
          window.read = [];
          new MutationObserver((changes) => {
            for (const change of changes) {
              const node = change.target.nodeType === 1 ? change.target : change.target.parentElement;
              for (const added of [...change.addedNodes, node]) {
                const element = added.nodeType === 1 ? added : added.parentElement;
                const live = element?.closest("[aria-live], [role=status], [role=alert]");
                const words = element?.innerText?.trim();
                const off = live?.getAttribute("aria-live") === "off" || element?.querySelector("[aria-live=off]");
                if (live && !off && words) window.read.push(words);
              }
            }
          }).observe(document.body, { childList: true, subtree: true, characterData: true });
        }"""
    )
    make_short(page, 753)
    describe(page, "a long waltz")
    button(page, "page.generate").click()
    expect(page.get_by_text(re.compile(r"[1-9]\d* of 753 tokens"))).to_be_visible(timeout=SOON)
    expect(done(page)).to_be_visible(timeout=SOON)
    page.wait_for_timeout(500)
    read = list(dict.fromkeys(page.evaluate("window.read")))
    assert any(line.startswith("Done:") for line in read), read
    assert not [line for line in read if re.search(r"\d tokens", line)], read
    assert len(read) <= 6, read
