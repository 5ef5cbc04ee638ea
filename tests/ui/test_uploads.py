"""What is done with sound on the page: loops of takes, and clips before they are followed. On the fake engine."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Locator, Page, expect

from musicgen_ui.audio import write_audio
from musicgen_ui.locales import catalogue
from tests.ui.conftest import launched
from tests.ui.steps import SOON, button, describe, done, make_short, tab, words

OpenPage = Callable[..., Page]
RATE = 32_000
TUNE = {"A": 69, "C": 72, "E": 76, "D": 74}
"""a second each"""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    t = np.arange(RATE) / RATE
    tones = [0.3 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * t) for pitch in TUNE.values()]
    path = tmp_path / "tune.wav"
    soundfile.write(path, np.concatenate(tones).astype(np.float32), RATE)
    return path


def follow(page: Page, clip: Path, locale: str = "en-US") -> None:
    tab(page, "page.tab.audio", locale).click()
    page.locator("#mg-tabs input[type=file]").first.set_input_files(clip)
    page.get_by_role("radio", name=words("page.mode.melody", locale)).check()


def picture(page: Page, locale: str = "en-US") -> Locator:
    before = words("page.tune.alt", locale).split("{")[0]
    return page.get_by_role("img", name=re.compile("^" + re.escape(before)))


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_a_take_with_a_beat_has_a_loop(fake_app: str, open_page: OpenPage, locale: str) -> None:
    """The fake engine plucks 150 times a minute."""
    page = open_page(fake_app, locale=locale)
    make_short(page, 423, locale)
    describe(page, "plucks", locale)
    button(page, "page.generate", locale).click()
    expect(done(page, locale)).to_be_visible(timeout=SOON)
    loop = button(page, "page.result.loop", locale)
    told = page.get_by_text(words("page.result.loop.info", locale).split("{")[0]).last
    expect(told).to_contain_text("/4", timeout=SOON)
    expect(told).to_contain_text(re.compile(r"1(49\.[5-9]|50\.[0-5]) bpm"))
    expect(loop).to_be_enabled()
    with page.expect_download() as waiting:
        loop.click()
    assert waiting.value.suggested_filename == "take-1-loop.wav"
    beats = soundfile.info(waiting.value.path()).duration * 150 / 60
    assert round(beats) >= 6
    assert beats == pytest.approx(round(beats), rel=0.01)
    assert page.faults == []  # type: ignore[attr-defined]


def test_a_take_without_a_beat_says_so(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make_short(page)
    describe(page, "a moment")
    button(page, "page.generate").click()
    expect(done(page)).to_be_visible(timeout=SOON)
    sentence = catalogue("en")["error.loop_no_beat"].format(name="take-1.wav")
    expect(page.get_by_text(sentence)).to_be_visible(timeout=SOON)
    expect(button(page, "page.result.loop")).to_be_disabled()


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_a_clips_tune_is_seen_before_it_is_followed(
    fake_app: str, open_page: OpenPage, clip: Path, locale: str
) -> None:
    page = open_page(fake_app, locale=locale)
    follow(page, clip, locale)
    seen = picture(page, locale)
    expect(seen).to_be_visible(timeout=SOON)
    assert " ".join(TUNE) in str(seen.get_attribute("alt"))
    assert seen.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [1 + 4 * RATE // 4096, 12]
    expect(page.get_by_text(words("page.tune.what", locale))).to_be_visible()
    drums = page.get_by_role("checkbox", name=words("page.drums", locale))
    expect(drums).to_be_visible()
    page.get_by_role("radio", name=words("page.mode.continue", locale)).check()
    expect(seen).to_be_hidden(timeout=SOON)
    expect(drums).to_be_hidden()
    assert page.faults == []  # type: ignore[attr-defined]


def test_leaving_out_drums_shows_and_is_remembered(fake_app: str, open_page: OpenPage, clip: Path) -> None:
    """A tune under hits: the picture changes to the tune, the take says so, and its file brings the setting back."""
    samples, _ = soundfile.read(clip)
    hits = np.random.default_rng(0).standard_normal(len(samples)) * (np.arange(len(samples)) % 10_000 < 1_500)
    soundfile.write(clip, ((samples + 10 * hits) / 50).astype(np.float32), RATE)
    page = open_page(fake_app)
    make_short(page)
    follow(page, clip)
    seen = picture(page)
    expect(seen).to_be_visible(timeout=SOON)
    assert " ".join(TUNE) not in str(seen.get_attribute("alt"))
    drums = page.get_by_role("checkbox", name=words("page.drums"))
    drums.check()
    expect(seen).to_have_attribute("alt", re.compile(" ".join(TUNE)), timeout=SOON)
    button(page, "page.generate").click()
    expect(done(page)).to_be_visible(timeout=SOON)
    page.get_by_role("button", name=words("page.result.record")).click()
    expect(page.get_by_role("row", name="without_drums True")).to_be_visible()
    followed = words("page.heard.followed").split("{")[0]
    expect(page.locator(".prose.mg-heard-facts")).to_contain_text(re.compile(followed + r"0\.\d\d of 1"), timeout=SOON)
    expect(page.get_by_text(words("page.heard.followed.what"))).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_text("FLAC", exact=True).click()
    file = clip.with_name("take.flac")
    waiting.value.save_as(file)
    drums.uncheck()
    page.get_by_role("button", name=words("page.more")).click()
    with page.expect_file_chooser() as chooser:
        button(page, "page.restore").click()
    chooser.value.set_files(file)
    expect(drums).to_be_checked(timeout=SOON)
    assert page.faults == []  # type: ignore[attr-defined]


def test_a_clip_that_can_not_be_followed_is_one_sentence(
    fake_app: str, open_page: OpenPage, clip: Path, tmp_path: Path
) -> None:
    silent = tmp_path / "silent.wav"
    write_audio(silent, np.zeros((1, RATE), np.float32), RATE)
    page = open_page(fake_app)
    follow(page, silent)
    expect(page.get_by_text(catalogue("en")["error.clip_silent"].format(name="silent.wav"))).to_be_visible(timeout=SOON)
    expect(picture(page)).to_have_count(0)


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_a_clip_is_trimmed_in_the_page(fake_app: str, open_page: OpenPage, clip: Path, locale: str) -> None:
    """With the waveform's own handles; what is left is what is followed, or continued."""
    page = open_page(fake_app, locale=locale)
    follow(page, clip, locale)
    seen = picture(page, locale)
    expect(seen).to_have_attribute("alt", re.compile(" ".join(TUNE)), timeout=SOON)
    button(page, "page.names.trim", locale).click()
    expect(button(page, "page.names.cancel", locale)).to_be_visible()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    button(page, "page.names.cut", locale).click()
    expect(seen).not_to_have_attribute("alt", re.compile(" ".join(TUNE)), timeout=SOON)
    frames = seen.evaluate("image => image.naturalWidth")
    assert 3 < frames < 4 * RATE // 4096
    page.get_by_role("radio", name=words("page.mode.continue", locale)).check()
    make_short(page, 28, locale)
    button(page, "page.generate", locale).click()
    expect(done(page, locale)).to_be_visible(timeout=SOON)
    page.get_by_role("button", name=words("page.result.record", locale)).click()
    told = page.get_by_role("row", name=re.compile("^clip_seconds ")).inner_text()
    assert float(told.split()[-1]) == pytest.approx(frames * 4096 / RATE, abs=4096 / RATE)
    assert page.faults == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("dark", [False, True])
