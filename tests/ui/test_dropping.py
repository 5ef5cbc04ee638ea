"""A take's file dropped on the page, as the browser's own drag brings it, on the fake engine."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Locator, Page, expect

from musicgen_ui.audio import FORMATS, write_audio
from musicgen_ui.limits import Limits
from musicgen_ui.locales import catalogue
from tests.ui.steps import SOON, Hand, button, heading, number_box, tab, words
from tests.ui.test_attackers import SCRIPT

OpenPage = Callable[..., Page]
RECORD = {
    "mode": "text", "prompt": "a waltz again", "seed": 4_242, "model": "nano", "engine": "mindnlp", "top_k": 33,
    "max_new_tokens": 71, "guidance_scale": 2.5, "do_sample": True, "temperature": 0.7, "top_p": 0.9,
}  # fmt: skip
TONE = 0.3 * np.sin(np.arange(32_000) / 20, dtype=np.float32)


@pytest.fixture
def takes_file(tmp_path: Path) -> Path:
    return a_take(tmp_path / "waltz.flac")


def a_take(path: Path, **changes: object) -> Path:
    write_audio(path, TONE[None], 32_000, RECORD | changes)
    return path


def hint(page: Page, locale: str = "en-US") -> Locator:
    return page.get_by_text(words("page.drop", locale))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_a_dropped_take_gives_its_settings_back(
    fake_app: str, open_page: OpenPage, tmp_path: Path, kind: str, locale: str
) -> None:
    page = open_page(fake_app, locale=locale)
    tab(page, "page.tab.unconditional", locale).click()
    hand, place = Hand(page, a_take(tmp_path / f"waltz.{kind}")), page.get_by_role("heading", level=1)
    expect(hint(page, locale)).to_be_hidden()
    hand.stay(place, hint(page, locale))
    hand.drop(place)
    expect(hint(page, locale)).to_be_hidden()
    expect(page.get_by_label(words("page.prompt", locale))).to_have_value("a waltz again", timeout=SOON)
    told = words("page.restore.done", locale).format(name=f"waltz.{kind}")
    expect(page.get_by_role("status").filter(has_text=told)).to_be_in_viewport()
    for key, value in (("page.length", "71"), ("page.guidance", "2.5")):
        expect(number_box(page, key, locale)).to_have_value(value)
    button(page, "page.generate", locale).click()
    expect(heading(page)).to_have_text("a waltz again", timeout=SOON)
    expect(page.get_by_role("button", name=re.compile("4242"))).to_be_visible()
    assert page.faults == []  # type: ignore[attr-defined]


def test_it_may_be_dropped_on_a_text_and_twice(fake_app: str, open_page: OpenPage, takes_file: Path) -> None:
    page = open_page(fake_app)
    prompt = page.get_by_label(words("page.prompt"))
    for _ in range(2):
        prompt.fill("my own words")
        Hand(page, takes_file).drop(prompt)
        expect(prompt).to_have_value("a waltz again", timeout=SOON)
    assert page.faults == []  # type: ignore[attr-defined]


def test_a_foreign_file_is_one_sentence_and_changes_nothing(fake_app: str, open_page: OpenPage, tmp_path: Path) -> None:
    song, letter, film, folder = (tmp_path / name for name in ("song.mp3", "letter.txt", "film.mp4", "folder"))
    write_audio(song, TONE[None], 32_000)
    letter.write_text("Dear all")
    with film.open("wb") as file:
        file.truncate(Limits().clip_bytes + 1)
    folder.mkdir()
    page = open_page(fake_app)
    prompt = page.get_by_label(words("page.prompt"))
    prompt.fill("my own words")
    for foreign in (song, letter, film, folder):
        Hand(page, foreign).drop(page.get_by_role("heading", level=1))
        sentence = catalogue("en")["error.record_none"].format(name=foreign.name)
        expect(page.get_by_role("alert")).to_have_text(sentence, timeout=SOON)
    expect(prompt).to_have_value("my own words")
    assert page.url.startswith(fake_app)
    assert page.faults == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["prompt", "clip", "model", "engine", "mode"])
def test_what_a_file_says_is_text(fake_app: str, open_page: OpenPage, tmp_path: Path, name: str) -> None:
    page = open_page(fake_app)
    mode = {"mode": "continue"} if name == "clip" else {}
    file = a_take(tmp_path / f"{SCRIPT.replace('/', ' ')}.wav", **mode, **{name: SCRIPT})
    Hand(page, file).drop(page.get_by_role("heading", level=1))
    expect(page.locator("#mg-status, [role=alert]").filter(has_text="onerror").first).to_be_visible(timeout=SOON)
    page.wait_for_timeout(500)
    assert page.title() == "MusicGen"
    assert page.locator("img[onerror]").count() == 0
    assert page.faults == []  # type: ignore[attr-defined]


def test_the_hint_goes_with_the_file(fake_app: str, open_page: OpenPage, takes_file: Path) -> None:
    page = open_page(fake_app)
    hand, place = Hand(page, takes_file), page.get_by_role("heading", level=1)
    hand.stay(place, hint(page))
    hand.away(place)
    expect(hint(page)).to_be_hidden(timeout=2_000)


def test_clips_are_dropped_as_ever(fake_app: str, open_page: OpenPage, takes_file: Path) -> None:
    """On the clip's own place a take is a clip like any other; where a clip is there already, nothing happens."""
    page = open_page(fake_app)
    tab(page, "page.tab.audio").click()
    place = page.get_by_role("button", name="Drop an audio file here to upload")
    hand = Hand(page, takes_file)
    hand.over(place)
    expect(hint(page)).to_be_hidden()
    hand.drop(place)
    filled = page.get_by_role("tabpanel").get_by_text("0:01").first
    expect(filled).to_be_visible(timeout=SOON)
    hand.drop(filled)
    page.wait_for_timeout(500)
    expect(filled).to_be_visible()
    expect(page.get_by_label(words("page.description"))).to_have_value("")
    assert page.url.startswith(fake_app)
    assert page.faults == []  # type: ignore[attr-defined]


