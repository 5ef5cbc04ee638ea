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
from musicgen_ui.limits import Limits
from musicgen_ui.take import Take
from musicgen_ui.ui.asks import Ask
from musicgen_ui.ui.pictures import draw_sound
from musicgen_ui.ui.surface import Job


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
    limits: Limits = field(default_factory=Limits)

    def chosen(self, number: int | None) -> KeptTake | None:
        """Take `number`, else the latest: the chooser of a single take is hidden, and may not know its number yet."""
        return self.takes.get(number or 0) or (self.takes[max(self.takes)] if self.takes else None)

    def keep(self, takes: tuple[Take, ...], ask: Ask) -> list[KeptTake]:
        """Writes the takes of one run; the oldest beyond `kept_takes` go. Raises MachineError when the disk is full."""
        kept = []
        for row, take in enumerate(takes):
            self.made += 1
            number = self.made
            alone = replace(
                ask.alone(row),
                seed=take.record.get("seed", ask.seed),
                padded_seconds=take.record.get("padded_seconds") or 0.0,
                padded_tokens=take.record.get("padded_tokens") or 0,
            )
            entry = KeptTake(
                number, self.folder, alone, take.record, take.codes, take.seconds, len(take.samples), take.complete
            )
            write_audio(entry.wav, take.samples, take.sampling_rate, take.record)
            self.takes[number] = entry
            kept.append(entry)
        for number in sorted(self.takes)[: max(0, len(self.takes) - max(self.limits.kept_takes, len(kept)))]:
            old = self.takes.pop(number)
            for path in self.folder.glob(f"{old.wav.stem}.*"):
                path.unlink(missing_ok=True)
        return kept


class Sessions:
    """All tabs, by Gradio's session hash. Folders have names that can't be guessed, in Gradio's cache folder."""

    def __init__(self, limits: Limits = Limits()) -> None:
        self._limits = limits
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    @cached_property
    def _root(self) -> tempfile.TemporaryDirectory:
        Path(get_upload_folder()).mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="takes-", dir=get_upload_folder(), ignore_cleanup_errors=True)

    def of(self, owner: str) -> Session:
        """The session of `owner`, made when it is new."""
        with self._lock:
            session = self._sessions.get(owner)
            if session is None:
                self._sweep()
                Path(self._root.name).mkdir(parents=True, exist_ok=True)  # systems clear /tmp of what is old
                session = Session(owner, Path(tempfile.mkdtemp(dir=self._root.name)), limits=self._limits)
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

    def close(self) -> None:
        """Drops everything, when the app ends."""
        with self._lock:
            self._sessions.clear()
            self._root.cleanup()

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def busy(self) -> bool:
        """Whether anybody's takes are still on their way."""
        return any(session.jobs for session in list(self._sessions.values()))

    def _sweep(self) -> None:
        """Drops who has long been silent, and the longest silent of too many."""
        deadline = time.monotonic() - self._limits.forgotten_seconds
        idle = sorted((s for s in self._sessions.values() if not s.jobs), key=lambda session: session.last_used)
        for session in idle:
            if session.last_used < deadline or len(self._sessions) >= self._limits.sessions:
                del self._sessions[session.owner]
                shutil.rmtree(session.folder, ignore_errors=True)
