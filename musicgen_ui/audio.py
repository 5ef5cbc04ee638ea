"""Sound files in and out, by libsndfile (WAV, FLAC, MP3, OGG, AIFF …), bounded before they are decoded."""

import contextlib
import errno
import io
import math
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import soundfile

from musicgen_ui.errors import InputError, MachineError
from musicgen_ui.limits import Limits
from musicgen_ui.request import Clip
from musicgen_ui.tags import tagged

FORMATS = ("wav", "flac", "mp3")
_BLOCK_FRAMES = 1 << 16
_RATES = (2_000, 192_000)  # Hz
_SHORTEST = 0.1  # s
_SILENCE = 1e-4  # −80 dB of full scale


def read_clip(path: str | Path, limits: Limits) -> Clip:
    """The first `limits.heard_seconds` of a sound file, with at most two channels.

    More than two channels are mixed to one. Raises InputError for a file that is missing, too large
    (bytes, seconds, channels: looked at in the header, before decoding), unreadable, empty, silent,
    or holds values that are not finite.
    """
    path = Path(path)
    name = path.name.encode("utf-8", "replace").decode()  # a file's name may be no text, and goes into texts
    try:
        size = path.stat().st_size
    except (OSError, ValueError):
        raise InputError("error.clip_not_found", name=name) from None
    if not path.is_file():
        raise InputError("error.clip_not_found", name=name)
    if size == 0:
        raise InputError("error.clip_empty", name=name)
    if size > limits.clip_bytes:
        raise InputError("error.clip_bytes", name=name, size=size >> 20, limit=limits.clip_bytes >> 20)
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            rate, channels = file.samplerate, file.channels
            if not _RATES[0] <= rate <= _RATES[1]:
                raise InputError("error.clip_rate", name=name, rate=rate, low=_RATES[0], high=_RATES[1])
            if channels > limits.clip_channels:
                raise InputError("error.clip_channels", name=name, channels=channels, limit=limits.clip_channels)
            seconds = max(0, file.frames) / rate
            if seconds > limits.clip_seconds:
                raise InputError(
                    "error.clip_seconds", name=name, seconds=round(seconds), limit=round(limits.clip_seconds)
                )
            samples = _first_frames(file, int(limits.heard_seconds * rate))
    except (soundfile.SoundFileError, OSError, ValueError, TypeError):
        raise InputError("error.clip_unreadable", name=name) from None
    if samples.shape[-1] == 0:
        raise InputError("error.clip_empty", name=name)
    if not math.isfinite(samples.sum(dtype=np.float64)):  # one that isn't is enough; no second array of this size
        raise InputError("error.clip_not_finite", name=name)
    if samples.shape[-1] < _SHORTEST * rate:
        raise InputError("error.clip_short", name=name, minimum=_SHORTEST)
    if max(samples.max(), -samples.min()) < _SILENCE:
        raise InputError("error.clip_silent", name=name)
    return Clip(samples, rate, name, file_seconds=max(seconds, samples.shape[-1] / rate))


def read_clips(paths: Iterable[str | Path], limits: Limits) -> tuple[Clip, ...]:
    """All of `paths`, faults as in `read_clip`. InputError too where together they take too much memory."""
    clips: list[Clip] = []
    for path in paths:
        clips.append(read_clip(path, limits))
        if sum(clip.samples.nbytes for clip in clips) > limits.clips_bytes:
            raise InputError("error.clips_bytes", limit=limits.clips_bytes >> 20)
    return tuple(clips)


def _first_frames(file: soundfile.SoundFile, frames: int) -> np.ndarray:
    """(channels ≤ 2, ≤ frames) float32"""
    samples = np.empty((file.channels if file.channels <= 2 else 1, frames), np.float32)
    done = 0
    while done < frames:
        block = file.read(min(frames - done, _BLOCK_FRAMES), dtype="float32", always_2d=True).T
        if block.shape[1] == 0:
            break
        samples[:, done : done + block.shape[1]] = block if len(block) <= 2 else block.mean(axis=0, keepdims=True)
        done += block.shape[1]
    return samples if done == frames else samples[:, :done].copy()


def resampled(samples: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """`samples` (channels, samples) at `target_rate` Hz, by soxr's high quality."""
    if source_rate == target_rate:
        return samples
    import soxr

    return soxr.resample(samples.T, source_rate, target_rate).T.astype(np.float32)


def with_channels(samples: np.ndarray, channels: int) -> np.ndarray:
    """`samples` (1 or 2, n) as `channels` of them: mixed to one, or one heard on both sides."""
    if len(samples) == channels:
        return samples
    return samples.mean(axis=0, keepdims=True) if channels == 1 else np.repeat(samples, channels, axis=0)


def to_int16(samples: np.ndarray) -> np.ndarray:
    """16-bit samples; music above full scale is turned down as a whole rather than clipped."""
    peak = float(np.abs(samples).max(initial=0.0))
    return np.round(samples * (32767 / max(peak, 1.0))).astype(np.int16)


def write_audio(path: Path, samples: np.ndarray, sampling_rate: int, record: Mapping | None = None) -> None:
    """Writes `samples` (channels, samples) float32 as `path`'s suffix says: .wav, .flac (16 bit) or .mp3.

    `record` (JSON values), what made them, goes into the file's tags.

    The file appears whole or not at all. Raises InputError for another suffix or a missing folder,
    MachineError where the disk is full or refuses.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise InputError("error.out_format", suffix=path.suffix or path.name, formats=", ".join(FORMATS))
    encoded = io.BytesIO()
    frames = to_int16(samples).T
    if kind == "mp3":  # libsndfile 1.2.2 garbles stereo MP3 that it is handed as 16-bit integers
        frames = frames.astype(np.float32) / 32_768
    soundfile.write(encoded, frames, sampling_rate, format=kind.upper())
    content = encoded.getvalue()
    write_whole(path, content if record is None else tagged(content, kind, record))


def write_whole(path: Path, content: bytes) -> None:
    """Writes `content` beside `path` and moves it there; faults as in `write_audio`."""
    if not path.parent.is_dir():
        raise InputError("error.out_folder", folder=str(path.parent))
    partial = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        try:
            partial.write_bytes(content)
            os.replace(partial, path)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
    except OSError as fault:
        raise cannot_write(path.name, fault) from fault


def cannot_write(name: str, fault: OSError) -> MachineError:
    """What to say where `name` can't be written."""
    if fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return MachineError("error.disk_full", name=name)
    return MachineError("error.cannot_write", name=name, reason=fault.strerror or str(fault))
