"""The page's parts that need no browser."""

import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from musicgen_ui.errors import InputError
from musicgen_ui.events import Event, Loading, Ready, Starting
from musicgen_ui.hearing import Heard
from musicgen_ui.limits import Limits
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.take import Take
from musicgen_ui.ui import generation_config, result, status
from musicgen_ui.ui.asks import Ask, clip_lines, prompt_lines
from musicgen_ui.ui.inside import draw_inside
from musicgen_ui.ui.pictures import draw_sound
from musicgen_ui.ui.sessions import Session, Sessions

INFO = ModelInfo("nano", 32_000, 50.0, 4, 1, False, {"do_sample": True, "guidance_scale": 3.0, "max_length": 1500})


def a_take(seed: int = 7, frames: int = 50) -> Take:
    draw = np.random.default_rng(seed)
    samples = (0.5 * draw.standard_normal((1, 640 * frames))).clip(-1, 1).astype(np.float32)
    codes = draw.integers(0, 512, (4, frames)).astype(np.int16)
    return Take(samples, 32_000, codes, {"seed": seed, "prompt": "<b>loud</b>", "stages": {"decoder": 1.0}})


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("count", [640, 32_000, 960_000])
def test_a_picture_shows_sound_of_any_length(channels: int, count: int) -> None:
    wave = np.sin(np.arange(count) * 0.1).astype(np.float32)
    pixels = np.asarray(draw_sound(np.repeat(wave[None], channels, axis=0), 32_000))
    assert pixels.shape[2] == 3
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10


def test_a_picture_of_silence_is_dark() -> None:
    assert np.asarray(draw_sound(np.zeros((1, 3200), np.float32), 32_000)).mean() < 60


def test_a_tone_stands_at_its_height() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(64_000) / 32_000).astype(np.float32)[None]
    column = np.asarray(draw_sound(tone, 32_000), dtype=int)[162:462, 600].sum(axis=1)
    height = 1 - column.argmax() / 299
    assert 50 * 320**height == pytest.approx(1000, rel=0.05)


