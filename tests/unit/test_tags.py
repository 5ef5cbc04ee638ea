"""What a take's file remembers: written as tags, read back, and what becomes of files that remember nothing."""

import json
import shutil

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.id3 import TXXX

from musicgen_ui.audio import FORMATS, write_audio
from musicgen_ui.errors import InputError
from musicgen_ui.paths import EXAMPLES
from musicgen_ui.request import Settings
from musicgen_ui.tags import TAG, read_record, remembered

RECORD = {
    "mode": "text", "prompt": 'a “waltz”, 慢, <b>&amp;</b> \\ "', "clip": None, "seed": 2**32 - 1, "model": "nano",
    "engine": "graph", "max_new_tokens": 53, "guidance_scale": 3.0, "do_sample": True, "temperature": 0.9, "top_k": 250,
    "top_p": 0.95, "padded_tokens": 7, "tokens": 53, "complete": True, "stages": {"decoder": 0.25},
}  # fmt: skip


@pytest.fixture
def tone():
    return 0.3 * np.sin(2 * np.pi * 330 * np.arange(32_000) / 32_000, dtype=np.float32)[None]


@pytest.mark.parametrize("kind", FORMATS)
def test_the_record_comes_back_and_the_sound_is_what_it_was(tmp_path, tone, kind):
    write_audio(tmp_path / f"a.{kind}", tone, 32_000)
    write_audio(tmp_path / f"b.{kind}", tone, 32_000, RECORD)
    assert read_record(tmp_path / f"b.{kind}") == RECORD
    plain, told = (soundfile.read(tmp_path / f"{name}.{kind}") for name in "ab")
    assert told[1] == plain[1] == 32_000
    np.testing.assert_array_equal(told[0], plain[0])


@pytest.mark.parametrize("kind", FORMATS)
def test_players_find_a_title(tmp_path, tone, kind):
    path = tmp_path / f"a.{kind}"
    write_audio(path, tone, 32_000, RECORD)
    tags = mutagen.File(path)
    assert str(tags["title"][0] if kind == "flac" else tags["TIT2"]) == RECORD["prompt"]
    assert str(tags["artist"][0] if kind == "flac" else tags["TPE1"]) == "MusicGen nano"


def test_what_is_remembered_asks_for_the_same():
    request = remembered(RECORD)
    assert (request.mode, request.prompts, request.model, request.engine) == (
        "text",
        (RECORD["prompt"],),
        "nano",
        "graph",
    )
    assert request.settings == Settings(53, 3.0, True, 0.9, 250, 0.95)
    assert (request.seed, request.takes, request.padded_seconds, request.padded_tokens) == (2**32 - 1, 1, 0.0, 7)
    assert request.section_frames == ()
    assert remembered({**RECORD, "section_frames": [1500, 3000]}).section_frames == (1500, 3000)
    assert remembered({**RECORD, "section_frames": "odd"}).section_frames == ()


def test_that_drums_were_left_out_is_remembered():
    assert remembered({**RECORD, "mode": "melody", "without_drums": True}).without_drums is True
    assert remembered(RECORD).without_drums is False


def test_foreign_files_say_so(tmp_path):
    sound = shutil.copy(EXAMPLES / "piano-tune.ogg", tmp_path / "song.ogg")
    noise = tmp_path / "noise.wav"
    noise.write_bytes(bytes(range(256)) * 8)
    text = tmp_path / "a.mp3"
    text.write_text("no sound")
    empty = tmp_path / "empty.flac"
    empty.touch()
    for path in (sound, noise, text, empty):
        with pytest.raises(InputError) as told:
            read_record(path)
        assert told.value.key == "error.record_none", path
    with pytest.raises(InputError) as told:
        read_record(tmp_path / "none.wav")
    assert told.value.key == "error.clip_not_found"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "null",
        "[" * 5_000,
        '{"mode": "text", "prompt": 5}',
        '{"mode": "sing"}',
        '{"mode": ["text"]}',
        json.dumps({**RECORD, "prompt": "la " * 30_000}),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(tmp_path, tone, text):
    path = tmp_path / "a.wav"
    write_audio(path, tone, 32_000, RECORD)
    file = mutagen.File(path)
    file.tags.setall(f"TXXX:{TAG}", [TXXX(encoding=3, desc=TAG, text=text)])
    file.save()
    with pytest.raises(InputError) as told:
        read_record(path)
    assert told.value.key in ("error.record_broken", "error.record_none")
