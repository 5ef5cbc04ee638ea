"""The whole app in a browser: the real page on the real engine, with the bundled checkpoints."""

import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import soundfile
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

from musicgen_ui.locales import catalogue
from musicgen_ui.paths import ASSETS
from musicgen_ui.tags import read_record
from tests.engine.hub import serving
from tests.ui.conftest import ROOT, launched
from tests.ui.steps import SOON, Hand, button, describe, done, heading, make_short, number_box, tab, takes, words

PATIENCE = 240_000  # ms: the first request waits for the engine to warm up
TOKENS = 28


@pytest.fixture
def page(real_app: str, open_page: Callable[..., Page]) -> Page:
    page = open_page(real_app)
    make_short(page, TOKENS)
    return page


def generate(page: Page, locale: str = "en-US") -> None:
    button(page, "page.generate", locale).click()
    expect(button(page, "page.generate", locale)).to_be_disabled()
    expect(done(page, locale)).to_be_visible(timeout=PATIENCE)


def record_row(page: Page, name: str) -> str:
    rows = page.get_by_role("row", name=re.compile(f"^{name} "))
    if not rows.first.is_visible():
        page.get_by_role("button", name=words("page.result.record")).click()
    return rows.first.inner_text()


def downloaded(page: Page, kind: str) -> tuple[np.ndarray, int]:
    return soundfile.read(saved(page, kind))


def saved(page: Page, kind: str, folder: Path | None = None) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name=kind, exact=True).or_(page.get_by_role("link", name=kind, exact=True)).click()
    if folder is None:
        return download.value.path()
    path = folder / f"take.{kind.lower()}"
    download.value.save_as(path)
    return path


def test_text_is_played_and_saved(page: Page) -> None:
    make_short(page, 128)
    describe(page, "slow piano")
    generate(page)
    expect(heading(page)).to_have_text("slow piano")
    assert "128" in record_row(page, "max_new_tokens")
    assert "mindnlp" in record_row(page, "versions")
    for kind in ("WAV", "FLAC", "MP3"):
        sound, rate = downloaded(page, kind)
        assert rate == 32_000
        assert len(sound) / rate == pytest.approx(2.5, abs=0.1)  # MP3 comes in whole frames
        assert np.abs(sound).max() > 0.01
    page.get_by_role("button", name="Play", exact=True).first.click()
    expect(page.get_by_text("0:01", exact=True).first).to_be_visible(timeout=10_000)


def test_a_take_of_a_batch_is_made_again_by_itself(page: Page, tmp_path) -> None:
    describe(page, "slow piano\na fast tune played on the flute with strings and drums in D minor, at 120 bpm")
    generate(page)
    expect(heading(page)).to_have_text("slow piano")
    first, _ = downloaded(page, "WAV")
    assert int(record_row(page, "padded_tokens").split()[-1]) > 5  # as long as the other
    page.wait_for_timeout(500)  # Gradio drops a click that comes in the same moment as the end of a run
    page.get_by_role("button", name=f"{words('page.tray.restore')}: slow piano", exact=True).click()
    expect(page.get_by_label(words("page.prompt"))).to_have_value("slow piano")
    generate(page)
    expect(takes(page)).to_have_count(3)
    again, _ = downloaded(page, "WAV")
    np.testing.assert_array_equal(again, first)


