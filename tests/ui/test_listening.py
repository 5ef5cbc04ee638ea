"""Music while it is being made: what the browser really hands to the loudspeaker, sample for sample."""

import base64
import io
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from playwright.sync_api import Locator, Page, Route, expect
from scipy.signal import correlate

from musicgen_ui.ui.broadcast import LINGERS
from tests.ui.conftest import launched
from tests.ui.fake_engine import SAMPLING_RATE, sweep
from tests.ui.steps import SOON, button, describe, done, heading, make_short, words

OpenPage = Callable[..., Page]
RECORDER = Path(__file__).with_name("recorder.js")
SCRIPT = Path(__file__).with_name("fake_app.py")
ROUNDING = 2e-6
"""of int16 / 32767 in float32"""
STEEPEST = 0.55
"""the sweep's largest step between two samples, at 5 s"""


@pytest.fixture(scope="module")
def slow_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Half as fast as real time."""
    folder = tmp_path_factory.mktemp("slow")
    with launched(SCRIPT, folder / "log.txt", FAKE_SECONDS_PER_TOKEN="0.04") as url:
        yield url


@pytest.fixture(scope="module")
def stalling_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Faster than real time, but for three seconds at half of the way."""
    folder = tmp_path_factory.mktemp("stalling")
    with launched(SCRIPT, folder / "log.txt", FAKE_SECONDS_PER_TOKEN="0.01", FAKE_STALL="3") as url:
        yield url


@pytest.fixture
def open_recorded(open_page: OpenPage) -> OpenPage:
    """open_page, with everything that sounds being recorded."""

    def opened(url: str, **options) -> Page:
        page = open_page(url, **options)
        page.add_init_script(path=RECORDER)
        page.listened = []  # type: ignore[attr-defined]
        page.on("request", lambda request: "/listen/" in request.url and page.listened.append(request.url))
        page.reload()
        page.locator("#mg-estimate p").wait_for(timeout=SOON)
        return page

    return opened


def start(page: Page, tokens: int = 253, prompt: str = "a sweep") -> None:
    make_short(page, tokens)
    describe(page, prompt)
    button(page, "page.generate").click()


def line(page: Page, state: str) -> Locator:
    """The live line, when it is in that state."""
    return page.locator(f".mg-live[data-state={state}]")


def wait_for(page: Page, state: str, timeout: float = SOON) -> None:
    line(page, state).wait_for(timeout=timeout)


def heard(page: Page, player: str = "livePlayer") -> np.ndarray:
    """(2, samples): all that sounded so far, from the first sample that isn't 0 to the last."""
    page.wait_for_timeout(300)
    content = page.evaluate(
        """(player) => {
            const blocks = window[player].context.heard, all = new Float32Array(blocks.length * 256);
            blocks.forEach((block, i) => block.forEach((part, channel) => all.set(part, (2 * i + channel) * 128)));
            const bytes = new Uint8Array(all.buffer);
            let text = "";
            for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
            return btoa(text);
        }""",
        player,
    )
    blocks = np.frombuffer(base64.b64decode(content), np.float32).reshape(-1, 2, 128)
    sound = blocks.transpose(1, 0, 2).reshape(2, -1)
    sounding = np.flatnonzero(np.abs(sound).max(axis=0))
    return sound[:, sounding[0] : sounding[-1] + 1] if len(sounding) else sound[:, :0]


def sent(seconds: float, channels: int = 1) -> np.ndarray:
    """(2, samples) float32: what the fake engine makes, as a loudspeaker gets it."""
    wave = sweep(0, round(seconds * SAMPLING_RATE), channels).astype(np.float32) / 32767
    return np.repeat(wave, 3 - channels, axis=0)


