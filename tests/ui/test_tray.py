"""The tray of takes: what a person does with them after they are made, on the fake engine."""

import contextlib
import re
import socket
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import soundfile
from playwright.sync_api import Page, expect

from tests.ui.steps import SOON, button, describe, done, heading, make_short, number_box, tab, takes, words

OpenPage = Callable[..., Page]


def make(page: Page, *prompts: str, tokens: int = 53) -> None:
    """A take of each, in one batch."""
    make_short(page, tokens)
    describe(page, "\n".join(prompts))
    button(page, "page.generate").click()
    expect(done(page)).to_be_visible(timeout=SOON)
    expect(takes(page).first).to_be_visible(timeout=SOON)
    page.wait_for_timeout(500)  # Gradio drops a click that comes in the same moment as the end of a run


def tool(page: Page, name: str, title: str):
    return page.get_by_role("button", name=f"{words(f'page.tray.{name}')}: {title}", exact=True)


def test_takes_are_chosen_named_marked_and_deleted(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make(page, "one", "two", "three")
    expect(takes(page)).to_have_text([re.compile("three"), re.compile("two"), re.compile("one")])
    expect(heading(page)).to_have_text("one")
    takes(page).nth(0).get_by_role("button", name=re.compile("^three 3 ·")).click()
    expect(heading(page)).to_have_text("three")

    tool(page, "rename", "three").click()
    page.keyboard.type("<i>Finale</i>")
    page.keyboard.press("Enter")
    expect(heading(page)).to_have_text("<i>Finale</i>")
    tool(page, "rename", "two").click()
    page.keyboard.type("no, after all")
    page.keyboard.press("Escape")
    expect(takes(page).nth(1)).to_contain_text("two")

    expect(tool(page, "favourite", "one")).to_have_attribute("aria-pressed", "false")
    tool(page, "favourite", "one").click()
    expect(tool(page, "favourite", "one")).to_have_attribute("aria-pressed", "true")

    tool(page, "delete", "two").click()
    expect(takes(page)).to_have_count(2)
    expect(heading(page)).to_have_text("<i>Finale</i>")
    tool(page, "delete", "<i>Finale</i>").click()
    expect(heading(page)).to_have_text("one")
    tool(page, "delete", "one").click()
    expect(page.get_by_text(words("page.result.empty"))).to_be_visible()
    make(page, "four")
    expect(heading(page)).to_have_text("four")
    assert page.faults == []  # type: ignore[attr-defined]


def test_takes_are_there_after_a_reload_and_for_no_one_else(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make(page, "first", "second")
    tool(page, "rename", "first").click()
    page.keyboard.type("Prelude")
    page.keyboard.press("Enter")
    expect(heading(page)).to_have_text("Prelude")
    page.reload()
    expect(takes(page)).to_have_text([re.compile("second"), re.compile("Prelude")], timeout=SOON)
    expect(heading(page)).to_have_text("second")
    for row in takes(page).all():
        assert row.locator("svg rect").count() > 20  # its picture
    page.wait_for_timeout(500)
    button(page, "page.result.again").click()
    expect(takes(page)).to_have_count(3, timeout=SOON)

    beside = page.context.new_page()
    beside.goto(fake_app)
    expect(takes(beside)).to_have_count(3, timeout=SOON)
    stranger = open_page(fake_app)
    stranger.wait_for_timeout(500)
    expect(takes(stranger)).to_have_count(0)


class Wire:
    """A way to a server that can be cut: what is connected breaks off, and new connections are made as ever."""

    def __init__(self, url: str) -> None:
        self._there = urlsplit(url)
        self._ends: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._connect, daemon=True).start()

    def _connect(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                near, _ = self._door.accept()
                far = socket.create_connection((self._there.hostname, self._there.port))
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):  # it is closed already
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        self._door.close()


def test_a_page_whose_connection_broke_keeps_its_takes(fake_app: str, open_page: OpenPage) -> None:
    """As after a night in a closed laptop: the server has taken the tab for closed."""
    with contextlib.closing(Wire(fake_app)) as wire:
        page = open_page(wire.url)
        make(page, "before")
        wire.cut()
        page.wait_for_timeout(2_000)
        make(page, "after")
        expect(takes(page)).to_have_text([re.compile("after"), re.compile("before")], timeout=SOON)
        page.reload()
        expect(takes(page)).to_have_text([re.compile("after"), re.compile("before")], timeout=SOON)
        tool(page, "delete", "before").click()
        expect(takes(page)).to_have_count(1)


def test_all_takes_come_in_one_archive(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make(page, "a/b", "c")
    link = page.get_by_role("link", name=words("page.tray.all"))
    with page.expect_download() as waiting:
        link.click()
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert archive.namelist() == ["01 a b.wav", "02 c.wav"]
        with archive.open("02 c.wav") as file:
            assert soundfile.info(file).frames > 16_000
    assert waiting.value.suggested_filename == "takes.zip"
    for guess in ("x", "..", "%2e%2e", "*"):
        assert httpx.get(f"{fake_app}/takes/{guess}.zip").status_code == 404


def test_two_takes_are_compared_at_the_same_moment(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    make(page, "left", "right", tokens=503)
    page.evaluate(
        """() => {
            window.sounds = [];
            const { play } = HTMLMediaElement.prototype;
            HTMLMediaElement.prototype.play = function () { sounds.push(this); return play.call(this); };
        }"""
    )
    tool(page, "play", "left").click()
    page.wait_for_function("() => sounds[0].currentTime > 1")
    tool(page, "play", "right").click()
    page.wait_for_function("() => sounds.length === 2 && sounds[1].currentTime > 1.2")
    first, second = page.evaluate("() => sounds.map((sound) => [sound.paused, sound.currentTime, sound.src])")
    assert (first[0], second[0]) == (True, False)
    assert first[2].endswith("take-1.wav")
    assert second[2].endswith("take-2.wav")
    assert second[1] >= first[1]
    expect(tool(page, "pause", "right")).to_be_visible()
    expect(tool(page, "play", "left")).to_be_visible()
    tool(page, "pause", "right").click()
    expect(tool(page, "play", "right")).to_be_visible()
    assert page.evaluate("() => sounds.every((sound) => sound.paused)")


def test_a_takes_settings_come_back_with_its_clip(fake_app: str, open_page: OpenPage, tmp_path: Path) -> None:
    clip = tmp_path / "tune.wav"
    soundfile.write(clip, (0.3 * np.sin(np.arange(64_000) / 15)).astype(np.float32), 32_000)
    page = open_page(fake_app)
    make_short(page, 61)
    tab(page, "page.tab.audio").click()
    page.locator("#mg-tabs input[type=file]").first.set_input_files(clip)
    expect(page.get_by_role("tabpanel").get_by_text("0:02").first).to_be_visible(timeout=SOON)
    page.get_by_label(words("page.description")).fill("with strings")
    button(page, "page.generate").click()
    expect(takes(page)).to_have_count(1, timeout=SOON)
    page.reload()
    expect(takes(page)).to_have_count(1, timeout=SOON)
    tab(page, "page.tab.unconditional").click()
    tool(page, "restore", "with strings").click()
    expect(tab(page, "page.tab.audio")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_label(words("page.description"))).to_have_value("with strings")
    expect(page.get_by_role("tabpanel").get_by_text("0:02").first).to_be_visible(timeout=SOON)
    expect(number_box(page, "page.length")).to_have_value("61")
    page.get_by_role("button", name=words("page.more")).click()
    expect(page.get_by_role("checkbox", name=words("page.seed.lock"))).to_be_checked()
    button(page, "page.generate").click()
    expect(takes(page)).to_have_count(2, timeout=SOON)
    facts = [re.search(r"seed \d+ · .*", text).group() for text in takes(page).all_inner_texts()]
    assert facts[0] == facts[1]