def test_a_file_dropped_by_somebody_else_makes_the_same_samples(
    real_app: str, page: Page, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    """Each kind of file, and those of the archive, remember how the take was made."""
    describe(page, "轻快的钢琴曲，有鼓")
    generate(page)
    files = [saved(page, kind, tmp_path) for kind in ("WAV", "FLAC", "MP3")]
    with page.expect_download() as download:
        page.get_by_role("link", name=words("page.tray.all")).click()
    with zipfile.ZipFile(download.value.path()) as archive:
        files.append(Path(archive.extract(archive.namelist()[0], tmp_path / "all")))
    records = [read_record(file) for file in files]
    assert records[0]["prompt"] == "轻快的钢琴曲，有鼓"
    assert all(record == records[0] for record in records)
    other = open_page(real_app)
    Hand(other, files[2]).drop(heading(other).or_(other.get_by_role("heading", level=1)).first)
    expect(other.get_by_label(words("page.prompt"))).to_have_value("轻快的钢琴曲，有鼓", timeout=SOON)
    generate(other)
    np.testing.assert_array_equal(downloaded(other, "WAV")[0], soundfile.read(files[0])[0])


def test_more_than_half_a_minute_is_one_piece_without_a_seam(page: Page) -> None:
    """nano holds 30 s; the second window begins there."""
    button(page, "page.length.60").click()
    expect(number_box(page, "page.length")).to_have_value("3003")
    make_short(page, 2_003)
    describe(page, "upbeat chiptune with drums, 120 bpm")
    button(page, "page.generate").click()
    expect(page.get_by_text(re.compile(r"\d+ of 2003 tokens"))).to_be_visible(timeout=PATIENCE)
    expect(done(page)).to_be_visible(timeout=PATIENCE)
    assert record_row(page, "windows").split()[-1] == "2"
    sound, rate = downloaded(page, "WAV")
    assert len(sound) == 40 * rate
    join, around = 30 * rate, rate // 50
    steps = np.abs(np.diff(sound))
    assert steps[join - around : join + around].max() <= np.quantile(steps, 0.9999)  # no click
    loudness = 20 * np.log10(np.sqrt((sound.reshape(-1, 2 * rate) ** 2).mean(1)))  # of 2 s each
    changes = np.abs(np.diff(loudness))
    assert changes[14] <= max(3.0, np.quantile(changes, 0.9))


def test_unconditional(page: Page) -> None:
    tab(page, "page.tab.unconditional").click()
    generate(page)
    assert "unconditional" in record_row(page, "mode")


@pytest.mark.parametrize(("mode", "model"), [("continue", "nano"), ("melody", "nano-melody")])
def test_an_example_clip(page: Page, mode: str, model: str) -> None:
    tab(page, "page.tab.audio").click()
    page.get_by_role("button", name="Piano tune").click()
    page.get_by_role("radio", name=words(f"page.mode.{mode}")).check()
    generate(page)
    assert mode in record_row(page, "mode")
    assert record_row(page, "model").split()[-1] == model


def test_an_upload_is_continued_after_a_wrong_one(page: Page, tmp_path) -> None:
    wrong, right = tmp_path / "wrong.wav", tmp_path / "right.mp3"
    wrong.write_text("no sound at all")
    soundfile.write(right, 0.3 * np.sin(np.arange(44_100) / 20), 44_100, format="MP3")
    tab(page, "page.tab.audio").click()
    upload = page.locator("#mg-tabs input[type=file]").first
    upload.set_input_files(wrong)
    page.wait_for_timeout(1_500)
    button(page, "page.generate").click()
    sentence = words("error.clip_unreadable").format(name="wrong.wav")
    expect(page.get_by_role("alert").filter(has_text=sentence)).to_be_visible(timeout=PATIENCE)
    page.locator("#mg-tabs").get_by_role("button", name=re.compile("clear|remove", re.I)).first.click()
    page.locator("#mg-tabs input[type=file]").first.set_input_files(right)
    page.wait_for_timeout(1_500)
    generate(page)
    sound, rate = downloaded(page, "WAV")
    assert len(sound) / rate == pytest.approx(1.0 + 0.5, abs=0.1)


def test_stop_keeps_the_sound(page: Page) -> None:
    make_short(page, 1_500)
    describe(page, "a long piece")
    button(page, "page.generate").click()
    expect(page.get_by_text(re.compile(r"[2-9]\d of 1500 tokens"))).to_be_visible(timeout=PATIENCE)
    button(page, "page.stop").click()
    stopped = words("page.status.stopped").split("{")[0]
    expect(page.get_by_role("status").filter(has_text=stopped)).to_be_visible(timeout=SOON)
    sound, rate = downloaded(page, "WAV")
    assert 0.3 < len(sound) / rate < 29


def test_an_engine_that_is_killed_is_told_and_the_next_request_works(real_app: str, page: Page) -> None:
    make_short(page, 1_500)
    describe(page, "a long piece")
    button(page, "page.generate").click()
    expect(page.get_by_text(re.compile(r"[1-9]\d+ of 1500 tokens"))).to_be_visible(timeout=PATIENCE)
    port = urlsplit(real_app).port
    [app] = {c.pid for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port}
    max(psutil.Process(app).children(), key=lambda child: child.memory_info().rss).kill()
    expect(page.get_by_role("alert").filter(has_text=words("error.engine_killed"))).to_be_visible(timeout=PATIENCE)
    make_short(page, TOKENS)
    generate(page)
    assert downloaded(page, "WAV")[1] == 32_000


def test_two_users_one_of_them_chinese(real_app: str, open_page: Callable[..., Page]) -> None:
    first, second = open_page(real_app), open_page(real_app, locale="zh-CN")
    make_short(first, 253)
    describe(first, "mine alone")
    button(first, "page.generate").click()
    make_short(second, TOKENS, "zh-CN")
    describe(second, "慢速钢琴", "zh-CN")
    button(second, "page.generate", "zh-CN").click()
    place = words("page.progress.queued", "zh-CN").split("{")[0]
    expect(second.get_by_text(place).first).to_be_visible(timeout=PATIENCE)
    expect(done(first)).to_be_visible(timeout=PATIENCE)
    expect(done(second, "zh-CN")).to_be_visible(timeout=PATIENCE)
    expect(heading(first)).to_have_text("mine alone")
    expect(heading(second)).to_have_text("慢速钢琴")
    assert "慢速钢琴" not in first.locator("body").inner_text()


def test_the_endpoint_needs_only_a_prompt(real_app: str, tmp_path) -> None:
    client = Client(real_app, verbose=False, download_files=str(tmp_path))
    files, records = client.predict(prompt="slow piano", max_new_tokens=TOKENS, seed=3, api_name="/text")
    assert records[0]["seed"] == 3
    assert soundfile.info(files[0]).duration == pytest.approx(0.5)


def test_a_model_of_the_menu_is_downloaded_with_progress(open_page: Callable[..., Page], tmp_path) -> None:
    """ "small" comes from a hub on this machine, which serves nano by its name, slowly, cut off once."""
    weights = shutil.copytree(ASSETS / "musicgen-nano", tmp_path / "repository")
    with (
        serving({"facebook/musicgen-small": weights}, pause_seconds=0.15, cut_at=3_000_000) as hub,
        launched(ROOT / "app.py", tmp_path / "log", HF_ENDPOINT=hub.endpoint, HF_HOME=str(tmp_path / "home")) as url,
    ):
        page = open_page(url)
        make_short(page, TOKENS)
        model = page.get_by_role("combobox", name=words("page.model")).or_(page.get_by_label(words("page.model"))).first
        model.fill("small")
        model.press("Enter")
        expect(page.get_by_text("CC-BY-NC-4.0").first).to_be_visible()
        describe(page, "warm pads")
        button(page, "page.generate").click()
        downloading = words("page.progress.downloading").format(model="small")
        expect(page.get_by_text(downloading).first).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_text(re.compile(r"\d MB of \d\d MB")).first).to_be_visible(timeout=PATIENCE)
        expect(done(page)).to_be_visible(timeout=PATIENCE)
        assert record_row(page, "model").split()[-1] == "small"


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_a_download_that_comes_damaged_is_told_and_the_next_try_works(language: str, tmp_path) -> None:
    weights = shutil.copytree(ASSETS / "musicgen-nano", tmp_path / "repository")
    with (
        serving({"facebook/musicgen-small": weights}, damaged={"model.safetensors": 1}) as hub,
        launched(ROOT / "app.py", tmp_path / "log", HF_ENDPOINT=hub.endpoint, HF_HOME=str(tmp_path / "home")) as url,
    ):
        client = Client(url, verbose=False, download_files=str(tmp_path), headers={"Accept-Language": language})
        call = {"prompt": "bells", "model": "small", "max_new_tokens": TOKENS, "api_name": "/text"}
        with pytest.raises(AppError) as told:
            client.predict(**call)
        sentence = catalogue(language)["error.file_damaged"]
        assert str(told.value) == sentence.format(file="model.safetensors", model="facebook/musicgen-small")
        _, records = client.predict(**call)
        assert records[0]["model"] == "small"
        assert len(hub.ranges("model.safetensors")) == 2
        assert len(hub.ranges("config.json")) == 1
    assert "Traceback" not in (tmp_path / "log").read_text()
