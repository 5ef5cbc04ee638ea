"""Any file at all as a clip or as a take: a sentence or a sound, in bounded time and memory."""

import io
import os
import socket
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musicgen_ui.audio import read_clip, read_clips, write_audio
from musicgen_ui.errors import InputError
from musicgen_ui.limits import Limits
from musicgen_ui.locales import LANGUAGES
from musicgen_ui.tags import read_record
from tests.watch import nothing_outside, unopened

ROOT = Path(__file__).parents[2]
LIMITS = Limits()
RECORD = {"mode": "text", "prompt": "bells", "model": "nano", "seed": 1}
SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".aiff", ".au", ".caf", ".w64", ".raw", ".vox", ".sd2", ".m4a", ".m3u", "")
FUZZ = settings(
    max_examples=60, deadline=None, derandomize=os.environ.get("HYPOTHESIS_PROFILE") != "deep", database=None,
    suppress_health_check=(HealthCheck.function_scoped_fixture, HealthCheck.too_slow),
)  # fmt: skip


def encoded(kind: str) -> bytes:
    sound = io.BytesIO()
    soundfile.write(sound, 0.3 * np.sin(np.arange(8_000) / 9), 16_000, format=kind)
    return sound.getvalue()


WHOLE = {kind: encoded(kind) for kind in ("WAV", "FLAC", "MP3", "OGG", "AIFF", "AU", "CAF", "W64")}


