"""The page's parts that need no browser."""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import soundfile
from PIL import Image

from musicgen_ui.audio import read_clip
from musicgen_ui.errors import InputError
from musicgen_ui.events import Event, Loading, Ready, Starting
from musicgen_ui.hearing import Heard
from musicgen_ui.limits import Limits
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.take import Take, TextToken, TextTokens
from musicgen_ui.ui import generation_config, inside, result, status
from musicgen_ui.ui.advice import Advice
from musicgen_ui.ui.asks import Ask, clip_lines, prompt_lines
from musicgen_ui.ui.inside import draw_inside
from musicgen_ui.ui.pictures import draw_sound, outline
from musicgen_ui.ui.sessions import Sessions
from musicgen_ui.ui.settings import REMEMBERED
from musicgen_ui.ui.shelves import Shelf
from musicgen_ui.ui.space import build_invitation
from musicgen_ui.ui.tray import tray_html
from tests.ui.fake_engine import FakeEngine

INFO = ModelInfo("nano", 32_000, 50.0, 4, 1, False, {"do_sample": True, "guidance_scale": 3.0, "max_length": 1500})

ASK = Ask("text", prompts=("x",))


def a_take(seed: int = 7, frames: int = 50) -> Take:
    draw = np.random.default_rng(seed)
    samples = (0.5 * draw.standard_normal((1, 640 * frames))).clip(-1, 1).astype(np.float32)
    codes = draw.integers(0, 512, (4, frames)).astype(np.int16)
    return Take(samples, 32_000, codes, {"seed": seed, "prompt": "<b>loud</b>", "stages": {"decoder": 1.0}})


def test_a_take_is_asked_for_as_in_its_batch_until_something_else_is_asked_for() -> None:
    made = Ask("text", ("x",), seed=3, padded_tokens=9, padded_seconds=1.5, section_frames=(50,))
    assert replace(ASK, seed=3).within(made) == made
    for other in (replace(ASK, seed=4), replace(ASK, seed=3, prompts=("y",)), replace(ASK, seed=3, takes=2)):
        assert other.within(made) is other
    assert ASK.within(None) is ASK


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


def drawn(drawing: str) -> list[ElementTree.Element]:
    """The large pictures of the tokens: as generated, and with the delay undone."""
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", drawing)]


def places(svg: ElementTree.Element, kind: str) -> list[tuple[float, float]]:
    """(y, x) of the cells of a kind, row by row."""
    return sorted(
        (float(rect.get("y", "")), float(rect.get("x", ""))) for rect in svg.iter("rect") if rect.get("class") == kind
    )


@pytest.mark.parametrize("channels", [1, 2])
def test_the_delay_pattern_is_a_staircase_of_numbers(channels: int) -> None:
    codes = np.arange(4 * channels * 50, dtype=np.int16).reshape(4 * channels, 50)
    delayed, undone = drawn(draw_inside({"stages": {"decoder": 2.0}}, codes, channels, "en"))
    assert len(places(delayed, "mg-pad")) == channels * (1 + 2 + 3 + 4)  # left and right share a delay
    assert places(undone, "mg-pad") == []
    columns = [x for _, x in places(delayed, "mg-framed")]  # one frame's tokens, codebook by codebook
    assert columns == sorted(columns)
    assert len(set(columns)) == 4
    assert len({x for _, x in places(undone, "mg-framed")}) == 1
    numbers = [text.text for text in delayed.iter("text") if text.get("class")]
    assert numbers == [str(code) for row in range(4 * channels) for code in codes[row, : 15 - row // channels]]


def test_a_take_shorter_than_the_drawing_ends_as_it_began() -> None:
    delayed, undone = drawn(draw_inside({}, np.ones((4, 2), np.int16), 1, "en"))
    assert len(places(delayed, "mg-pad")) == (1 + 2 + 3 + 4) + (3 + 2 + 1 + 0)
    assert len(list(undone.iter("rect"))) == 8


def test_all_of_a_take_is_a_picture_of_its_steps() -> None:
    codes = np.tile(np.arange(500, dtype=np.int16), (4, 1))
    drawing = draw_inside({"shapes": {"clip_encoder": [4, 100]}}, codes, 1, "en")
    found = re.search(r"data:image/png;base64,([^\"]+)", drawing)
    assert found
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))))
    assert pixels.shape == (4, 504, 4)
    for row in range(4):
        made = np.flatnonzero(pixels[row, :, 3])
        assert list(made) == list(range(1 + row, 501 + row))
        light = pixels[row, made, :3].astype(int).sum(axis=1)
        assert light[-1] > light[100]
        grey = np.ptp(pixels[row, made, :3].astype(int), axis=1) < 30
        assert grey[:100].all()  # the clip's
        assert not grey[100:].any()


def test_what_t5_read_is_shown_and_escaped() -> None:
    read = TextTokens((TextToken("▁<b>", 7, False), TextToken("</s>", 1, True)), cut=30)
    drawing = draw_inside({"shapes": {"text_encoder": [5, 768]}}, a_take().codes, 1, "en", read)
    assert "<b>▁&lt;b&gt;</b><i>7</i>" in drawing
    assert "<li class=mg-special><b>&lt;/s&gt;</b><i>1</i></li>" in drawing
    assert "30 more, which were cut off" in drawing
    assert "3 × &lt;pad&gt;" in drawing
    assert "5 × 768" in drawing


