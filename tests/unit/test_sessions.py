"""Takes on their shelves, and the sessions that have them, without a browser."""

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from musicgen_ui.limits import Limits
from musicgen_ui.ui.advice import Advice
from musicgen_ui.ui.broadcast import Broadcasts
from musicgen_ui.ui.runs import Runs
from musicgen_ui.ui.sessions import Sessions
from musicgen_ui.ui.shelves import Shelf
from musicgen_ui.ui.tray import tray_html
from tests.ui.fake_engine import FakeEngine
from tests.unit.test_page_parts import ASK, a_take


def test_files_are_made_when_asked_for_and_sound_alike(tmp_path: Path) -> None:
    shelf = Shelf("", tmp_path)
    take = a_take()
    (kept,) = shelf.keep((take,), ASK)
    assert [path.suffix for path in tmp_path.iterdir()] == [".wav"]
    wav, flac = soundfile.read(kept.wav)[0], soundfile.read(kept.file("flac"))[0]
    assert np.array_equal(wav, flac)
    assert np.abs(wav - take.samples[0]).max() < 1e-4
    assert kept.picture.exists()


def test_the_oldest_takes_go_with_their_files_and_favourites_stay(tmp_path: Path) -> None:
    shelf = Shelf("", tmp_path)
    for seed in range(shelf.most + 3):
        for kept in shelf.keep((a_take(seed, frames=5),), ASK):
            assert kept.file("mp3").exists()
        shelf.takes[2 if seed else 1].favourite = True
    assert sorted(shelf.takes) == [1, 2, *range(6, shelf.most + 4)]
    assert len(list(tmp_path.iterdir())) == 2 * shelf.most


