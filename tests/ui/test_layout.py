"""The page on the fake engine: what a person sees and does, found by role and label."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

from musicgen_ui.audio import write_audio
from musicgen_ui.locales import catalogue
from tests.ui.conftest import launched
from tests.ui.steps import SOON, button, describe, done, heading, make_short, number_box, tab, takes, words

OpenPage = Callable[..., Page]
LENGTH = "max_new_tokens"


def wait_done(page: Page, locale: str = "en-US") -> None:
    expect(done(page, locale)).to_be_visible(timeout=SOON)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "tune.wav"
    wave = 0.3 * np.sin(2 * np.pi * 330 * np.arange(64_000) / 32_000)
    soundfile.write(path, wave.astype(np.float32), 32_000)
    return path


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_every_tab_makes_a_take(fake_app: str, open_page: OpenPage, clip: Path, locale: str) -> None:
    page = open_page(fake_app, locale=locale)
    make_short(page, locale=locale)
    describe(page, "a small waltz", locale)
    button(page, "page.generate", locale).click()
    wait_done(page, locale)
    expect(heading(page)).to_have_text("a small waltz")

    tab(page, "page.tab.unconditional", locale).click()
    button(page, "page.generate", locale).click()
    expect(heading(page)).to_have_text(words("page.result.untitled.unconditional", locale), timeout=SOON)

    tab(page, "page.tab.audio", locale).click()
    page.locator("#mg-tabs input[type=file]").first.set_input_files(clip)
    expect(page.get_by_role("tabpanel").get_by_text("0:02").first).to_be_visible(timeout=SOON)
    button(page, "page.generate", locale).click()
    expect(heading(page)).to_have_text(words("page.result.untitled.continue", locale), timeout=SOON)
    page.get_by_role("radio", name=words("page.mode.melody", locale)).check()
    button(page, "page.generate", locale).click()
    expect(heading(page)).to_have_text(words("page.result.untitled.melody", locale), timeout=SOON)
    expect(takes(page).filter(has_text=re.compile(r"4 · (seed|种子)"))).to_have_attribute("aria-current", "true")
    assert page.faults == []  # type: ignore[attr-defined]


def test_controls_keep_their_values_between_tabs(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make_short(page, 77)
    number_box(page, "page.guidance").fill("4.5")
    page.get_by_role("checkbox", name=words("page.sampling")).uncheck()
    describe(page, "kept words")
    for key in ("page.tab.unconditional", "page.tab.audio", "page.tab.text"):
        tab(page, key).click()
        expect(number_box(page, "page.length")).to_have_value("77")
        expect(number_box(page, "page.guidance")).to_have_value("4.5")
        expect(page.get_by_role("checkbox", name=words("page.sampling"))).not_to_be_checked()
    expect(page.get_by_label(words("page.prompt"))).to_have_value("kept words")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_a_takes_file_gives_its_settings_back(fake_app: str, open_page: OpenPage, tmp_path: Path, locale: str) -> None:
    record = {
        "mode": "text", "prompt": "a waltz again", "seed": 4_242, "model": "nano", "engine": "mindnlp", "top_k": 33,
        "max_new_tokens": 71, "guidance_scale": 2.5, "do_sample": False, "temperature": 0.7, "top_p": 0.9,
    }  # fmt: skip
    path, foreign = tmp_path / "waltz.flac", tmp_path / "song.wav"
    tone = 0.3 * np.sin(np.arange(32_000) / 20, dtype=np.float32)
    write_audio(path, tone[None], 32_000, record)
    write_audio(foreign, tone[None], 32_000)
    page = open_page(fake_app, locale=locale)

    def give(file: Path) -> None:
        with page.expect_file_chooser() as chooser:
            button(page, "page.restore", locale).click()
        chooser.value.set_files(file)

    page.get_by_role("button", name=words("page.more", locale)).click()
    tab(page, "page.tab.unconditional", locale).click()
    give(foreign)
    expect(page.get_by_role("alert")).to_contain_text("song.wav", timeout=SOON)
    expect(number_box(page, "page.seed", locale)).not_to_have_value("4242")
    give(path)
    expect(page.get_by_label(words("page.prompt", locale))).to_have_value("a waltz again", timeout=SOON)
    for key, value in (
        ("page.length", "71"), ("page.guidance", "2.5"), ("page.temperature", "0.7"), ("page.top_k", "33"),
        ("page.top_p", "0.9"), ("page.seed", "4242"),
    ):  # fmt: skip
        expect(number_box(page, key, locale)).to_have_value(value)
    expect(page.get_by_role("checkbox", name=words("page.sampling", locale))).not_to_be_checked()
    expect(page.get_by_role("checkbox", name=words("page.seed.lock", locale))).to_be_checked()
    button(page, "page.generate", locale).click()
    expect(heading(page)).to_have_text("a waltz again", timeout=SOON)
    expect(page.get_by_text("mindnlp").first).to_be_visible()
    assert page.faults == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(("locale", "tempo"), [("en-US", "100 bpm"), ("zh-CN", "每分钟100拍")])
def test_what_came_out_is_measured(fake_app: str, open_page: OpenPage, locale: str, tempo: str) -> None:
    """The fake engine plucks 150 times a minute."""
    page = open_page(fake_app, locale=locale)
    make_short(page, 303, locale)
    describe(page, f"a waltz, {tempo}", locale)
    button(page, "page.generate", locale).click()
    wait_done(page, locale)
    facts = page.locator(".prose.mg-heard-facts")
    expect(facts).to_contain_text("LUFS", timeout=SOON)
    expect(facts).to_contain_text(words("page.heard.tempo", locale).format(bpm=150))
    asked = words("page.heard.tempo", locale).format(bpm=100)
    expect(facts.locator(".mg-amiss")).to_have_text(words("page.heard.asked", locale).format(what=asked))
    assert page.faults == []  # type: ignore[attr-defined]


def test_the_length_says_its_seconds(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make_short(page, 253)
    expect(page.get_by_text("5.0 s of music", exact=True)).to_be_visible()
    expect(page.get_by_text("about 1.0 s on this machine")).to_be_visible()


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_every_word_is_translated(fake_app: str, open_page: OpenPage, locale: str) -> None:
    page = open_page(fake_app, locale=locale)
    for fold in page.locator(".mg-fold > button").all():
        if fold.is_visible():
            fold.click()
    for key in ("page.tab.unconditional", "page.tab.audio", "page.tab.text"):
        tab(page, key, locale).click()
        text = page.locator("body").inner_text()
        assert not re.search(r"page\.[a-z_]+|__i18n__", text), text
    if locale == "zh-CN":
        seen = page.locator("main").inner_text()
        for key in ("page.tagline", "page.generate", "page.model", "page.guidance", "page.more"):
            assert words(key, locale) in seen
            assert words(key) not in seen


def test_a_phone_needs_no_sideways_scrolling(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app, width=390)
    expect(tab(page, "page.tab.audio")).to_be_visible()
    make_short(page)
    describe(page, "a very long prompt " * 12)
    button(page, "page.generate").click()
    wait_done(page)
    for fold in page.locator(".mg-fold > button").all():
        if fold.is_visible():
            fold.click()
    for key in ("page.tab.unconditional", "page.tab.audio", "page.tab.text"):
        tab(page, key).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


SHIFTED = """() => new Promise(done => {
  const shifts = [];
  const watch = list => shifts.push(...list.getEntries().map(shift => shift.value));
  new PerformanceObserver(watch).observe({type: "layout-shift", buffered: true});
  setTimeout(() => done(shifts), 500);
})"""


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_jumps_about_while_the_page_comes(fake_app: str, open_page: OpenPage, width: int) -> None:
    page = open_page(fake_app, width=width)
    expect(button(page, "page.generate")).to_be_visible()
    expect(page.locator(".mg-head h1")).to_be_visible()
    assert sum(page.evaluate(SHIFTED)) < 0.1  # what web.dev calls good
    make_short(page)
    describe(page, "a small waltz")
    button(page, "page.generate").click()
    wait_done(page)
    expect(page.locator(".prose.mg-heard-facts")).to_contain_text("LUFS", timeout=SOON)
    assert sum(page.evaluate(SHIFTED)) < 0.1
    page.reload()
    expect(heading(page)).to_have_text("a small waltz", timeout=SOON)
    expect(page.locator(".prose.mg-heard-facts")).to_contain_text("LUFS", timeout=SOON)
    assert sum(page.evaluate(SHIFTED)) < 0.1
    page.evaluate("document.body.prepend(Object.assign(document.createElement('div'), {style: 'height: 500px'}))")
    page.wait_for_timeout(300)
    assert sum(page.evaluate(SHIFTED)) > 0.1  # the browser does tell


def test_stop_keeps_what_was_made(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make_short(page, 1500)
    describe(page, "too long to wait for")
    button(page, "page.generate").click()
    expect(page.get_by_text(re.compile(r"[1-9]\d* of 1500 tokens"))).to_be_visible(timeout=SOON)
    page.wait_for_timeout(700)
    button(page, "page.stop").click()
    expect(page.get_by_role("status").filter(has_text="Stopped; the")).to_be_visible(timeout=SOON)
    expect(heading(page)).to_have_text("too long to wait for")
    expect(page.get_by_text(re.compile("stopped early")).filter(visible=True)).to_have_count(2)  # title, tray
    expect(button(page, "page.generate")).to_be_enabled()


def test_a_broken_upload_is_one_sentence_and_loses_nothing(fake_app: str, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(fake_app)
    make_short(page)
    describe(page, "stays where it is")
    button(page, "page.generate").click()
    wait_done(page)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"this is no sound at all")
    tab(page, "page.tab.audio").click()
    page.locator("#mg-tabs input[type=file]").first.set_input_files(broken)
    page.wait_for_timeout(1500)
    button(page, "page.generate").click()
    sentence = catalogue("en")["error.clip_unreadable"].format(name="broken.wav")
    expect(page.get_by_role("alert").filter(has_text=sentence)).to_be_visible(timeout=SOON)
    expect(heading(page)).to_have_text("stays where it is")


@pytest.mark.parametrize("typed", ["2", ""])
def test_a_wrong_number_leaves_the_page_alive(fake_app: str, open_page: OpenPage, typed: str) -> None:
    """With a take on the page: an error of Gradio's own would end everything there."""
    page = open_page(fake_app)
    make_short(page)
    describe(page, "first")
    button(page, "page.generate").click()
    wait_done(page)
    number_box(page, "page.length").fill(typed)
    page.get_by_label(words("page.prompt")).press("Control+Enter")
    page.wait_for_timeout(1_500)
    make_short(page)
    describe(page, "second")
    button(page, "page.generate").click()
    expect(heading(page)).to_have_text("second", timeout=SOON)
    assert page.faults == []  # type: ignore[attr-defined]