def test_a_loop_plays_on_without_a_seam(fake_app: str, open_recorded: OpenPage) -> None:
    """To the sample: what the loudspeaker gets is the loop's file, again and again."""
    page = open_recorded(fake_app)
    start(page, 223, "plucks")
    expect(done(page)).to_be_visible(timeout=SOON)
    loop = page.locator(".mg-loop .mg-play")
    expect(loop).to_be_visible(timeout=SOON)
    with page.expect_download() as waiting:
        button(page, "page.result.loop").click()
    once = soundfile.read(waiting.value.path(), dtype="float32")[0]
    loop.click()
    expect(loop).to_have_accessible_name(words("page.result.loop.pause"))
    page.wait_for_timeout(1_000 * (1.6 * len(once) / SAMPLING_RATE + 1))
    sound = heard(page, "loopPlayer")
    assert sound.shape[1] > 1.5 * len(once)
    endless = np.tile(once, 4)
    near = {"atol": 2e-5}  # Chromium divides by 32,767
    begins = [i for i in range(len(once)) if np.allclose(endless[i : i + 99], sound[0, :99], **near)]
    assert any(np.allclose(endless[i : i + sound.shape[1]], sound, **near) for i in begins)
    take = page.locator("#mg-tray .mg-play")
    take.click()  # never two sounds at once
    expect(loop).to_have_accessible_name(words("page.result.loop.play"))
    assert page.evaluate("loopPlayer.context") is None
    for _ in range(2):
        loop.click()
    take.click()  # also when the loop that played last is paused already
    expect(take).to_have_class(re.compile("mg-sounds"))
    assert page.faults == []  # type: ignore[attr-defined]


def answer(url: str) -> int:
    with httpx.stream("GET", url) as response:
        return response.status_code


def place(part: np.ndarray, whole: np.ndarray) -> int:
    """Where in `whole` (samples,) `part` (samples,) lies."""
    return int(correlate(whole, part, "valid", "fft").argmax())


def same(recorded: np.ndarray, original: np.ndarray) -> bool:
    """Whether `recorded` is `original`, both (2, samples), from its first audible sample on, none lost or changed."""
    # A piece that begins a rounding error off a whole sample comes with a trace (1e-13) of its first sample before it.
    recorded, original = (sound[:, np.flatnonzero(np.abs(sound[0]) > ROUNDING)[0] :] for sound in (recorded, original))
    missing = original.shape[1] - recorded.shape[1]
    return 0 <= missing < 32 and float(np.abs(recorded - original[:, : recorded.shape[1]]).max()) < ROUNDING


def test_what_is_heard_is_what_was_made(fake_app: str, open_recorded: OpenPage) -> None:
    page = open_recorded(fake_app)
    start(page)
    wait_for(page, "playing")
    expect(done(page)).to_be_visible(timeout=SOON)
    assert line(page, "playing").is_visible()  # five times as fast as it sounds: it goes on after the end
    wait_for(page, "silent")
    assert same(heard(page), sent(5.0))
    assert len(page.listened) == 1  # type: ignore[attr-defined]
    assert page.faults == []  # type: ignore[attr-defined]


def test_left_is_left(fake_app: str, open_recorded: OpenPage) -> None:
    page = open_recorded(fake_app)
    model = page.get_by_label(words("page.model")).first
    model.fill("stereo-small")
    model.press("Enter")
    page.wait_for_timeout(500)
    start(page, 103)
    wait_for(page, "playing")
    wait_for(page, "silent")
    assert same(heard(page), sent(2.0, channels=2))


def test_a_slow_machine_starts_late_and_does_not_stutter(slow_app: str, open_recorded: OpenPage) -> None:
    page = open_recorded(slow_app)
    start(page, 203)
    begun = time.monotonic()
    wait_for(page, "waiting")
    expect(page.get_by_text(words("page.live.wait"))).to_be_visible()
    wait_for(page, "playing")
    waited = time.monotonic() - begun
    expect(done(page)).to_be_visible(timeout=SOON)
    made = time.monotonic()
    assert line(page, "playing").is_visible()
    wait_for(page, "silent")
    assert time.monotonic() - made < 3.0
    assert waited > 3.0
    assert same(heard(page), sent(4.0))