def test_the_sound_that_a_take_was_made_from_goes_with_it(tmp_path: Path) -> None:
    shelf = Shelf("", tmp_path)
    (first,) = shelf.keep((a_take(),), ASK)
    first.file("flac")
    ask = replace(ASK, mode="continue", clip_paths=(str(first.wav),))
    shelf.keep((a_take(8), a_take(9)), ask)
    shelf.delete(1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["take-1.wav", "take-2.wav", "take-3.wav"]
    shelf.delete(2)
    assert first.wav.exists()
    shelf.delete(3)
    assert not list(tmp_path.iterdir())


def test_deleting_a_take_leaves_the_one_that_it_was_made_from(tmp_path: Path) -> None:
    shelf = Shelf("", tmp_path)
    (first,) = shelf.keep((a_take(),), ASK)
    shelf.keep((a_take(8),), replace(ASK, mode="continue", clip_paths=(str(first.wav),)))
    shelf.delete(2)
    assert list(tmp_path.iterdir()) == [first.wav]


def test_a_run_is_kept_whole_among_favourites(tmp_path: Path) -> None:
    shelf = Shelf("", tmp_path)
    for seed in range(shelf.most):
        shelf.keep((a_take(seed, frames=5),), ASK)
        shelf.takes[seed + 1].favourite = True
    kept = shelf.keep((a_take(90, frames=5), a_take(91, frames=5)), ASK)
    assert [take.number in shelf.takes for take in kept] == [True, True]
    assert sorted(shelf.takes) == list(range(3, shelf.most + 3))


def test_names_and_archives(tmp_path: Path) -> None:
    shelf = Shelf("", tmp_path)
    shelf.keep((a_take(), a_take(8), a_take(9)), ASK)
    shelf.rename(1, "  ../up:\nand  away ")
    shelf.rename(2, "x" * 200)
    shelf.rename(3, "   ")
    shelf.rename(99, "nobody")
    assert shelf.takes[1].name == "../up: and away"
    assert len(shelf.takes[2].name) == 80
    with zipfile.ZipFile(shelf.zipped()) as archive:
        assert archive.namelist() == ["01 .. up and away.wav", f"02 {'x' * 60}.wav", "03 b loud b.wav"]
        assert archive.read("01 .. up and away.wav") == shelf.takes[1].wav.read_bytes()
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    "told",
    [
        None,
        "x",
        [],
        {},
        {"take": "1"},
        {"take": 9, "act": "delete"},
        {"take": 1, "act": 7},
        {"take": True},
        {"take": [1]},
    ],
)
def test_a_strangers_words_from_the_tray_change_nothing(
    told: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    all_sessions = Sessions()
    shelf = all_sessions.of("tab").shelf
    shelf.keep((a_take(),), ASK)
    runs = Runs(SimpleNamespace(), all_sessions, Limits(), Broadcasts(), SimpleNamespace(), 5)
    request = SimpleNamespace(session_hash="tab", headers={})
    before = tray_html(shelf, 1, "en")
    event = SimpleNamespace(_data=told)
    runs.act(1, event, request)
    assert tray_html(shelf, 1, "en") == before
    if not isinstance(told, dict) or told.get("take") != 1:
        Advice(SimpleNamespace(), all_sessions, Limits()).restore_take(event, {}, request)  # has no engine to ask


def test_takes_stay_for_the_browser_that_keeps_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    all_sessions = Sessions()
    tab = all_sessions.open("tab", None)
    tab.shelf.keep((a_take(),), ASK)
    all_sessions.forget("tab")
    assert len(all_sessions) == 0
    assert all_sessions.open("reloaded", tab.shelf.key).shelf is tab.shelf
    assert tab.shelf.takes[1].wav.exists()
    for guess in ("", "x", None, 7, ["a"]):
        assert all_sessions.open(f"stranger {guess}", guess).shelf.takes == {}


def test_what_no_browser_can_ask_for_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Programs at the API, and tabs that made nothing."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    all_sessions = Sessions()
    program = all_sessions.of("program")
    program.shelf.keep((a_take(),), ASK)
    assert all_sessions.of("program") is program
    idle = all_sessions.open("idle", None)
    for owner in ("program", "idle"):
        all_sessions.forget(owner)
    assert not program.shelf.folder.exists()
    assert not idle.shelf.folder.exists()
    assert all_sessions.open("idle again", idle.shelf.key).shelf is not idle.shelf


def test_a_tab_whose_connection_broke_has_its_browsers_shelf_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    all_sessions = Sessions()
    tab, empty = all_sessions.open("tab", None), all_sessions.open("empty", None)
    tab.shelf.keep((a_take(),), ASK)
    for owner in ("tab", "empty"):
        all_sessions.forget(owner)
    assert all_sessions.find("nobody") is None
    assert all_sessions.find("tab").shelf is tab.shelf
    assert all_sessions.find("empty") is None
    made = all_sessions.of("empty").shelf  # it had no takes and went; its browser still has the key
    made.keep((a_take(),), ASK)
    all_sessions.forget("empty")
    assert all_sessions.open("reloaded", empty.shelf.key).shelf is made


def test_a_tab_that_is_watched_is_alive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    all_sessions, limits = Sessions(), Limits()
    watched, left = (all_sessions.open(owner, None).shelf for owner in ("watched", "left"))
    for shelf in (watched, left):
        shelf.last_used -= limits.forgotten_seconds + 1
    request = SimpleNamespace(session_hash="watched", headers={})
    Advice(FakeEngine(limits), all_sessions, limits).watch(request)  # type: ignore[arg-type]
    all_sessions.of("new")
    assert watched.folder.exists()
    assert not left.folder.exists()


def test_what_a_second_tab_looks_at_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    all_sessions = Sessions()
    one = all_sessions.open("one", None)
    other = all_sessions.open("other", one.shelf.key)
    assert other.shelf is one.shelf
    all_sessions.forget("one")
    assert other.shelf.folder.exists()


def test_sessions_without_a_sign_of_life_are_swept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    all_sessions = Sessions()
    tabs = [all_sessions.of("old"), all_sessions.open("open", None), all_sessions.open("closed", None)]
    tabs[2].shelf.keep((a_take(),), ASK)
    all_sessions.forget("closed")
    for old in tabs:
        old.shelf.last_used -= Limits().forgotten_seconds + 1
    all_sessions.of("new")
    assert all_sessions.find("old") is None
    assert all_sessions.find("open") is None
    assert not any(old.shelf.folder.exists() for old in tabs)


def test_of_too_many_sessions_the_longest_unused_goes_but_none_that_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    all_sessions = Sessions(Limits(sessions=2))
    first, second = all_sessions.of("first"), all_sessions.of("second")
    first.jobs.append(SimpleNamespace())
    assert all_sessions.busy
    third = all_sessions.of("third")
    assert [all_sessions.find(owner) for owner in ("first", "second", "third")] == [first, None, third]
    assert all_sessions.of("first") is first
    assert not second.shelf.folder.exists()
    first.jobs.clear()
    assert not all_sessions.busy


def test_a_cleared_temporary_folder_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    all_sessions = Sessions()
    all_sessions.of("before")
    shutil.rmtree(tmp_path / "gradio")
    (kept,) = all_sessions.of("after").shelf.keep((a_take(),), ASK)
    assert kept.wav.exists()
