"""The page's own folder: what a kill has left of it goes at the next start, and nothing of anybody else."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from musicgen_ui import scratch
from musicgen_ui.scratch import Scratch

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from pathlib import Path
from musicgen_ui.scratch import Scratch

made = Scratch(Path(sys.argv[1]))
Path(made.part("gradio"), "clip.wav").write_text("sound")
print(made.folder, flush=True)
sys.stdin.read()
made.close()
"""


class App:
    """A process with a scratch folder."""

    def __init__(self, parent: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(parent)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout
        self.folder = Path(self.process.stdout.readline().strip())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.process.communicate()


@pytest.fixture
def apps() -> Iterator[list[App]]:
    apps: list[App] = []
    yield apps
    for app in apps:
        app.kill()


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(tmp_path: Path, apps: list[App]) -> None:
    foreign = [tmp_path / "0a1b2c" / "clip.wav", tmp_path / "musicgen-somebody" / "clip.wav"]
    for path in foreign:
        path.parent.mkdir()
        path.write_text("another app's")
    apps += [App(tmp_path), App(tmp_path)]
    killed, living = apps
    killed.kill()
    assert (killed.folder / "gradio" / "clip.wav").exists()
    own = Scratch(tmp_path)
    assert not killed.folder.exists()
    assert (living.folder / "gradio" / "clip.wav").read_text() == "sound"
    assert all(path.read_text() == "another app's" for path in foreign)
    living.end()
    assert not living.folder.exists()
    assert own.folder.exists()
    own.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0a1b2c", "musicgen-somebody"]


def test_a_link_leads_nowhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (elsewhere / "lock").touch()
    parent = tmp_path / "gradio"
    parent.mkdir()
    (parent / "musicgen-linked").symlink_to(elsewhere)
    (parent / "musicgen-lock").mkdir()
    (parent / "musicgen-lock" / "lock").symlink_to(elsewhere / "lock")
    Scratch(parent).close()
    assert (elsewhere / "precious").exists()
    assert (elsewhere / "lock").exists()


@pytest.mark.parametrize("jump", [10 * 3_600, -10 * 3_600])
def test_what_lies_still_goes_by_a_clock_that_nobody_sets(
    jump: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 50_000.0
    monkeypatch.setattr(scratch.time, "monotonic", lambda: now)
    made = Scratch(tmp_path)
    folder = Path(made.part("gradio"))
    names = ["old", "kept", "sent again", "takes/take-1"]
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "x.wav").touch()
    kept = {folder / "kept" / "x.wav", folder / "takes"}
    for path in folder.rglob("*.wav"):
        os.utime(path, (path.stat().st_mtime + jump, path.stat().st_mtime + jump))
    now += 1_000
    made.sweep(5_000, kept)
    now += 4_000
    os.utime(folder / "sent again" / "x.wav")
    made.sweep(5_000, kept)
    assert {path.parent.relative_to(folder).as_posix() for path in folder.rglob("*.wav")} == set(names)
    now += 2_000
    made.sweep(5_000, kept)
    assert {path.parent.relative_to(folder).as_posix() for path in folder.rglob("*.wav")} == set(names) - {"old"}
    assert not (folder / "old").exists()
    broken_off = Path(made.part("incoming")) / "tmp123"
    broken_off.touch()
    now += 10_000
    made.sweep(5_000, kept)
    assert not (folder / "sent again").exists()
    now += 10_000
    made.sweep(5_000, kept)
    assert not broken_off.exists()
    assert broken_off.parent.exists()
    made.close()


def test_a_folder_that_the_system_has_cleared_is_no_fault(tmp_path: Path) -> None:
    made = Scratch(tmp_path)
    shutil.rmtree(made.folder)
    made.close()


def test_a_disk_without_locks_is_used_and_nothing_on_it_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Scratch(tmp_path)

    def no_locks(file: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(scratch.fcntl, "flock", no_locks)
    made = Scratch(tmp_path)
    assert made.folder.exists()
    assert before.folder.exists()
    made.close()
    before.close()