def test_sound_that_runs_out_fades_and_goes_on_without_a_click(stalling_app: str, open_recorded: OpenPage) -> None:
    page = open_recorded(stalling_app)
    start(page)
    wait_for(page, "playing")
    wait_for(page, "waiting")
    wait_for(page, "playing")
    wait_for(page, "silent")
    sound, original = heard(page)[0], sent(5.0)[0]
    assert np.abs(np.diff(sound)).max() < STEEPEST
    silence = np.flatnonzero(np.abs(sound) == 0)
    runs = np.split(silence, np.flatnonzero(np.diff(silence) > 1) + 1)
    gap = max(runs, key=len)
    assert len(gap) > SAMPLING_RATE
    before, after = sound[: gap[0]], sound[gap[-1] + 1 :]
    fade = SAMPLING_RATE // 40
    assert place(before[:fade], original) < 32
    for part in (before, after):
        middle = part[fade:-fade]
        where = place(middle, original)
        assert np.abs(middle - original[where : where + len(middle)]).max() < ROUNDING
    assert abs(len(before) + len(after) - len(original)) < 32  # nothing skipped


def test_stop_ends_the_sound_at_once(slow_app: str, open_recorded: OpenPage) -> None:
    page = open_recorded(slow_app)
    start(page, 203)
    wait_for(page, "playing")
    page.wait_for_timeout(500)
    button(page, "page.stop").click()
    wait_for(page, "silent", timeout=5_000)
    length = heard(page).shape[1]
    sound = heard(page)
    assert sound.shape[1] == length < 3 * SAMPLING_RATE
    assert np.abs(np.diff(sound[0])).max() < STEEPEST
    assert np.abs(sound[0, -32:]).max() < 0.03
    expect(heading(page)).to_have_text("a sweep", timeout=SOON)
    assert line(page, "silent").count()


def test_a_pause_is_kept_and_goes_on_where_it_was(fake_app: str, open_recorded: OpenPage) -> None:
    page = open_recorded(fake_app)
    start(page)
    wait_for(page, "playing")
    page.wait_for_timeout(700)
    pause = page.get_by_role("group", name=words("page.live.playing")).get_by_role("button")
    pause.press("Enter")
    wait_for(page, "paused")
    expect(pause).to_be_focused()
    expect(pause).to_have_accessible_name(words("page.live.play"))
    length = heard(page).shape[1]
    assert heard(page).shape[1] == length
    pause.press("Enter")
    wait_for(page, "silent")
    sound, original = heard(page)[0], sent(5.0)[0]
    # Chromium skips what it is rendering when it is told to rest, once in a while: 2,048 samples, silent by then.
    assert -32 < len(original) - len(sound) < 0.15 * SAMPLING_RATE
    assert np.abs(np.diff(sound)).max() < STEEPEST
    tail = sound[-SAMPLING_RATE:]
    assert abs(place(tail, original) + len(tail) - len(original)) < 32


def test_a_new_run_replaces_the_old_sound(fake_app: str, open_recorded: OpenPage) -> None:
    page = open_recorded(fake_app)
    start(page, 503)
    expect(done(page)).to_be_visible(timeout=SOON)
    wait_for(page, "playing")
    page.wait_for_timeout(500)
    button(page, "page.generate").click()
    wait_for(page, "silent", timeout=5_000)
    wait_for(page, "playing")
    wait_for(page, "silent")
    sound, original = heard(page), sent(10.0)
    assert same(sound[:, -original.shape[1] + 1 :], original)
    assert sound.shape[1] < 1.8 * original.shape[1]  # 2, had the old one played on; a slow machine clicks late
    assert len(set(page.listened)) == 2  # type: ignore[attr-defined]