@pytest.mark.parametrize(("guidance", "rows"), [(3.0, "2 rows"), (1.0, "1 row ")])
def test_guidance_doubles_the_rows(guidance: float, rows: str) -> None:
    assert rows in draw_inside({"guidance_scale": guidance}, a_take().codes, 1, "en")


@pytest.mark.parametrize(
    ("record", "complete", "told"),
    [
        ({"engine": "graph"}, True, "engine graph, which runs the same float32 weights"),
        ({"engine": "float32"}, True, "engine float32, which runs the same float32 weights"),
        ({"engine": "int8"}, True, "8 bits"),
        ({"engine": "int4"}, True, "4 bits"),
        ({"engine": "mindnlp"}, False, "was stopped"),
        ({"clip": "<i>.wav", "engine": "mindnlp"}, True, "“&lt;i&gt;.wav”"),
        ({"do_sample": True, "seed": 77}, True, "seed 77"),
        ({"stages": {"chroma": 0.1}}, True, "<code>chroma_features</code>"),
        ({"script": "hand_out_codes(model)"}, True, "<code>StreamingCodec</code>"),
    ],
)
def test_what_the_code_needs_is_said_where_it_applies(record: dict, complete: bool, told: str) -> None:
    assert told in inside.code_notes({"script": "x", **record}, complete, "en")
    assert told not in inside.code_notes({"script": "x"}, True, "en")


def test_the_title_tells_takes_that_are_compared_apart() -> None:
    facts = {"prompt": "bells", "do_sample": True, "guidance_scale": 3.0}
    take = SimpleNamespace(record=facts, seconds=1.0, complete=True, ask=Ask("text"), name="")
    usual = result.title_html(take, "en")  # type: ignore[arg-type]
    take.record = {**facts, "do_sample": False, "guidance_scale": 1.0}
    other = result.title_html(take, "en")  # type: ignore[arg-type]
    for word in ("greedy", "no guidance"):
        assert word in other
        assert word not in usual


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


def test_an_outline_is_as_loud_as_the_sound() -> None:
    samples = np.zeros((2, 1000), np.float32)
    samples[1, 500:] = -0.5
    assert outline(samples, 4) == (0, 0, 100, 100)
    assert outline(np.zeros((1, 0), np.float32), 3) == (0, 0, 0)


def test_the_tray_escapes_what_users_wrote(tmp_path: Path) -> None:
    shelf = Shelf("", tmp_path)
    shelf.keep((a_take(), a_take()), ASK)
    shelf.rename(1, "<script>'\"")
    shown = tray_html(shelf, 1, "en")
    assert "<script" not in shown
    assert "<b>" not in shown
    assert shown.index('data-take="2"') < shown.index('data-take="1"')
    assert shown.count("aria-current") == 1
    assert tray_html(Shelf("", tmp_path), 0, "en") == ""


def test_without_code_there_is_nothing_to_say_of_it() -> None:
    assert inside.code_notes({}, True, "en") == ""


def test_the_clip_of_a_take_is_compared_with_the_one_on_the_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rate, tone = 32_000, (9_000 * np.sin(np.arange(32_000) / 20)).astype(np.int16)
    for name, sound in (("hum.wav", tone), ("renamed.flac", tone), ("other.wav", tone[::-1])):
        soundfile.write(tmp_path / name, sound, rate)
    digest = read_clip(tmp_path / "hum.wav", Limits()).digest
    record = {"mode": "melody", "prompt": "flute", "model": "nano-melody", "clip": "hum.wav", "clip_digest": digest}
    monkeypatch.setattr("musicgen_ui.ui.advice.read_record", lambda path: record)
    advice = Advice(FakeEngine(Limits()), Sessions(), Limits())

    def told(clip: str | None) -> str:
        given = str(tmp_path / clip) if clip else None
        return str(advice.restore("take.wav", {}, given, SimpleNamespace(headers={}))[0])  # type: ignore[arg-type]

    assert "makes the same music" in told("hum.wav")
    assert "makes the same music" in told("renamed.flac")
    assert "isn’t the one given here" in told("other.wav")
    assert "isn’t the one given here" in told("gone.wav")
    assert "hand that over too" in told(None)
    del record["clip_digest"]  # of a take made before there were any
    assert "hand that over too" in told("hum.wav")


def test_a_browser_whose_model_is_gone_has_all_else_again() -> None:
    kept = dict.fromkeys(REMEMBERED) | {"tab": "text", "mode": "continue", "prompts": "my words", "model": "gone"}
    advice, request = Advice(FakeEngine(Limits()), Sessions(), Limits()), SimpleNamespace(headers={}, query_params={})
    filled = advice.reopen(kept, {}, request)  # type: ignore[arg-type]
    assert "my words" in filled
    assert "gone" not in filled
    assert not any("link" in str(value) for value in filled)


@pytest.mark.parametrize(("space", "links"), [("some-body/a.b", 1), ('a"><script>/b', 0), ("nobody", 0), ("a/b/c", 0)])
def test_only_a_spaces_name_makes_a_link(space: str, links: int) -> None:
    with gr.Blocks() as page:
        build_invitation({"SPACE_ID": space})
    assert sum(isinstance(block, gr.HTML) for block in page.blocks.values()) == links
