"""What the page keeps for each open tab: its running jobs and its last takes, as files that go when the tab does."""

import io
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile
from gradio.utils import get_upload_folder

from musicgen_ui.audio import write_audio, write_whole
from musicgen_ui.hearing import Heard, hear
from musicgen_ui.take import Take
from musicgen_ui.ui.asks import Ask
from musicgen_ui.ui.pictures import draw_sound
from musicgen_ui.ui.surface import Job

KEPT_TAKES = 12
FORGOTTEN_AFTER = 6 * 3600.0
"""seconds without a sign of life after which a tab's files go, should its closing have been missed"""


@dataclass(frozen=True)
class KeptTake:
    """A take of this tab. Its sound lies in `folder`; the other files are made when first asked for."""

    number: int
    folder: Path
    ask: Ask
    record: dict
    codes: np.ndarray
    seconds: float
    channels: int
    complete: bool

    @property
    def wav(self) -> Path:
        return self.folder / f"take-{self.number}.wav"

    def file(self, suffix: str) -> Path:
        """The sound as `suffix` ("flac", "mp3"). Raises MachineError when the disk is full."""
        path = self.wav.with_suffix(f".{suffix}")
        if not path.exists():
            sound, rate = self._sound
            write_audio(path, sound, rate, self.record)
        return path

    @property
    def picture(self) -> Path:
        path = self.wav.with_suffix(".png")
        if not path.exists():
            content = io.BytesIO()
            draw_sound(*self._sound).save(content, "png")
            write_whole(path, content.getvalue())
        return path

    @cached_property
    def heard(self) -> Heard:
        """Its tempo, key and loudness."""
        return hear(*self._sound)

    @property
    def _sound(self) -> tuple[np.ndarray, int]:
        sound, rate = soundfile.read(self.wav, dtype="int16", always_2d=True)
        return sound.T.astype(np.float32) / 32767, rate


@dataclass
class Session:
    owner: str
    folder: Path
    jobs: list[Job] = field(default_factory=list)
    takes: dict[int, KeptTake] = field(default_factory=dict)
    made: int = 0
    last_used: float = field(default_factory=time.monotonic)

    def chosen(self, number: int | None) -> KeptTake | None:
        """Take `number`, else the latest: the chooser of a single take is hidden, and may not know its number yet."""
        return self.takes.get(number or 0) or (self.takes[max(self.takes)] if self.takes else None)

    def keep(self, takes: tuple[Take, ...], ask: Ask) -> list[KeptTake]:
        """Writes the takes of one run; the oldest beyond `KEPT_TAKES` go. Raises MachineError when the disk is full."""
        kept = []
        for row, take in enumerate(takes):
            self.made += 1
            number = self.made
            alone = replace(
                ask.alone(row),
                seed=take.record.get("seed", ask.seed),
                padded_seconds=take.record.get("padded_seconds") or 0.0,
                padded_tokens=take.record.get("padded_tokens") or 0,
                section_frames=tuple(take.record.get("section_frames") or ()),
            )
            entry = KeptTake(
                number, self.folder, alone, take.record, take.codes, take.seconds, len(take.samples), take.complete
            )
            write_audio(entry.wav, take.samples, take.sampling_rate, take.record)
            self.takes[number] = entry
            kept.append(entry)
        for number in sorted(self.takes)[: max(0, len(self.takes) - max(KEPT_TAKES, len(kept)))]:
            old = self.takes.pop(number)
            for path in self.folder.glob(f"{old.wav.stem}.*"):
                path.unlink(missing_ok=True)
        return kept


class Sessions:
    """All tabs, by Gradio's session hash. Folders have names that can't be guessed, in Gradio's cache folder."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    @cached_property
    def _root(self) -> tempfile.TemporaryDirectory:
        Path(get_upload_folder()).mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="takes-", dir=get_upload_folder(), ignore_cleanup_errors=True)

    def of(self, owner: str) -> Session:
        """The session of `owner`, made when it is new."""
        with self._lock:
            self._sweep()
            session = self._sessions.get(owner)
            if session is None:
                session = Session(owner, Path(tempfile.mkdtemp(dir=self._root.name)))
                self._sessions[owner] = session
            session.last_used = time.monotonic()
            return session

    def find(self, owner: str) -> Session | None:
        with self._lock:
            session = self._sessions.get(owner)
            if session is not None:
                session.last_used = time.monotonic()
            return session

    def forget(self, owner: str) -> None:
        """Drops what was kept for `owner`, files too."""
        with self._lock:
            session = self._sessions.pop(owner, None)
        if session:
            shutil.rmtree(session.folder, ignore_errors=True)

    def __len__(self) -> int:
        return len(self._sessions)

    def _sweep(self) -> None:
        deadline = time.monotonic() - FORGOTTEN_AFTER
        for owner, session in list(self._sessions.items()):
            if session.last_used < deadline and not session.jobs:
                del self._sessions[owner]
                shutil.rmtree(session.folder, ignore_errors=True)