def test_the_clip_of_a_dropped_take_is_compared(fake_app: str, open_page: OpenPage, tmp_path: Path) -> None:
    clip, other = tmp_path / "hum.wav", tmp_path / "other.wav"
    soundfile.write(clip, TONE, 32_000)
    soundfile.write(other, TONE[::-1], 32_000)
    page = open_page(fake_app)
    number_box(page, "page.length").fill("53")
    tab(page, "page.tab.audio").click()
    panel, length = page.get_by_role("tabpanel"), "0:01"
    page.locator("#mg-tabs input[type=file]").first.set_input_files(clip)
    expect(panel.get_by_text(length).first).to_be_visible(timeout=SOON)
    button(page, "page.generate").click()
    expect(heading(page)).to_have_text(words("page.result.untitled.continue"), timeout=SOON)
    with page.expect_download() as waiting:
        page.get_by_text("FLAC", exact=True).click()
    file = tmp_path / "take.flac"
    waiting.value.save_as(file)
    page.reload()
    said = page.locator("#mg-status")
    page.locator("#mg-estimate p").wait_for()
    for given, key in ((None, "clip"), (other, "instead"), (clip, "done")):
        tab(page, "page.tab.audio").click()
        if given:
            page.locator("#mg-tabs input[type=file]").first.set_input_files(given)
            expect(panel.get_by_text(length).first).to_be_visible(timeout=SOON)
        Hand(page, file).drop(page.get_by_role("heading", level=1))
        told = words(f"page.restore.{key}").format(name="take.flac", clip="hum.wav")
        expect(said.get_by_text(told)).to_be_visible(timeout=SOON)
        page.reload()
        page.locator("#mg-estimate p").wait_for()


@pytest.mark.parametrize("dark", [False, True])
def test_the_hint_fits_a_phone(fake_app: str, open_page: OpenPage, takes_file: Path, dark: bool) -> None:
    page = open_page(fake_app, width=390, dark=dark)
    Hand(page, takes_file).stay(page.get_by_role("heading", level=1), hint(page))
    box = hint(page).bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
