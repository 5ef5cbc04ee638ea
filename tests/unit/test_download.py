"""Downloads from a hub on loopback, each in a process of its own: the hub's client reads its settings when imported."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from musicgen_ui import checksums
from musicgen_ui.errors import MachineError
from musicgen_ui.request import Request, Settings
from tests.engine.hub import checksum, damaged, serving
from tests.reference import cases

REPOSITORY = "somebody/tiny-musicgen"
CLIENT_BLOCK = 10 << 20  # bytes: huggingface_hub writes what came in blocks of this size
SCRIPT = """
import json, sys
from musicgen_ui.download import DownloadStopped, download
from musicgen_ui.errors import AppError

heard, answer = [], {}
try:
    stopped = lambda: bool(heard) and "stop" in sys.argv and heard[-1][0] > int(sys.argv[3])
    answer["folder"] = str(download(sys.argv[1], lambda *bytes: heard.append(bytes), stopped))
except DownloadStopped:
    answer["stopped"] = True
except AppError as fault:
    answer |= {"error": fault.key, "params": fault.params, "kind": type(fault).__name__, "sentence": str(fault)}
print(json.dumps(answer | {"heard": heard}))
"""


@pytest.fixture(scope="module")
def repositories(tiny_folder, tmp_path_factory):
    """The tiny checkpoint with 24 MB more, so that a cut falls within the weights: one file, and shards."""
    from safetensors.numpy import load_file, save_file

    parent = tmp_path_factory.mktemp("hub")
    one, shards = parent / "one", cases.write(parent / "shards", "mono", shard_bytes=40_000)
    cases.write(one, "mono")
    weights = load_file(one / "model.safetensors")
    weights["ballast"] = np.random.default_rng(0).standard_normal(6_000_000, np.float32)
    save_file(weights, one / "model.safetensors", metadata={"format": "pt"})
    (one / "pytorch_model.bin").write_bytes(b"not wanted")
    (one / "README.md").write_text("not wanted")
    return {"one": {REPOSITORY: one}, "shards": {REPOSITORY: shards}}


def fetch(endpoint: str, home: Path, repository: str = REPOSITORY, *arguments: str, **environment: str) -> dict:
    """What SCRIPT said."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), **environment}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, repository, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def assert_progress_is_monotone_and_ends(heard, hub):
    total = sum(
        file.stat().st_size
        for file in hub.folders[REPOSITORY].iterdir()
        if file.suffix == ".json" or file.suffix == ".safetensors"
    )
    done = [bytes for bytes, _ in heard]
    assert done == sorted(done)
    assert done[-1] == total
    assert {of for _, of in heard} == {total}


@pytest.mark.parametrize("layout", ["one", "shards"])
def test_a_checkpoint_comes_and_generates_and_comes_only_once(layout, repositories, tmp_path, pipeline):
    with serving(repositories[layout]) as hub:
        answer = fetch(hub.endpoint, tmp_path)
        assert_progress_is_monotone_and_ends(answer["heard"], hub)
        asked = len(hub.requests)
        assert not any("pytorch_model" in path or "README" in path for _, path, _ in hub.requests)
        again = fetch(hub.endpoint, tmp_path)
        assert again["folder"] == answer["folder"]
        assert len(hub.requests) == asked
    assert fetch("http://127.0.0.1:9", tmp_path)["folder"] == answer["folder"]  # nor when there is no hub

    name = f"downloaded {layout}"
    pipeline.load(name, Path(answer["folder"]))
    take = pipeline.run(Request("text", ("slow piano",), model=name, settings=Settings(6), seed=1))[0]
    assert take.codes.shape == (4, 3)
    pipeline.unload(name)


def test_a_cut_connection_is_resumed(repositories, tmp_path):
    with serving(repositories["one"], cut_at=15 << 20) as hub:
        answer = fetch(hub.endpoint, tmp_path)
    assert_progress_is_monotone_and_ends(answer["heard"], hub)
    first, second = hub.ranges("model.safetensors")
    assert first is None
    assert second == f"bytes={CLIENT_BLOCK}-"
    size = (repositories["one"][REPOSITORY] / "model.safetensors").stat().st_size
    assert size <= hub.bytes_sent["model.safetensors"] <= size + CLIENT_BLOCK
    assert (Path(answer["folder"]) / "model.safetensors").read_bytes() == (
        repositories["one"][REPOSITORY] / "model.safetensors"
    ).read_bytes()


