"""What made a take, written into its sound file as tags, and read back.

The record stands as JSON in one tag of its own beside the usual title, artist and encoder: ID3 in WAV and MP3, Vorbis
comments in FLAC. What comes back is a stranger's text: it is only a proposal, which `request.checked` looks through.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mutagen import id3
from mutagen.flac import FLAC
from mutagen.id3 import TIT2, TPE1, TSSE
from mutagen.mp3 import MP3
from mutagen.wave import WAVE

from musicgen_ui.errors import InputError
from musicgen_ui.request import MODES, Request, Settings

TAG = "MUSICGEN"
_LONGEST = 64 * 1024  # characters of a record that is read
_TITLE = 120  # characters


def tagged(content: bytes, kind: str, record: Mapping) -> bytes:
    """The sound file `content` ("wav", "flac" or "mp3") with `record` (JSON values) in it."""
    file = io.BytesIO(content)
    title = str(record.get("prompt") or record.get("mode") or "")[:_TITLE]
    artist, encoder = f"MusicGen {record.get('model', '')}".strip(), "MusicGen on MindNLP"
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    sound = {"wav": WAVE, "flac": FLAC, "mp3": MP3}[kind](file)
    if sound.tags is None:
        sound.add_tags()
    tags: Any = sound.tags
    if kind == "flac":
        tags.update({"title": title, "artist": artist, "encoder": encoder, TAG: text})
    else:
        for frame, words in ((TIT2, title), (TPE1, artist), (TSSE, encoder)):
            tags.add(frame(encoding=3, text=words))
        tags.add(TXXX(encoding=3, desc=TAG, text=text))
    file.seek(0)
    sound.save(file)
    return file.getvalue()


def read_record(path: str | Path) -> dict:
    """The record in a sound file. InputError where there is none, or none that can be read."""
    path = Path(path)
    if not path.is_file():
        raise InputError("error.clip_not_found", name=path.name)
    try:
        texts = _texts(path)
    except Exception:  # each format has its own kinds; a broken file has no record
        texts = []
    if not texts:
        raise InputError("error.record_none", name=path.name)
    try:
        record = json.loads(texts[0]) if len(texts[0]) <= _LONGEST else None
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or record.get("mode") not in MODES or not isinstance(record.get("prompt", ""), str):
        raise InputError("error.record_broken", name=path.name)
    return record


class TXXX(id3.TXXX):
    """The frame of that name, but for one whose text is compressed, as ours never is: a few KB unpack to any size."""

    @classmethod
    def _fromData(cls, header, tflags, data):  # mutagen's name for it
        compressed = cls.FLAG24_COMPRESS if header.version >= header._V24 else cls.FLAG23_COMPRESS
        if tflags & compressed:
            raise id3.ID3JunkFrameError
        return super()._fromData(header, tflags, data)


def _texts(path: Path) -> list[str]:
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"fLaC":
        return FLAC(path).get(TAG, [])
    sound = (WAVE if start == b"RIFF" else MP3)(path, known_frames={"TXXX": TXXX})  # other frames stay unread
    return [text for frame in sound.tags.getall(f"TXXX:{TAG}") for text in frame.text] if sound.tags else []


def remembered(record: Mapping) -> Request:
    """The request that a record tells of, without its clip. Numbers and names are as unchecked as a user's."""
    prompt = record.get("prompt") or ""
    frames = record.get("section_frames")
    settings = {name: record.get(name) for name in Settings.__dataclass_fields__}
    return Request(
        mode=record["mode"],
        prompts=(prompt,) if prompt else (),
        model=str(record.get("model") or "nano"),
        engine=str(record.get("engine") or "auto"),
        settings=Settings(**settings),
        seed=record.get("seed"),
        padded_seconds=record.get("padded_seconds") or 0.0,
        padded_tokens=record.get("padded_tokens") or 0,
        without_drums=record.get("without_drums") or False,
        section_frames=tuple(frames) if isinstance(frames, list) else (),
    )
