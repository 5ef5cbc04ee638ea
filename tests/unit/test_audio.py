"""Sound files in and out: what a user may bring, and what may go wrong with a disk."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_ui import audio
from musicgen_ui.audio import read_clip, resampled, to_int16, with_channels, write_audio
from musicgen_ui.errors import AppError, InputError, MachineError
from musicgen_ui.limits import Limits
from musicgen_ui.locales import LANGUAGES

LIMITS = Limits()


def tone(seconds=0.5, rate=32_000, channels=1, hertz=440.0):
    """(channels, samples)"""
    sound = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(sound[None].astype(np.float32), channels, axis=0)


def key_of(path, limits=LIMITS):
    with pytest.raises(AppError) as fault:
        read_clip(path, limits)
    for language in LANGUAGES:
        assert "{" not in fault.value.in_language(language)
    assert fault.value.exit_code == 2
    return fault.value.key


# In


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.aiff", "wav in disguise.mp3"])
def test_formats_are_read_by_what_they_hold(name, tmp_path):
    path = tmp_path / name
    soundfile.write(path, tone()[0], 32_000, format="WAV" if "disguise" in name else None)
    clip = read_clip(path, LIMITS)
    assert clip.samples.dtype == np.float32
    assert len(clip.samples) == 1
    assert clip.name == name
    assert clip.seconds == pytest.approx(0.5, abs=0.1)
    assert np.abs(clip.samples).max() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("rate", [8_000, 44_100, 192_000])
def test_any_usual_rate_becomes_the_models(rate, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(0.5, rate)[0], rate)
    clip = read_clip(path, LIMITS)
    assert clip.sampling_rate == rate
    assert clip.file_seconds == pytest.approx(0.5)
    samples = resampled(clip.samples, rate, 32_000)
    assert samples.shape == (1, 16_000)
    assert samples.dtype == np.float32
    middle = slice(2_000, 14_000)
    np.testing.assert_allclose(samples[:, middle], tone()[:, middle], atol=5e-3)


@pytest.mark.parametrize(("channels", "kept"), [(1, 1), (2, 2), (6, 1), (8, 1)])
def test_more_than_two_channels_are_mixed(channels, kept, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(channels=channels).T, 32_000)
    clip = read_clip(path, LIMITS)
    assert clip.samples.shape == (kept, 16_000)
    np.testing.assert_allclose(clip.samples, tone(channels=kept), atol=1e-3)


def test_of_a_long_file_the_start_is_read(tmp_path):
    path = tmp_path / "long.flac"
    soundfile.write(path, tone(330, 8_000)[0], 8_000)
    clip = read_clip(path, LIMITS)
    assert clip.seconds == LIMITS.heard_seconds
    assert clip.file_seconds == 330


def test_one_hour_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "hour.flac"
    with soundfile.SoundFile(path, "w", 32_000, 1) as file:
        for _ in range(60):
            file.write(np.zeros(60 * 32_000, np.int16))
    assert path.stat().st_size < 1 << 20
    monkeypatch.setattr(audio, "_first_frames", lambda *_: pytest.fail("the file was decoded"))
    assert key_of(path) == "error.clip_seconds"


def test_too_many_bytes_are_refused_unopened(tmp_path):
    path = tmp_path / "large.wav"
    path.touch()
    os.truncate(path, LIMITS.clip_bytes + 1)  # sparse
    assert key_of(path) == "error.clip_bytes"


def write_bytes(content):
    return lambda path: path.write_bytes(content)


def wav(samples, rate=32_000, **kind):
    return lambda path: soundfile.write(path, samples.T, rate, format="WAV", **kind)


def corrupt(path):
    soundfile.write(path, tone(2)[0], 32_000, format="FLAC")
    content = bytearray(path.read_bytes())
    content[60:] = np.random.default_rng(0).bytes(len(content) - 60)
    path.write_bytes(content)


def header_of(frames=None, rate=None, channels=None):
    """A WAV whose header says more than is there."""

    def write(path):
        soundfile.write(path, tone()[0], 32_000, format="WAV")
        content = bytearray(path.read_bytes())
        if channels is not None:
            content[22:24] = channels.to_bytes(2, "little")
        if rate is not None:
            content[24:28] = rate.to_bytes(4, "little")
        if frames is not None:
            content[4:8] = content[40:44] = (2 * frames).to_bytes(4, "little")
        path.write_bytes(content)

    return write


@pytest.mark.parametrize(
    ("write", "key"),
    [
        (write_bytes(b""), "error.clip_empty"),
        (wav(np.zeros((1, 0))), "error.clip_empty"),
        (write_bytes(b"These are words, not sounds.\n" * 40), "error.clip_unreadable"),
        (write_bytes(b"RIFF\xff\xff\xff\xffWAVE"), "error.clip_unreadable"),
        (write_bytes(os.urandom(4_000)), "error.clip_unreadable"),
        (wav(np.zeros((1, 8_000), np.float32)), "error.clip_silent"),
        (wav(np.full((1, 8_000), 1e-5, np.float32), subtype="FLOAT"), "error.clip_silent"),
        (wav(np.full((1, 8_000), np.nan, np.float32), subtype="FLOAT"), "error.clip_not_finite"),
        (wav(np.array([[0.5] * 99 + [np.inf]], np.float32), subtype="FLOAT"), "error.clip_not_finite"),
        (wav(tone(0.01)), "error.clip_short"),
        (wav(tone(), rate=100), "error.clip_rate"),
        (wav(tone(0.1, channels=LIMITS.clip_channels + 1)), "error.clip_channels"),
        (header_of(rate=2_000_000_000), "error.clip_rate"),
        (header_of(rate=0), "error.clip_unreadable"),
        (header_of(channels=0), "error.clip_unreadable"),
        (header_of(channels=60_000), "error.clip_unreadable"),
        (corrupt, "error.clip_unreadable"),
    ],
    ids=[
        "empty file", "no samples", "text", "only a header", "noise bytes", "silence", "near silence", "nan", "one inf",
        "10 ms",
        "100 Hz", "33 channels", "2 GHz", "0 Hz", "no channels", "60,000 channels", "corrupt FLAC",
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said(write, key, tmp_path):
    path = tmp_path / "clip.wav"
    write(path)
    assert key_of(path) == key


def test_a_header_that_claims_more_than_is_there_is_not_believed(tmp_path):
    path = tmp_path / "clip.wav"
    header_of(frames=2**30)(path)
    clip = read_clip(path, LIMITS)
    assert clip.seconds == clip.file_seconds == 0.5


def test_what_is_no_file_is_said(tmp_path):
    assert key_of(tmp_path / "missing.wav") == "error.clip_not_found"
    assert key_of(tmp_path) == "error.clip_not_found"
    assert key_of(tmp_path / ("x" * 5_000)) == "error.clip_not_found"
    assert key_of("null\0character.wav") == "error.clip_not_found"
    assert key_of("/dev/null") == "error.clip_not_found"


def test_channels_are_made_to_fit():
    left_right = np.array([[1.0, 0.0], [0.0, 0.5]], np.float32)
    np.testing.assert_array_equal(with_channels(left_right, 1), [[0.5, 0.25]])
    np.testing.assert_array_equal(with_channels(left_right[:1], 2), [[1, 0], [1, 0]])
    assert with_channels(left_right, 2) is left_right


# Out


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".WAV"])
def test_takes_are_written_and_read_back(suffix, channels, tmp_path):
    path = tmp_path / f"take{suffix}"
    samples = np.concatenate([tone(1.0), 0.6 * tone(1.0, hertz=610)])[:channels]
    write_audio(path, samples, 32_000)
    back, rate = soundfile.read(path, always_2d=True)
    assert rate == 32_000
    assert back.shape[1] == channels
    if suffix != ".mp3":
        np.testing.assert_array_equal(back.T, to_int16(samples) / 32_768)
    else:
        assert len(back) == 32_000
        np.testing.assert_allclose(back[2_000:-2_000].T, samples[:, 2_000:-2_000], atol=0.03)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_loud_music_is_turned_down_not_clipped():
    samples = 3 * tone()
    whole = to_int16(samples)
    assert np.abs(whole).max() == 32_767
    np.testing.assert_allclose(whole / 32_767, samples / np.abs(samples).max(), atol=2e-5)
    assert not to_int16(np.zeros((1, 4))).any()


@pytest.mark.parametrize("name", ["take", "take.ogg", "take.", ".wav", "take.wav.exe"])
def test_another_suffix_is_said(name, tmp_path):
    with pytest.raises(InputError) as fault:
        write_audio(tmp_path / name, tone(), 32_000)
    assert fault.value.key == "error.out_format"
    assert str(fault.value)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(InputError) as fault:
        write_audio(tmp_path / "none" / "take.wav", tone(), 32_000)
    assert fault.value.key == "error.out_folder"
    assert str(fault.value)


def test_a_folder_in_the_way_is_said(tmp_path):
    (tmp_path / "take.wav").mkdir()
    with pytest.raises(MachineError) as fault:
        write_audio(tmp_path / "take.wav", tone(), 32_000)
    assert fault.value.key == "error.cannot_write"
    assert str(fault.value)
    assert [file.name for file in tmp_path.iterdir()] == ["take.wav"]


def test_a_full_disk_is_said_and_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "take.wav"
    path.write_bytes(b"an earlier take")

    def write_half(file: Path, content: bytes):
        with file.open("wb") as partial:
            partial.write(content[: len(content) // 2])
        with open("/dev/full", "wb", buffering=0) as full:  # the kernel's own ENOSPC
            full.write(content)

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(MachineError) as fault:
        write_audio(path, tone(), 32_000)
    assert fault.value.key == "error.disk_full"
    assert fault.value.__cause__.errno == errno.ENOSPC
    assert path.read_bytes() == b"an earlier take"
    assert [file.name for file in tmp_path.iterdir()] == ["take.wav"]