def test_stop_keeps_what_came(repositories, tmp_path):
    with serving(repositories["one"], pause_seconds=0.02) as hub:  # 12 MB a second
        answer = fetch(hub.endpoint, tmp_path, REPOSITORY, "stop", str(CLIENT_BLOCK))
        assert answer["stopped"]
        assert "folder" not in answer
        hub.faults.pause_seconds = 0
        answer = fetch(hub.endpoint, tmp_path)
    assert_progress_is_monotone_and_ends(answer["heard"], hub)
    assert hub.ranges("model.safetensors")[-1] in (f"bytes={CLIENT_BLOCK}-", f"bytes={2 * CLIENT_BLOCK}-")
    assert answer["heard"][0][0] >= CLIENT_BLOCK


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_that_is_busy_is_asked_again(status, repositories, tmp_path):
    with serving(repositories["shards"], status=status, refusals=1) as hub:
        answer = fetch(hub.endpoint, tmp_path)
    assert "folder" in answer
    assert_progress_is_monotone_and_ends(answer["heard"], hub)


# What waits in the process that downloads, which is a new one: Python runs a module of this name when it starts.
HASTY = """
import time
really = time.sleep
time.sleep = lambda seconds: really(seconds / 50)
"""


@pytest.fixture
def hasty(tmp_path):
    """The environment of a process that waits a fiftieth of what it should before it asks again."""
    (tmp_path / "sitecustomize.py").write_text(HASTY)
    return {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


@pytest.mark.parametrize("status", [429, 500])
def test_a_hub_that_stays_broken_gives_a_sentence(status, repositories, tmp_path, hasty):
    with serving(repositories["shards"], status=status, refusals=1_000) as hub:
        answer = fetch(hub.endpoint, tmp_path, **hasty)
    assert (answer["kind"], answer["error"]) == ("MachineError", "error.hub_answered")
    assert answer["params"]["status"] == status


def test_a_hub_that_falls_silent_is_not_waited_for_without_end(repositories, tmp_path, hasty):
    soon = {"HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1", **hasty}  # s; 10 where its user says nothing
    with serving(repositories["shards"], pause_seconds=600) as hub:
        begun = time.monotonic()
        answer = fetch(hub.endpoint, tmp_path, **soon)
        assert time.monotonic() - begun < 60
        assert (answer["kind"], answer["error"]) == ("MachineError", "error.hub_offline")
        hub.faults.pause_seconds = 0
        assert "folder" in fetch(hub.endpoint, tmp_path, **soon)


FULL_DISK = """
import collections, errno, os, shutil
usage = shutil.disk_usage
if "{when}" == "before":
    shutil.disk_usage = lambda path: usage(path)._replace(free=1_000_000)
else:
    import builtins
    really = builtins.open

    def full(file, mode="r", *given, **named):
        opened = really(file, mode, *given, **named)
        if str(file).endswith(".incomplete"):
            def write(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return Full(opened, write)
        return opened

    class Full:
        def __init__(self, file, write):
            self.file, self.write = file, write
        def __getattr__(self, name):
            return getattr(self.file, name)
        def __enter__(self):
            return self
        def __exit__(self, *fault):
            self.file.close()

    builtins.open = full
    import pathlib
    pathlib.Path.open = lambda self, mode="r", *given, **named: full(str(self), mode, *given, **named)
"""


@pytest.mark.parametrize("when", ["before", "while it comes"])
def test_a_disk_that_is_full_is_told_and_the_next_try_works(when, repositories, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(FULL_DISK.replace("{when}", when))
    home = tmp_path / "home"
    with serving(repositories["one"]) as hub:
        answer = fetch(hub.endpoint, home, PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        assert (answer["kind"], answer["error"]) == ("MachineError", "error.disk_full")
        assert answer["params"] == {"name": REPOSITORY}
        assert "folder" in fetch(hub.endpoint, home)


def test_a_file_of_the_wrong_size_is_fetched_again(repositories, tmp_path):
    with serving(repositories["shards"], wrong_sizes=1) as hub:
        answer = fetch(hub.endpoint, tmp_path)
    assert "folder" in answer
    assert_progress_is_monotone_and_ends(answer["heard"], hub)


@pytest.mark.parametrize("environment", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["no network", "offline mode"])
def test_offline_names_the_endpoint(environment, tmp_path):
    answer = fetch("http://127.0.0.1:9", tmp_path, **environment)
    assert (answer["kind"], answer["error"]) == ("MachineError", "error.hub_offline")
    assert "http://127.0.0.1:9" in answer["sentence"]


def test_a_mirrors_password_is_told_to_nobody(tmp_path):
    answer = fetch("http://somebody:secret@127.0.0.1:9", tmp_path)
    assert answer["error"] == "error.hub_offline"
    assert answer["params"]["endpoint"] == "http://127.0.0.1:9"
    assert "secret" not in answer["sentence"]


@pytest.mark.parametrize("repository", ["nobody/nothing", "not an id", "a/b/c"])
def test_an_unknown_repository_is_the_users_error(repository, repositories, tmp_path):
    with serving(repositories["shards"]) as hub:
        answer = fetch(hub.endpoint, tmp_path, repository)
    assert (answer["kind"], answer["error"]) == ("InputError", "error.hub_no_model")


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_repository_that_is_no_checkpoint_is_the_users_error(missing, tiny_folder, tmp_path):
    import shutil

    folder = tmp_path / "repository"
    shutil.copytree(tiny_folder("mono"), folder)
    (folder / missing).unlink()
    with serving({REPOSITORY: folder}) as hub:
        answer = fetch(hub.endpoint, tmp_path / "home")
    assert (answer["kind"], answer["error"]) == ("InputError", "error.checkpoint_incomplete")


def blobs(home: Path) -> list[Path]:
    """The files of the cache, those under way included."""
    return sorted(home.rglob("blobs/*"))


def assert_told_and_removed(answer: dict, home: Path, name: str, content: bytes) -> None:
    assert (answer["kind"], answer["error"]) == ("MachineError", "error.file_damaged")
    assert answer["params"] == {"model": REPOSITORY, "file": name}
    assert not any(blob.name.startswith(checksum(name, content)) for blob in blobs(home))
    assert not any(path.name == name for path in home.rglob("snapshots/*/*"))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_comes_damaged_is_refused_and_comes_anew(name, repositories, tmp_path):
    original = (repositories["one"][REPOSITORY] / name).read_bytes()
    with serving(repositories["one"], damaged={name: 1}) as hub:
        assert_told_and_removed(fetch(hub.endpoint, tmp_path), tmp_path, name, original)
        before = len(hub.requests)
        answer = fetch(hub.endpoint, tmp_path)
        assert [path.rsplit("/", 1)[1] for method, path, _ in hub.requests[before:] if method == "GET"][1:] == [name]
    assert (Path(answer["folder"]) / name).read_bytes() == original


def test_a_file_that_keeps_coming_with_another_size_is_refused_and_comes_anew(repositories, tmp_path):
    original = (repositories["one"][REPOSITORY] / "model.safetensors").read_bytes()
    with serving(repositories["one"], wrong_sizes=1_000) as hub:
        assert_told_and_removed(fetch(hub.endpoint, tmp_path), tmp_path, "model.safetensors", original)
        hub.faults.wrong_sizes = 0
        answer = fetch(hub.endpoint, tmp_path)
    assert (Path(answer["folder"]) / "model.safetensors").read_bytes() == original


def test_more_than_there_is_of_a_file_is_removed(repositories, tmp_path):
    """As when a mirror has sent an error page into a file under way: there is nothing behind it to go on with."""
    original = (repositories["one"][REPOSITORY] / "model.safetensors").read_bytes()
    with serving(repositories["one"], status=429, refusals=1_000) as hub:
        fetch(hub.endpoint, tmp_path)
        hub.faults.refusals = 0
        folder = next(tmp_path.rglob("blobs"))
        (folder / f"{checksum('model.safetensors', original)}.incomplete").write_bytes(original + b"<html>")
        answer = fetch(hub.endpoint, tmp_path)
    assert (Path(answer["folder"]) / "model.safetensors").read_bytes() == original


@pytest.mark.parametrize("harm", [damaged, lambda content: content[:-1], lambda content: b""])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_what_the_disk_has_damaged_is_found_and_comes_anew(harm, name, repositories, tmp_path):
    original = (repositories["one"][REPOSITORY] / name).read_bytes()
    with serving(repositories["one"]) as hub:
        (Path(fetch(hub.endpoint, tmp_path)["folder"]) / name).write_bytes(harm(original))
        asked = len(hub.requests)
        assert_told_and_removed(fetch(hub.endpoint, tmp_path), tmp_path, name, original)
        assert len(hub.requests) == asked  # it needs no hub for that
        answer = fetch(hub.endpoint, tmp_path)
    assert (Path(answer["folder"]) / name).read_bytes() == original


def test_what_is_in_order_is_read_only_once(repositories, tmp_path, monkeypatch):
    with serving(repositories["one"]) as hub:
        folder = Path(fetch(hub.endpoint, tmp_path)["folder"])
    assert checksums.is_checked(folder)
    (folder / "model.safetensors").touch()
    assert not checksums.is_checked(folder)
    assert not checksums.check(folder, REPOSITORY, stopped=lambda: True)
    assert not checksums.is_checked(folder)
    assert checksums.check(folder, REPOSITORY)
    assert checksums.is_checked(folder)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # nothing could be removed from it
    (folder / "model.safetensors").touch()
    assert checksums.is_checked(folder)


def test_two_who_find_the_same_damage_are_told_the_same(repositories, tmp_path, monkeypatch):
    with serving(repositories["one"]) as hub:
        folder = Path(fetch(hub.endpoint, tmp_path)["folder"])
    (folder / "config.json").write_bytes(b"{}")
    is_right = checksums._is_right

    def another_is_faster(blob, stopped):
        blob.unlink(missing_ok=True)
        return is_right(blob, stopped)

    monkeypatch.setattr(checksums, "_is_right", another_is_faster)
    with pytest.raises(MachineError) as told:
        checksums.check(folder, REPOSITORY)
    assert told.value.key == "error.file_damaged"