def test_the_tune_fits_a_phone(fake_app: str, open_page: OpenPage, clip: Path, dark: bool) -> None:
    page = open_page(fake_app, width=390, dark=dark)
    follow(page, clip)
    expect(picture(page)).to_be_visible(timeout=SOON)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert picture(page).bounding_box()["width"] > 250  # type: ignore[index]


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_files_that_are_too_large_are_one_sentence(open_page: OpenPage, tmp_path: Path, locale: str) -> None:
    """One that is, several that are together: Gradio says both in English, and of the latter that it is HTTP 413."""
    few, many = tmp_path / "long song.wav", [tmp_path / f"{number}.wav" for number in range(9)]
    few.write_bytes(bytes((1 << 20) + 1))
    for path in many:
        path.write_bytes(bytes(1 << 20))
    with launched(Path(__file__).with_name("fake_app.py"), tmp_path / "log.txt", FAKE_CLIP_BYTES=str(1 << 20)) as url:
        page = open_page(url, locale=locale)
        tab(page, "page.tab.audio", locale).click()
        page.locator("#mg-tabs input[type=file]").first.set_input_files(few)
        sentence = words("page.names.too_large", locale).format(limit=1) + '"long song.wav"'
        expect(page.get_by_test_id("toast-text")).to_have_text(sentence, timeout=SOON)
        expect(page.locator(".toast-title")).to_have_text(words("page.fault", locale))
        page.get_by_role("button", name=words("page.more_clips", locale)).click()
        page.locator(".mg-files input[type=file]").set_input_files(many)
        sentence = words("error.message_bytes", locale).format(limit=8)
        expect(page.get_by_test_id("toast-text").get_by_text(sentence, exact=True)).to_be_visible(timeout=SOON)
        assert page.faults == []  # type: ignore[attr-defined]