def test_another_model_keeps_the_length(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make_short(page, 40)
    model = page.get_by_role("combobox", name=words("page.model")).or_(page.get_by_label(words("page.model"))).first
    model.fill("small")
    model.press("Enter")
    expect(page.get_by_text("CC-BY-NC-4.0").first).to_be_visible(timeout=SOON)
    page.wait_for_timeout(500)
    expect(number_box(page, "page.length")).to_have_value("40")


def test_an_empty_prompt_is_one_sentence(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app, locale="zh-CN")
    button(page, "page.generate", "zh-CN").click()
    sentence = catalogue("zh-CN")["error.prompt_empty"]
    expect(page.get_by_role("alert").filter(has_text=sentence)).to_be_visible(timeout=SOON)


def test_an_unknown_model_is_one_sentence(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    model = page.get_by_role("combobox", name=words("page.model")).or_(page.get_by_label(words("page.model"))).first
    model.fill("no/such-model")
    model.press("Enter")
    sentence = catalogue("en")["error.checkpoint_broken"].format(model="no/such-model", file="config.json")
    expect(page.get_by_text(sentence).first).to_be_visible(timeout=SOON)


def test_two_users_see_only_their_own_takes(fake_app: str, open_page: OpenPage) -> None:
    first, second = open_page(fake_app), open_page(fake_app)
    for page, prompt in ((first, "mine alone"), (second, "yours alone")):
        make_short(page, 253)
        describe(page, prompt)
        button(page, "page.generate").click()
    wait_done(first)
    wait_done(second)
    expect(heading(first)).to_have_text("mine alone")
    expect(heading(second)).to_have_text("yours alone")
    assert "yours alone" not in first.locator("body").inner_text()
    assert "mine alone" not in second.locator("body").inner_text()


def test_the_other_users_stop_stops_nothing_here(fake_app: str, open_page: OpenPage) -> None:
    first, second = open_page(fake_app), open_page(fake_app)
    for page in (first, second):
        make_short(page, 403)
        describe(page, "a tune")
        button(page, "page.generate").click()
        page.wait_for_timeout(300)
    button(second, "page.stop").click()
    wait_done(first)


def test_keyboard_only(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    prompt = page.get_by_label(words("page.prompt"))
    for _ in range(12):
        if prompt.evaluate("element => element === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.type("typed and never clicked")
    page.keyboard.press("Control+Enter")
    wait_done(page)
    expect(heading(page)).to_have_text("typed and never clicked")
    names = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        names.add(page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel || ''"))
    assert {words("page.result.use"), words("page.result.again"), "WAV"} <= names


def test_several_takes_share_one_player(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make_short(page)
    page.get_by_role("button", name=words("page.more")).click()
    number_box(page, "page.takes").fill("2")
    describe(page, "first line\nsecond line")
    number_box(page, "page.seed").fill("7")
    expect(page.get_by_role("checkbox", name=words("page.seed.lock"))).to_be_checked()
    button(page, "page.generate").click()
    wait_done(page)
    expect(takes(page)).to_have_count(4)
    expect(takes(page).filter(has_text="1 · seed 7")).to_have_attribute("aria-current", "true")
    expect(heading(page)).to_have_text("first line")
    takes(page).filter(has_text="4 · seed 8").get_by_role("button", name="second line 4").click()
    expect(heading(page)).to_have_text("second line")
    expect(number_box(page, "page.seed")).to_have_value("7")
    for suffix in ("wav", "flac", "mp3"):
        with page.expect_download() as waiting:
            page.get_by_text(suffix.upper(), exact=True).click()
        assert waiting.value.suggested_filename == f"take-4.{suffix}"
        assert soundfile.info(waiting.value.path()).frames > 16_000


def test_again_draws_a_new_seed_and_extend_continues(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make_short(page)
    describe(page, "a theme")
    button(page, "page.generate").click()
    wait_done(page)
    page.wait_for_timeout(500)  # Gradio drops a click that comes in the same moment as the end of a run
    button(page, "page.result.again").click()
    expect(takes(page).filter(has_text="2 · seed")).to_have_attribute("aria-current", "true", timeout=SOON)
    expect(heading(page)).to_have_text("a theme")
    seeds = re.findall(r"· seed (\d+)", " ".join(takes(page).all_inner_texts()))
    assert len(set(seeds)) == 2
    page.wait_for_timeout(500)
    button(page, "page.result.extend").click()
    expect(takes(page).filter(has_text="3 · seed")).to_have_attribute("aria-current", "true", timeout=SOON)
    expect(tab(page, "page.tab.audio")).to_have_attribute("aria-selected", "true")
    page.get_by_role("button", name=words("page.result.record")).click()
    expect(page.get_by_role("row", name=re.compile("^mode continue"))).to_be_visible()


def test_a_prompt_is_never_html(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make_short(page)
    wicked = '<img src=x onerror="document.title=1"><b>bold</b>'
    describe(page, wicked)
    button(page, "page.generate").click()
    wait_done(page)
    expect(heading(page)).to_have_text(wicked)
    page.get_by_role("button", name=words("page.result.record")).click()
    expect(page.get_by_role("cell", name=wicked)).to_be_visible()
    assert page.title() == "MusicGen"


def test_the_generation_config_is_shown_and_edited(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make_short(page)
    page.get_by_role("button", name=re.compile("^" + words("page.config"))).click()
    expect(page.get_by_test_id("cell-1-0")).to_have_text("guidance_scale")
    expect(page.get_by_test_id("cell-1-1")).to_have_text("3.0")
    page.get_by_test_id("cell-1-2").dblclick()
    page.keyboard.type("5")
    page.keyboard.press("Enter")
    expect(number_box(page, "page.guidance")).to_have_value("5", timeout=SOON)
    describe(page, "as edited")
    button(page, "page.generate").click()
    wait_done(page)
    expect(page.get_by_test_id("cell-1-3")).to_contain_text("5", timeout=SOON)


def test_a_closed_tab_gives_its_turn_back(open_page: OpenPage, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("slow")
    script = Path(__file__).with_name("fake_app.py")
    with launched(script, folder / "log.txt", FAKE_SECONDS_PER_TOKEN="0.1") as url:
        first = open_page(url)
        describe(first, "two and a half minutes of waiting")
        make_short(first, 1500)
        button(first, "page.generate").click()
        expect(first.get_by_text(re.compile(r"\d of 1500 tokens"))).to_be_visible(timeout=SOON)
        second = open_page(url)
        make_short(second, 9)
        describe(second, "after you")
        button(second, "page.generate").click()
        expect(second.get_by_text("Waiting; requests before yours: 1")).to_be_visible(timeout=SOON)
        first.close()
        wait_done(second)
        assert len(list((folder / "gradio").glob("*/gradio/takes-*/*"))) == 1
