"""The command line, as a user calls it: a process, its files, its exit code and its one line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from musicgen_ui.audio import write_audio
from musicgen_ui.paths import ASSETS, EXAMPLES
from musicgen_ui.tags import read_record

PIANO, FLUTE = str(EXAMPLES / "piano-tune.ogg"), str(EXAMPLES / "flute-tune.ogg")


@pytest.fixture
def call(tmp_path):
    """Calls the command line in an empty folder; gives the finished process."""

    def call(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "musicgen_ui", *arguments],
            cwd=tmp_path, env=_environment(**environment), capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    return call


def _environment(**extra):
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**os.environ, "PYTHONPATH": path, "LC_ALL": "C.UTF-8", "HF_HUB_OFFLINE": "1", **extra}


def test_text_to_a_file_and_again_bit_for_bit(call, tmp_path):
    first = call("slow piano in A minor", "--seconds", "1", "--seed", "7", "--out", "a.wav", "--json")
    assert (first.returncode, first.stderr) == (0, "")
    told = json.loads(first.stdout)
    assert told["files"] == ["a.wav"]
    assert told["seed"] == 7
    assert told["model"] == "nano"
    assert told["engine"] == "float32"
    assert told["tokens"] == 53
    assert told["seconds"] == [1.0]
    assert {"load", "text_encoder", "decoder", "codec"} <= set(told["stages"])
    assert 0.1 < told["peak_gb"] < 8
    again = call("slow piano in A minor", "--seconds", "1", "--seed", "7", "--out", "b.wav")
    assert again.stdout == "b.wav\n"
    a, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    b, _ = soundfile.read(tmp_path / "b.wav", dtype="int16")
    assert rate == 32_000
    assert len(a) == 32_000
    assert np.abs(a).max() > 100
    assert (a == b).all()


def test_a_file_says_how_to_make_it_again(call, tmp_path):
    first = call("slow bells", "--seconds", "0.6", "--seed", "9", "--top-k", "9", "--takes", "2", "--out", "a.flac")
    assert first.returncode == 0, first.stderr
    original = soundfile.read(tmp_path / "a-2.flac", dtype="int16")[0]
    silence = np.zeros((1, len(original)), np.float32)
    write_audio(tmp_path / "a-2.flac", silence, 32_000, read_record(tmp_path / "a-2.flac"))  # there is nothing to copy
    for n in (1, 2):  # each by itself, though both were made together
        again = call("--from", f"a-{n}.flac", "--out", f"b-{n}.wav", "--json")
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout)["seed"] == 8 + n
        a, b = (soundfile.read(tmp_path / name, dtype="int16")[0] for name in (f"a-{n}.flac", f"b-{n}.wav"))
        np.testing.assert_array_equal(a if n == 1 else original, b)
    other = call("--from", "a-1.flac", "--seed", "10", "--seconds", "0.6", "--out", "c.wav")
    assert other.returncode == 0, other.stderr
    np.testing.assert_array_equal(soundfile.read(tmp_path / "c.wav", dtype="int16")[0], original)


def test_a_continuation_is_made_again_with_its_clip(call, tmp_path):
    first = call("--audio", PIANO, "go on", "--seconds", "0.4", "--seed", "3", "--out", "a.mp3")
    assert first.returncode == 0, first.stderr
    alone = call("--from", "a.mp3", "--out", "b.wav")
    assert (alone.returncode, alone.stderr.count("\n")) == (2, 1)
    assert "clip" in alone.stderr
    again = call("--from", "a.mp3", "--audio", PIANO, "--out", "b.mp3")
    assert again.returncode == 0, again.stderr
    assert again.stderr == ""
    a, b = (soundfile.read(tmp_path / name)[0] for name in ("a.mp3", "b.mp3"))
    np.testing.assert_array_equal(a, b)
    other = call("--from", "a.mp3", "--audio", FLUTE, "--out", "c.mp3")
    told = "“flute-tune.ogg” isn't the clip that “a.mp3” was made from, so the music will be another.\n"
    assert (other.returncode, other.stderr) == (0, told)


def test_a_foreign_file_remembers_nothing(call):
    process = call("--from", PIANO, "--out", "a.wav")
    assert (process.returncode, process.stderr.count("\n")) == (2, 1)
    assert "piano-tune.ogg" in process.stderr


def test_several_takes_of_no_description(call, tmp_path):
    process = call("--unconditional", "--takes", "2", "--max-new-tokens", "20", "--seed", "1", "--out", "u.mp3")
    assert (process.returncode, process.stdout) == (0, "u-1.mp3\nu-2.mp3\n")
    one, two = (soundfile.read(tmp_path / f"u-{n}.mp3")[0] for n in (1, 2))
    assert len(one) == len(two)
    assert (one != two).any()


def test_two_clips_are_continued_in_one_batch_and_start_with_their_clips(call, tmp_path):
    process = call("--audio", PIANO, "--audio", FLUTE, "go on", "--seconds", "0.5", "--json")
    assert process.returncode == 0, process.stderr
    told = json.loads(process.stdout)
    assert told["files"] == ["musicgen_out_audio-1.wav", "musicgen_out_audio-2.wav"]
    for file, clip in zip(told["files"], (PIANO, FLUTE), strict=True):
        clip_seconds = soundfile.info(clip).duration
        assert soundfile.info(tmp_path / file).duration == pytest.approx(clip_seconds + 0.5, abs=0.03)


def test_a_melody_is_followed_by_nanos_sister(call):
    process = call("--audio", PIANO, "--mode", "melody", "a flute", "--seconds", "0.4", "--out", "m.flac", "--json")
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)["model"] == "nano-melody"


def test_a_take_without_a_beat_is_kept_and_has_no_loop(call, tmp_path):
    process = call("x", "--seconds", "0.6", "--loop", "--out", "x.wav", "--json")
    assert (process.returncode, process.stderr) == (
        1,
        "No steady beat was heard in “x.wav”, so it can't be cut into a loop.\n",
    )
    assert json.loads(process.stdout)["loops"] == [None]
    assert [path.name for path in tmp_path.glob("*.wav")] == ["x.wav"]


def test_an_interrupt_keeps_what_was_made(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "musicgen_ui", "x", "--seconds", "29", "--engine", "mindnlp", "--out", "cut.wav"],
        cwd=tmp_path, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(15)  # imports take some seconds, the music by the slowest engine a minute
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (1, "cut.wav\n", "Stopped; what was made so far is saved.\n")
    assert 0 < soundfile.info(tmp_path / "cut.wav").duration < 29


def test_more_than_the_model_holds_is_made_part_by_part_and_again_from_its_file(call, tmp_path):
    shutil.copytree(ASSETS / "musicgen-nano", tmp_path / "small-room")
    config = tmp_path / "small-room" / "generation_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_length": 53}))
    asked = ("calm piano | 0:02 drums", "--model", "./small-room", "--seconds", "4", "--seed", "7", "--out")
    process = call(*asked, "x.wav", "--json")
    assert (process.returncode, process.stderr) == (0, "")
    told = json.loads(process.stdout)
    assert (told["seconds"], told["tokens"]) == ([4.0], 203)
    again = call("--from", "x.wav", "--out", "y.wav")
    assert again.returncode == 0, again.stderr
    other = call(asked[0].replace("drums", "flute"), *asked[1:], "z.wav")
    assert other.returncode == 0, other.stderr
    x, y, z = (soundfile.read(tmp_path / f"{name}.wav", dtype="int16")[0] for name in "xyz")
    np.testing.assert_array_equal(x, y)
    assert len(x) == 128_000
    assert (x[:60_000] == z[:60_000]).all()
    assert (x[64_000:] != z[64_000:]).mean() > 0.5


def test_help_names_every_option(call):
    process = call("--help")
    assert process.returncode == 0
    for option in ("--seconds", "--mode", "--engine", "--greedy", "--top-p", "--takes", "--json", "--debug"):
        assert option in process.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Please describe the music first: the prompt is empty."),
        (("x" * 10_000,), "The prompt has 10000 characters; at most 2000 can be used."),
        (("x", "--seed", "abc"), "seed must be a number; “abc” isn't one that can be used."),
        (("x", "--takes", "0"), "takes must lie between 1 and 4; it is 0."),
        (("x", "--guidance", "0"), "guidance_scale must lie between 1.0 and 20.0; it is 0.0."),
        (("x", "--seconds", "-1"), "seconds must lie between 0.1 and 300; it is -1."),
        (("x", "--max-new-tokens", "20000"), "That would be 399.9 s of music; a piece can last 300 s at most."),
        (("0:00 piano | 0:75 drums",), "“0:75” is no time: the seconds behind the colon go from 00 to 59."),
        (
            ("piano | 0:20 drums", "--seconds", "9"),
            "The section at 0:20 would begin after the end: the piece lasts 9.0 s. "
            "Make it longer, or take the section out.",
        ),
        (
            ("x", "--engine", "warp"),
            "There is no engine “warp” here; the engines are auto, mindnlp, graph, float32, int8, int4.",
        ),
        (("x", "--out", "x.ogg"), "Files can be saved as wav, flac, mp3; “.ogg” isn't one of them."),
        (("x", "--out", "nowhere/x.wav"), "There is no folder “nowhere” to save into."),
        (("x", "--audio", "nothing.wav"), "There is no sound file “nothing.wav”."),
        (
            ("x", "--without-drums"),
            "Drums are left out (without_drums) only where a melody is followed; the mode is “text”.",
        ),
        (("--mode", "melody"), "Please give a clip first: upload one, record one, or take an example."),
        (("x", "--nonsense"), "unrecognized arguments: --nonsense (see --help)"),
    ],
)
def test_what_the_user_got_wrong_is_one_line_and_exit_2(call, arguments, sentence):
    process = call(*arguments)
    assert (process.returncode, process.stdout, process.stderr) == (2, "", sentence + "\n")


def test_limits_are_the_environments(call):
    process = call("x", "--seconds", "5", MUSICGEN_PIECE_SECONDS="4")
    assert (process.returncode, process.stderr) == (2, "seconds must lie between 0.1 and 4; it is 5.\n")
    process = call("x", "--max-new-tokens", "500", MUSICGEN_PIECE_SECONDS="4")
    assert "a piece can last 4 s at most" in process.stderr
    process = call("x", MUSICGEN_PROMPTS="none")
    assert process.returncode == 2
    assert "MUSICGEN_PROMPTS" in process.stderr


def test_the_sentence_is_in_the_shells_language(call):
    process = call(LC_ALL="zh_CN.UTF-8")
    assert (process.returncode, process.stderr) == (2, "请先描述想要的音乐：提示词是空的。\n")


@pytest.mark.parametrize(
    "asked",
    [
        ("0:00 calm piano | 0:30 drums come in", "--model", "small", "--seconds", "60"),
        ("--model", "facebook/musicgen-melody", "--mode", "melody", "--audio", PIANO),
    ],
    ids=["sections", "a melody checkpoint by its name on the hub"],
)
def test_nothing_is_refused_for_what_isnt_known_before_the_download(call, tmp_path, asked):
    process = call(*asked, HF_HOME=str(tmp_path / "empty"), HF_ENDPOINT="http://127.0.0.1:9")
    assert "has to be downloaded first" in process.stderr
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("--seconds", "9999"), "seconds"),
        (("--seconds", "5", "--max-new-tokens", "50"), "--max-new-tokens"),
        (("--mode", "melody", "--audio", PIANO), "can't follow a melody"),
    ],
)
def test_what_is_wrong_anyhow_is_told_before_the_download(call, tmp_path, asked, told):
    process = call("x", "--model", "large", *asked, HF_HOME=str(tmp_path / "empty"), HF_ENDPOINT="http://127.0.0.1:9")
    assert told in process.stderr
    assert process.returncode == 2


def test_a_model_that_cannot_be_downloaded_is_one_line_and_exit_1(call, tmp_path):
    process = call("x", "--model", "small", HF_HOME=str(tmp_path / "empty"), HF_ENDPOINT="http://127.0.0.1:9")
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1
    assert "has to be downloaded first" in process.stderr