def test_two_sounds_are_never_heard_at_once(fake_app: str, open_recorded: OpenPage) -> None:
    page = open_recorded(fake_app)
    start(page, 503)
    expect(done(page)).to_be_visible(timeout=SOON)
    wait_for(page, "playing")
    player = page.locator(".mg-player")
    play, pause = (player.get_by_role("button", name=name, exact=True) for name in ("Play", "Pause"))
    expect(player.get_by_text("0:10")).to_be_visible(timeout=SOON)
    play.click()
    wait_for(page, "silent", timeout=5_000)
    expect(pause).to_be_visible()
    make_short(page, 253)
    button(page, "page.generate").click()
    wait_for(page, "playing")
    expect(play).to_be_visible()
    expect(pause).to_be_hidden()


def test_switched_off_nothing_is_fetched(fake_app: str, open_recorded: OpenPage) -> None:
    page = open_recorded(fake_app)
    switch = page.get_by_role("switch", name=words("page.live.switch"))
    expect(switch).to_be_checked()
    switch.press("Space")
    page.reload()
    page.locator("#mg-estimate p").wait_for(timeout=SOON)
    expect(switch).not_to_be_checked()
    start(page, 103)
    expect(done(page)).to_be_visible(timeout=SOON)
    assert page.listened == []  # type: ignore[attr-defined]
    assert page.evaluate("livePlayer.context") is None


def test_switched_on_midway_it_plays_from_the_beginning(slow_app: str, open_recorded: OpenPage) -> None:
    page = open_recorded(slow_app)
    switch = page.get_by_role("switch", name=words("page.live.switch"))
    switch.uncheck()
    start(page, 203)
    expect(page.get_by_text(re.compile("1[.]. s of music so far"))).to_be_visible(timeout=SOON)
    switch.check()
    wait_for(page, "playing")
    wait_for(page, "silent")
    assert same(heard(page), sent(4.0))


def test_a_connection_that_breaks_off_is_taken_up_again(slow_app: str, open_recorded: OpenPage) -> None:
    page = open_recorded(slow_app)
    whole = io.BytesIO()
    soundfile.write(whole, sweep(0, 4 * SAMPLING_RATE)[0], SAMPLING_RATE, format="WAV")
    broken = iter([b"", whole.getvalue()[: 44 + 20_001]])  # refused, then cut off within a sample

    def meddle(route: Route) -> None:
        match next(broken, None):
            case None:
                route.continue_()
            case b"":
                route.abort()
            case body:
                route.fulfill(body=body, headers={"X-Seconds-Making": "8"}, content_type="audio/wav")

    page.route("**/listen/*", meddle)
    start(page, 203)
    wait_for(page, "playing")
    wait_for(page, "silent")
    assert same(heard(page), sent(4.0))
    assert [url.partition("=")[2] for url in page.listened] == ["0", "0", "10000"]  # type: ignore[attr-defined]


def test_leaving_the_page_ends_the_broadcast(slow_app: str, open_recorded: OpenPage) -> None:
    page = open_recorded(slow_app)
    with page.expect_request("**/listen/*") as request:
        start(page, 1500)
    url = request.value.url
    assert answer(url) == 200
    page.close()
    deadline = time.monotonic() + LINGERS + 10
    while answer(url) == 200 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert answer(url) == 404


@pytest.mark.parametrize(("locale", "width", "dark"), [("en-US", 390, False), ("zh-CN", 390, True)])
def test_the_line_fits_a_phone(slow_app: str, open_page: OpenPage, locale: str, width: int, dark: bool) -> None:
    page = open_page(slow_app, locale=locale, width=width, dark=dark)
    make_short(page, 203, locale)
    describe(page, "a sweep", locale)
    button(page, "page.generate", locale).click()
    wait_for(page, "waiting")
    expect(page.get_by_text(words("page.live.switch", locale))).to_be_visible()
    assert page.locator(".mg-live").evaluate("element => element.scrollWidth <= element.clientWidth")
    assert page.locator(".mg-live").bounding_box()["height"] < 40  # type: ignore[index]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
