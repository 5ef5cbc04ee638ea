"""The takes that the page keeps for a browser: their sound as files, and what the user has made of them."""

import contextlib
import io
import secrets
import shutil
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile

from musicgen_ui.audio import cannot_write, write_audio, write_whole
from musicgen_ui.errors import InputError
from musicgen_ui.hearing import Heard, hear
from musicgen_ui.limits import Limits
from musicgen_ui.loops import Loop, find_loop
from musicgen_ui.take import NOTHING_READ, Take, TextTokens
from musicgen_ui.ui.asks import Ask
from musicgen_ui.ui.pictures import draw_sound, outline

_NAME = 80  # characters of a name that a user gives
_IN_FILE_NAMES = 60  # characters
_FORBIDDEN = set('<>:"/\\|?*')  # in file names, here or there


@dataclass
class KeptTake:
    """A take of this browser. Its sound lies in `folder`; the other files are made when first asked for."""

    number: int
    folder: Path
    ask: Ask
    record: dict
    codes: np.ndarray
    seconds: float
    channels: int
    complete: bool
    text: TextTokens = NOTHING_READ
    outline: tuple[int, ...] = ()
    """its loudness over time in 0 … 100, for a small picture"""
    name: str = ""
    """as the user calls it; "" is by its prompt"""
    favourite: bool = False

    @property
    def wav(self) -> Path:
        return self.folder / f"take-{self.number}.wav"

    def file(self, suffix: str) -> Path:
        """The sound as `suffix` ("flac", "mp3"). Raises MachineError when the disk is full."""
        path = self.wav.with_suffix(f".{suffix}")
        if not path.exists():
            sound, rate = self.sound
            write_audio(path, sound, rate, self.record)
        return path

    @property
    def picture(self) -> Path:
        path = self.wav.with_suffix(".png")
        if not path.exists():
            content = io.BytesIO()
            draw_sound(*self.sound).save(content, "png")
            write_whole(path, content.getvalue())
        return path

    @cached_property
    def heard(self) -> Heard:
        """Its tempo, key and loudness."""
        return hear(*self.sound)

    @property
    def loop(self) -> tuple[Path, Loop]:
        """Whole bars of it, as a file too. Raises InputError where it has none, MachineError when the disk is full."""
        if isinstance(self._loop, InputError):
            raise self._loop
        return self._loop

    @cached_property
    def _loop(self) -> tuple[Path, Loop] | InputError:
        """Looked for once, whether there is one or not."""
        sound, rate = self.sound
        try:
            looped, loop = find_loop(sound, rate, self.wav.name)
        except InputError as fault:
            return fault
        path = self.wav.with_name(f"{self.wav.stem}-loop.wav")
        write_audio(path, looped, rate, {**self.record, "loop": loop.facts})
        return path, loop

    @property
    def sampling_rate(self) -> int:
        return soundfile.info(self.wav).samplerate

    @property
    def sound(self) -> tuple[np.ndarray, int]:
        """(channels, samples) float32 and their rate in Hz, read from its file."""
        sound, rate = soundfile.read(self.wav, dtype="int16", always_2d=True)
        return sound.T.astype(np.float32) / 32767, rate


@dataclass
class Shelf:
    """The last takes of one browser, by number. `key` is the browser's secret; "" is a shelf of one session only."""

    key: str
    folder: Path
    most: int = Limits().kept_takes
    takes: dict[int, KeptTake] = field(default_factory=dict)
    made: int = 0
    last_used: float = field(default_factory=time.monotonic)

    def chosen(self, number: int | None) -> KeptTake | None:
        """Take `number`, else the latest."""
        return self.takes.get(number or 0) or (self.takes[max(self.takes)] if self.takes else None)

    def keep(self, takes: tuple[Take, ...], ask: Ask) -> list[KeptTake]:
        """Writes the takes of one run. Raises MachineError when the disk is full.

        Beyond `most` the oldest go, favourites last.
        """
        kept = []
        for row, take in enumerate(takes):
            self.made += 1
            alone = replace(
                ask.alone(row),
                seed=take.record.get("seed", ask.seed),
                padded_seconds=take.record.get("padded_seconds") or 0.0,
                padded_tokens=take.record.get("padded_tokens") or 0,
                section_frames=tuple(take.record.get("section_frames") or ()),
            )
            entry = KeptTake(
                self.made,
                self.folder,
                alone,
                take.record,
                take.codes,
                take.seconds,
                len(take.samples),
                take.complete,
                take.text,
                outline(take.samples),
            )
            write_audio(entry.wav, take.samples, take.sampling_rate, take.record)
            self.takes[entry.number] = entry
            kept.append(entry)
        oldest = sorted(self.takes.values(), key=lambda take: (take.favourite, take.number))
        for old in [take for take in oldest if take not in kept][: max(0, len(self.takes) - self.most)]:
            self.delete(old.number)
        return kept

    def delete(self, number: int) -> None:
        """Deletes a take; its sound stays while takes that were made from it do, or they couldn't be made again."""
        take = self.takes.pop(number, None)
        if take is None:
            return
        needed = {path for kept in self.takes.values() for path in (*self._files(kept), *self._clips(kept))}
        for path in {*self._files(take), *self._clips(take)} - needed:
            path.unlink(missing_ok=True)

    def _files(self, take: KeptTake) -> Iterator[Path]:
        return self.folder.resolve().glob(f"{take.wav.stem}[.-]*")

    def _clips(self, take: KeptTake) -> Iterator[Path]:
        """The takes' sounds that it was made from."""
        clips = (Path(clip).resolve() for clip in take.ask.clip_paths)
        return (clip for clip in clips if clip.parent == self.folder.resolve())

    def rename(self, number: int, name: str) -> None:
        """`name` in one line, cut where it is long; "" gives it back its prompt's."""
        if number in self.takes:
            self.takes[number].name = " ".join(name.split())[:_NAME].strip()

    def zipped(self) -> Path:
        """All takes as WAV files in one archive; the next call replaces it. MachineError when the disk is full."""
        path = self.folder / "takes.zip"
        partial = self.folder / f"takes-{secrets.token_hex(4)}.part"  # another tab may ask at the same time
        try:
            with zipfile.ZipFile(partial, "w", strict_timestamps=False) as archive:  # a clock may say 1970
                for number in sorted(self.takes):
                    take = self.takes[number]
                    archive.write(take.wav, _file_name(take))
            partial.replace(path)
        except OSError as fault:
            raise cannot_write(path.name, fault) from fault
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        return path

    def remove(self) -> None:
        """Deletes all its files."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _file_name(take: KeptTake) -> str:
    """Number and words, such that any system can unpack it."""
    words = take.name or str(take.record.get("prompt") or take.record.get("mode") or "")
    plain = "".join(" " if letter in _FORBIDDEN or not letter.isprintable() else letter for letter in words)
    return f"{take.number:02d} {' '.join(plain.split())[:_IN_FILE_NAMES]}".strip(" .") + ".wav"