def test_the_delay_pattern_is_a_staircase_of_numbers() -> None:
    drawing = draw_inside({"stages": {"decoder": 2.0}}, a_take().codes, 1, "en")
    delayed, undone = (ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", drawing))
    assert sum(rect.get("class") == "mg-pad" for rect in delayed.iter("rect")) == 0 + 1 + 2 + 3
    assert sum(rect.get("class") == "mg-pad" for rect in undone.iter("rect")) == 0


def test_left_and_right_share_a_delay() -> None:
    drawing = draw_inside({}, np.ones((8, 50), np.int16), 2, "en")
    delayed = ElementTree.fromstring(re.findall(r"<svg.*?</svg>", drawing)[0])
    assert sum(rect.get("class") == "mg-pad" for rect in delayed.iter("rect")) == 2 * (0 + 1 + 2 + 3)


def test_the_record_is_escaped() -> None:
    table = result.record_html({"prompt": "<script>x</script>", "generation_config": {"a": "<i>"}}, "en")
    assert "<script>" not in table
    assert "<i>" not in table


@pytest.mark.parametrize(
    ("prompt", "amiss"),
    [
        ("<b>bells</b> in D minor, 61 bpm", ""),
        ("bells in E minor, 120 bpm", "E minor"),
        ("bells at 90 bpm", "about 90 bpm"),
        ("E大调，每分钟90拍", "about 90 bpm · E major"),
        ("bells", ""),
    ],
)
def test_what_came_out_otherwise_than_asked_is_said(prompt: str, amiss: str) -> None:
    take = SimpleNamespace(heard=Heard(tempo=120.4, tonic=2, mode="minor", loudness=-18.04), record={"prompt": prompt})
    told = result.heard_html(take, "en")  # type: ignore[arg-type]
    assert "<p>about 120 bpm · D minor · −18.0 LUFS</p>" in told
    assert told.count("<p") == (2 if amiss else 1)
    assert amiss in told


def test_nothing_is_said_of_what_can_not_be_measured() -> None:
    take = SimpleNamespace(heard=Heard(None, None, None, None), record={"prompt": "in D minor, 90 bpm"})
    assert result.heard_html(take, "en") == ""  # type: ignore[arg-type]


def test_a_faults_sentence_is_escaped() -> None:
    assert "<img" not in status.fault("no model <img src=x>")


def test_only_written_values_are_changes() -> None:
    rows = generation_config.table(INFO, {"top_k": 20}, {}, "en")["data"]
    assert generation_config.read_changes(rows, INFO) == {"top_k": 20}
    rows[0][2], rows[1][2] = "False", " 4.5 "
    assert generation_config.read_changes(rows, INFO) == {"do_sample": False, "guidance_scale": 4.5, "top_k": 20}


@pytest.mark.parametrize("written", ["lots", "nan", "1e999"])
def test_a_change_that_is_no_number_is_refused(written: str) -> None:
    with pytest.raises(InputError):
        generation_config.read_changes([["temperature", "1.0", written, ""]], INFO)


@pytest.mark.parametrize(
    ("name", "written", "key"),
    [
        ("guidance_scale", "-4", "error.range"),
        ("max_length", "2", "error.too_few_tokens"),
        ("max_new_tokens", "4", "error.too_few_tokens"),
        ("pad_token_id", "3", "error.config_key"),
    ],
)
def test_a_change_that_cannot_be_used_is_refused(name: str, written: str, key: str) -> None:
    with pytest.raises(InputError) as fault:
        generation_config.read_changes([[name, "", written, ""]], INFO)
    assert fault.value.key == key


@pytest.mark.parametrize(
    ("event", "state"), [(None, "busy"), (Starting(), "busy"), (Loading("nano"), "busy"), (Ready(), "ready")]
)
def test_the_chip_says_whether_the_engine_is_ready(event: Event | None, state: str) -> None:
    assert f'data-state="{state}"' in status.engine_chip(event, "zh-CN")


def test_a_line_may_leave_its_clip_without_a_description() -> None:
    assert clip_lines("\n organ \n\n") == ("", "organ")
    assert clip_lines("  \n") == ()


def test_prompts_are_lines() -> None:
    assert prompt_lines("one\n\n  two \n") == ("one", "two")
    assert prompt_lines(None) == ()


def test_a_row_can_be_asked_for_alone() -> None:
    ask = Ask("melody", prompts=("a", "b"), clip_paths=("one.wav",), takes=2)
    assert [ask.alone(row).prompts for row in range(4)] == [("a",), ("a",), ("b",), ("b",)]
    assert ask.alone(3).clip_paths == ("one.wav",)
    assert ask.alone(3).takes == 1


def test_files_are_made_when_asked_for_and_sound_alike(tmp_path: Path) -> None:
    session = Session("tab", tmp_path)
    take = a_take()
    (kept,) = session.keep((take,), Ask("text", prompts=("x",)))
    assert [path.suffix for path in tmp_path.iterdir()] == [".wav"]
    wav, flac = soundfile.read(kept.wav)[0], soundfile.read(kept.file("flac"))[0]
    assert np.array_equal(wav, flac)
    assert np.abs(wav - take.samples[0]).max() < 1e-4
    assert kept.picture.exists()


def test_the_oldest_takes_go_with_their_files(tmp_path: Path) -> None:
    session = Session("tab", tmp_path)
    most = session.limits.kept_takes
    for seed in range(most + 3):
        for kept in session.keep((a_take(seed, frames=5),), Ask("text", prompts=("x",))):
            assert kept.file("mp3").exists()
    assert sorted(session.takes) == list(range(4, most + 4))
    assert len(list(tmp_path.iterdir())) == 2 * most


def test_a_forgotten_session_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    all_sessions = Sessions()
    session = all_sessions.of("tab")
    session.keep((a_take(),), Ask("text", prompts=("x",)))
    assert all_sessions.of("tab") is session
    all_sessions.forget("tab")
    assert not session.folder.exists()
    assert len(all_sessions) == 0


def test_sessions_without_a_sign_of_life_are_swept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    all_sessions = Sessions()
    old = all_sessions.of("old")
    old.last_used -= Limits().forgotten_seconds + 1
    all_sessions.of("new")
    assert all_sessions.find("old") is None
    assert not old.folder.exists()


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
    assert not second.folder.exists()
    first.jobs.clear()
    assert not all_sessions.busy


def test_a_cleared_temporary_folder_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    all_sessions = Sessions()
    all_sessions.of("before")
    shutil.rmtree(tmp_path / "gradio")
    (kept,) = all_sessions.of("after").keep((a_take(),), Ask("text", prompts=("x",)))
    assert kept.wav.exists()