def taken(path: Path) -> None:
    """Reads `path` as a clip and as a take; faults are sentences, and nothing else is opened."""
    sentences: list[str] = []
    for read in (lambda: read_clip(path, LIMITS), lambda: read_record(path)):
        begun = time.monotonic()
        with nothing_outside(path.parent):
            try:
                read()
            except InputError as fault:
                sentences += [fault.in_language(language) for language in LANGUAGES]
        assert time.monotonic() - begun < 10
    assert all(len(sentence) < 600 for sentence in sentences)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_that_is_cut_off(kind, tmp_path):
    content = WHOLE[kind]
    for cut in {1, 4, 12, 40, 44, 45, 100, len(content) // 2, len(content) - 1}:
        path = tmp_path / f"a.{kind.lower()}"
        path.write_bytes(content[:cut])
        taken(path)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_with_wrong_bytes(kind, tmp_path):
    content = WHOLE[kind]
    path = tmp_path / "clip.wav"

    @FUZZ
    @given(st.lists(st.tuples(st.integers(0, 120) | st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=8))
    def is_taken(changes):
        broken = bytearray(content)
        for place, byte in changes:
            broken[place] = byte
        path.write_bytes(broken)
        taken(path)

    is_taken()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bytes_of_any_kind_under_any_name(suffix, tmp_path):
    path = tmp_path / f"clip{suffix}"

    @FUZZ
    @given(st.binary(min_size=1, max_size=3_000), st.sampled_from([b"", *(c[:4] for c in WHOLE.values()), b"ID3\x04"]))
    def is_taken(content, magic):
        path.write_bytes(magic + content)
        taken(path)

    is_taken()


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
def test_a_takes_file_with_wrong_tags(kind, tmp_path):
    path = tmp_path / f"a.{kind}"
    write_audio(path, 0.3 * np.sin(np.arange(8_000) / 9, dtype=np.float32)[None], 16_000, RECORD)
    content = path.read_bytes()
    start = content.index(b"MUSICGEN") - 60

    @FUZZ
    @given(st.lists(st.tuples(st.integers(start, start + 200), st.integers(0, 255)), min_size=1, max_size=5))
    def is_taken(changes):
        broken = bytearray(content)
        for place, byte in changes:
            broken[place] = byte
        path.write_bytes(broken)
        taken(path)

    is_taken()


@pytest.mark.parametrize("name", ["a.m3u", "a.m3u8", "a.pls", "a.asx", "a.cue", "a.sd2", "a.raw", "a.wav", "a.xspf"])
def test_a_file_that_names_another_opens_none(name, tmp_path):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(WHOLE["WAV"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.wav"
        listed = f"#EXTM3U\n#EXTINF:1,x\n{secret}\nfile://{secret}\n{address}\n[playlist]\nFile1={secret}\n"
        path = tmp_path / name
        path.write_text(f'{listed}File2={address}\nFILE "{secret}" WAVE\n')
        with unopened(secret):
            taken(path)
        with pytest.raises(InputError) as told:
            read_clip(path, LIMITS)
        assert told.value.key == "error.clip_unreadable"
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has called
            server.accept()


def test_a_file_that_is_opened_would_be_seen(tmp_path):
    path = tmp_path / "secret.wav"
    path.write_bytes(WHOLE["WAV"])
    for watch in (lambda: nothing_outside(tmp_path / "own"), lambda: unopened(path)):
        with pytest.raises(AssertionError, match="secret"), watch():
            path.read_bytes()
    with pytest.raises(AssertionError, match="secret"), unopened(path):
        soundfile.read(path)  # in C
    with pytest.raises(AssertionError, match="Popen"), nothing_outside(tmp_path):
        subprocess.run([sys.executable, "-c", ""], check=True)


# Small files that unpack to much: each in a process of its own, whose memory is measured

MEASURE = """
import resource, sys, time
from musicgen_ui.errors import AppError
from musicgen_ui.audio import read_clip
from musicgen_ui.limits import Limits
from musicgen_ui.tags import read_record
import soundfile, mutagen, numpy
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, begun = peak(), time.monotonic()
for read in (lambda: read_clip(sys.argv[1], Limits()), lambda: read_record(sys.argv[1])):
    try: read(); key = "read"
    except AppError as fault: key = fault.key
    print(key)
print((peak() - before) // 1024, time.monotonic() - begun)
"""


def costs(path: Path) -> tuple[list[str], int, float]:
    """(what became of it as a clip and as a take, MB of memory, seconds)"""
    process = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    *keys, figures = process.stdout.splitlines()
    megabytes, seconds = figures.split()
    return keys, int(megabytes), float(seconds)


def silence(path: Path, kind: str, hours: float, rate: int, channels: int = 1, value: int = 0) -> None:
    block = np.full((rate * 60, channels), value, np.int16)
    with soundfile.SoundFile(path, "w", rate, channels, format=kind) as file:
        for _ in range(round(60 * hours)):
            file.write(block)


@pytest.mark.parametrize(("kind", "hours"), [("FLAC", 1), ("MP3", 0.2), ("OGG", 0.2)])
def test_hours_of_silence_are_refused_unread(kind, hours, tmp_path):
    path = tmp_path / "bomb.wav"
    silence(path, kind, hours, 8_000)
    assert path.stat().st_size < 5 << 20
    keys, megabytes, seconds = costs(path)
    assert keys[0] == "error.clip_seconds"
    assert megabytes < 40
    assert seconds < 10


def test_a_long_flac_that_hides_its_length(tmp_path):
    """Its header says 0 frames (unknown), or 10 s of them: it holds an hour."""
    for frames in (0, 80_000):
        path = tmp_path / "bomb.flac"
        silence(path, "FLAC", 1, 8_000, value=9_000)
        content = bytearray(path.read_bytes())
        total = int.from_bytes(content[18:26], "big") >> 36 << 36 | frames
        content[18:26] = total.to_bytes(8, "big")
        path.write_bytes(content)
        keys, megabytes, seconds = costs(path)
        assert keys[0] in ("read", "error.clip_seconds", "error.clip_unreadable", "error.clip_empty")
        assert megabytes < 40
        assert seconds < 10


def test_the_widest_sound_takes_bounded_memory(tmp_path):
    """A minute of as many channels at as high a rate as may be; loud, so that it is read to its end."""
    path = tmp_path / "wide.flac"
    silence(path, "FLAC", 1 / 60, 192_000, 2, value=9_000)
    assert path.stat().st_size < 1 << 20
    keys, megabytes, seconds = costs(path)
    assert keys[0] == "read"
    assert megabytes < 130
    assert seconds < 10
    with pytest.raises(InputError) as told:
        read_clips([path] * 3, LIMITS)
    assert told.value.key == "error.clips_bytes"


@pytest.mark.parametrize(
    "header",
    [{"frames": 2**31 - 1}, {"rate": 0}, {"channels": 1_000}, {"channels": 65_535}, {"rate": 2**32 - 1}, {"bits": 0},
     {"bits": 65_535}, {"align": 0}, {"kind": 0x55}, {"kind": 0xFFFE}],
)  # fmt: skip
def test_absurd_headers(header, tmp_path):
    values = {"kind": 1, "channels": 1, "rate": 8_000, "bits": 16, "align": 2, "frames": 8_000} | header
    size = min(2 * values["frames"], 2**32 - 37)
    path = tmp_path / "a.wav"
    path.write_bytes(
        struct.pack("<4sI8sI", b"RIFF", size + 36, b"WAVEfmt ", 16)
        + struct.pack(
            "<HHIIHH", *(values[n] for n in ("kind", "channels", "rate")), 16_000, values["align"], values["bits"]
        )
        + struct.pack("<4sI", b"data", size)
        + (9_000).to_bytes(2, "little") * 8_000
    )
    keys, megabytes, seconds = costs(path)
    assert keys[0].startswith(("error.clip_", "read"))
    assert megabytes < 60
    assert seconds < 10


# (kind, what its header's field follows, bytes between, the field)
ABSURD = [
    ("FLAC", b"fLaC", 14, bytes(8)),  # 0 Hz, 1 channel of 1 bit, 0 frames
    ("FLAC", b"fLaC", 14, b"\xff" * 8),  # 1,048,575 Hz, 8 channels, 2^36 - 1 frames
    ("MP3", b"Xing", 4, b"\xff" * 4),  # 2^32 - 1 frames
    ("OGG", b"\1vorbis", 4, struct.pack("<BI", 0, 8_000)),  # no channel
    ("OGG", b"\1vorbis", 4, struct.pack("<BI", 255, 8_000)),
    ("OGG", b"\1vorbis", 4, struct.pack("<BI", 1, 0)),  # 0 Hz
    ("OGG", b"\1vorbis", 4, struct.pack("<BI", 1, 2**32 - 1)),
    *[("AIFF", b"COMM", 4, struct.pack(">HIH", channels, 2**31, 16)) for channels in (0, 1, 1_000, 65_535)],
    ("AIFF", b"COMM", 12, bytes(10)),  # 0 Hz
    ("AIFF", b"COMM", 12, b"\x7f\xff" * 5),  # 10^4932 Hz
    *[("AU", b".snd", 12, struct.pack(">II", 8_000, channels)) for channels in (0, 1_000, 2**31, 2**32 - 1)],
    *[("AU", b".snd", 12, struct.pack(">II", rate, 1)) for rate in (0, 2**31, 2**32 - 1)],
    *[("CAF", b"desc", 8, struct.pack(">d", rate)) for rate in (0, -1, float("nan"), float("inf"), 1e300)],
    *[("CAF", b"desc", 32, struct.pack(">I", channels)) for channels in (0, 1_000, 2**32 - 1)],
    *[("W64", b"fmt ", 22, struct.pack("<HI", channels, 8_000)) for channels in (0, 1_000, 65_535)],
    *[("W64", b"fmt ", 22, struct.pack("<HI", 1, rate)) for rate in (0, 2**32 - 1)],
    ("W64", b"data", 12, struct.pack("<Q", 2**63)),  # bytes of sound
]


@pytest.mark.parametrize(("kind", "mark", "gap", "field"), ABSURD)
def test_absurd_headers_of_other_kinds(kind, mark, gap, field, tmp_path):
    content = bytearray(WHOLE[kind])
    place = content.index(mark) + len(mark) + gap
    assert content[place : place + len(field)] != field
    content[place : place + len(field)] = field
    if kind == "OGG":
        end = content.index(b"OggS", 4)
        assert WHOLE[kind][22:26] == page_checksum(WHOLE[kind][:end])
        content[22:26] = page_checksum(content[:end])
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(content)
    keys, megabytes, seconds = costs(path)
    assert keys[0].startswith(("error.clip_", "read"))
    assert megabytes < 60
    assert seconds < 10


def page_checksum(page: bytes) -> bytes:
    """Of an Ogg page (RFC 3533), or the decoder wouldn't look at what is in it."""
    remainder = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        remainder ^= byte << 24
        for _ in range(8):
            remainder = (remainder << 1 ^ (0x04C11DB7 if remainder >> 31 else 0)) & 0xFFFFFFFF
    return remainder.to_bytes(4, "little")


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("container", ["mp3", "wav"])
def test_a_compressed_tag_is_not_unpacked(version, container, tmp_path):
    """256 MB of spaces, in one TXXX frame of 250 KB."""
    pack = zlib.compressobj(9)
    blocks = [b"\3MUSICGEN\0", *[b" " * (1 << 24)] * 16]
    packed = b"".join(pack.compress(block) for block in blocks) + pack.flush()
    data = (1 << 28).to_bytes(4, "big") + packed
    if version == 4:
        frame = b"TXXX" + syncsafe(len(data)) + b"\0\x09" + data
    else:
        frame = b"TXXX" + len(data).to_bytes(4, "big") + b"\0\x80" + data
    tag = b"ID3" + bytes([version, 0, 0]) + syncsafe(len(frame)) + frame
    path = tmp_path / f"a.{container}"
    if container == "mp3":
        path.write_bytes(tag + WHOLE["MP3"])
    else:
        tag += b"\0" * (len(tag) % 2)
        sound = WHOLE["WAV"] + b"id3 " + len(tag).to_bytes(4, "little") + tag
        path.write_bytes(sound[:4] + (len(sound) - 8).to_bytes(4, "little") + sound[8:])
    keys, megabytes, _ = costs(path)
    assert keys[1] == "error.record_none"
    assert megabytes < 60


def syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))
