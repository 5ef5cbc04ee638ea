"""The API endpoints on the fake engine, called as a program calls them."""

import inspect
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from musicgen_ui.limits import Limits
from musicgen_ui.locales import catalogue
from musicgen_ui.tags import read_record
from musicgen_ui.ui.api import Api

SHARED = ["max_new_tokens", "guidance_scale", "do_sample", "temperature", "top_k", "top_p"]
LAST = ["seed", "takes", "model", "engine"]


@pytest.fixture(scope="module")
def client(fake_app: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(fake_app, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "tune.wav"
    soundfile.write(path, (0.3 * np.sin(np.arange(32_000) * 0.06)).astype(np.float32), 32_000)
    return path


def test_the_parameters_are_the_command_lines() -> None:
    def names(function) -> list[str]:
        return [name for name in inspect.signature(function).parameters if name not in ("self", "request")]

    assert names(Api.unconditional) == [*SHARED, *LAST]
    assert names(Api.text) == ["prompt", *SHARED, *LAST]
    assert names(Api.audio) == ["prompt", "audio", "mode", *SHARED, *LAST, "without_drums"]


def test_only_the_three_endpoints_are_public(client: Client) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/unconditional", "/text", "/audio"}
    for endpoint in endpoints.values():
        assert all(parameter["parameter_has_default"] for parameter in endpoint["parameters"])


def test_the_endpoints_are_typed_and_explained(client: Client) -> None:
    types = {
        "prompt": "str | list[str]", "max_new_tokens": "None | int", "guidance_scale": "None | float",
        "do_sample": "None | bool", "temperature": "None | float", "top_k": "None | int", "top_p": "None | float",
        "seed": "None | int", "takes": "int", "model": "str", "engine": "str", "mode": "str", "without_drums": "bool",
        "audio": "Any",
    }  # fmt: skip
    for endpoint in client.view_api(return_format="dict")["named_endpoints"].values():
        assert "Returns WAV files and" in endpoint["description"]
        told = {each["parameter_name"]: each["python_type"]["type"] for each in endpoint["parameters"]}
        assert told == {name: types[name] for name in told}


def test_text_needs_only_a_prompt(client: Client) -> None:
    files, records = client.predict(prompt="slow piano", max_new_tokens=53, api_name="/text")
    assert [record["prompt"] for record in records] == ["slow piano"]
    assert read_record(files[0]) == records[0]
    assert soundfile.info(files[0]).duration == pytest.approx(1.0)


def test_several_prompts_and_takes(client: Client) -> None:
    files, records = client.predict(
        prompt=["one", "two"], max_new_tokens=53, seed=5, takes=2, top_k=0, do_sample=False, api_name="/text"
    )
    assert len(files) == 4
    made = [(record["prompt"], record["seed"]) for record in records]
    assert made == [("one", 5), ("one", 6), ("two", 5), ("two", 6)]


def test_unconditional(client: Client) -> None:
    files, records = client.predict(max_new_tokens=53, api_name="/unconditional")
    assert len(files) == 1
    assert records[0]["mode"] == "unconditional"


def test_audio_takes_one_clip_or_several(client: Client, clip: Path) -> None:
    _, records = client.predict(audio=handle_file(clip), max_new_tokens=53, api_name="/audio")
    assert records[0]["mode"] == "continue"
    files, records = client.predict(
        prompt="a waltz",
        audio=[handle_file(clip), handle_file(clip)],
        mode="melody",
        max_new_tokens=53,
        api_name="/audio",
    )
    assert len(files) == 2
    assert {record["model"] for record in records} == {"nano-melody"}


def test_drums_can_be_left_out_of_a_melody(client: Client, clip: Path) -> None:
    for wanted in (True, False):
        _, records = client.predict(
            audio=handle_file(clip), mode="melody", without_drums=wanted, max_new_tokens=53, api_name="/audio"
        )
        assert records[0]["without_drums"] is wanted


@pytest.mark.parametrize(
    ("endpoint", "call", "key"),
    [
        ("/text", {"prompt": ""}, "error.prompt_empty"),
        ("/audio", {}, "error.clip_missing"),
        ("/audio", {"audio": "/etc/hostname"}, "page.error.api_audio"),
        ("/audio", {"audio": {"path": "/etc/hostname", "meta": {}}}, "page.error.api_audio"),
        ("/audio", {"audio": [{"path": "/etc/hostname", "meta": {"_type": "x"}}]}, "page.error.api_audio"),
        ("/text", {"prompt": [{"a": 1}]}, "error.not_text"),
    ],
)
def test_a_fault_is_its_one_sentence(client: Client, endpoint: str, call: dict, key: str) -> None:
    with pytest.raises(AppError) as caught:
        client.predict(**call, api_name=endpoint)
    assert str(caught.value) == catalogue("en")[key]


LIMITS = Limits()  # the page's
MANY = LIMITS.prompts + 1


@pytest.mark.parametrize(
    ("call", "key", "told"),
    [
        ({"prompt": "x" * (LIMITS.prompt_characters + 1)}, "prompt_long", {"count": LIMITS.prompt_characters + 1}),
        ({"prompt": ["x"] * MANY}, "prompts", {"count": MANY}),
        ({"prompt": ["x"] * 3, "takes": 3}, "rows", {"rows": 9}),
        ({"takes": LIMITS.takes + 1}, "range", {"name": "takes", "low": 1, "high": LIMITS.takes, "value": 5}),
        ({"max_new_tokens": 15_053}, "piece_long", {"seconds": 301.0}),
        ({"clips": [{}] * MANY}, "clips", {"count": MANY}),
        ({"clips": [{"seconds": 601}]}, "clip_seconds", {"name": "0.wav", "seconds": 601}),
        ({"clips": [{"channels": 33}]}, "clip_channels", {"name": "0.wav", "channels": 33}),
        ({"clips": [{"seconds": 300, "channels": 2}] * 2}, "clips_bytes", {}),
        (
            {"clips": [{"seconds": 9}], "max_new_tokens": 14_653},
            "piece_long_with_clip",
            {"seconds": 302.0, "clip_seconds": 9.0},
        ),
    ],
)  # fmt: skip
def test_limits_are_the_pages(client: Client, tmp_path: Path, call: dict, key: str, told: dict) -> None:
    limit = {
        "prompt_long": LIMITS.prompt_characters, "clip_seconds": 600, "clip_channels": LIMITS.clip_channels,
        "clips_bytes": LIMITS.clips_bytes >> 20, "piece_long": 300, "piece_long_with_clip": 300,
    }.get(key, LIMITS.prompts)  # fmt: skip
    with pytest.raises(AppError) as caught:
        client.predict(**given(call, tmp_path), api_name="/audio" if "clips" in call else "/text")
    assert str(caught.value) == catalogue("en")[f"error.{key}"].format(limit=limit, **told)


def given(call: dict, folder: Path) -> dict:
    """`call`'s arguments, its clips as files: of 1 s and one channel, if it doesn't say otherwise."""
    if "clips" not in call:
        return {"prompt": "x", **call}
    files = []
    for number, clip in enumerate(call["clips"]):
        channels, path = clip.get("channels", 1), folder / f"{number}.wav"
        sound = np.full((48_000 * clip.get("seconds", 1), channels), 9_000, np.int16)
        soundfile.write(path, sound, 48_000, format="FLAC" if channels < 9 else "WAV")
        files.append(handle_file(path))
    return {"audio": files} | {name: value for name, value in call.items() if name != "clips"}


@pytest.mark.parametrize("meta", [{"_type": "gradio.FileData"}, {}, {"_type": "x"}])
def test_a_file_of_the_server_is_out_of_reach(fake_app: str, tmp_path: Path, meta: dict) -> None:
    """Spoken without gradio_client, which would upload the file: the caller is on another machine."""
    secret = tmp_path / "secret.wav"
    soundfile.write(secret, np.full(32_000, 0.5), 32_000)
    rest = ["continue", 53, *[None] * 6, 1, "nano", "auto", False]
    call = httpx.post(
        f"{fake_app}/gradio_api/call/audio", json={"data": ["", {"path": str(secret), "meta": meta}, *rest]}
    )
    if call.status_code == 200:
        answer = httpx.get(f"{fake_app}/gradio_api/call/audio/{call.json()['event_id']}", timeout=60).text
        assert "event: error" in answer
        assert "take-" not in answer
    else:
        assert 400 <= call.status_code < 500


def test_zero_takes_are_refused(client: Client) -> None:
    with pytest.raises(AppError, match="takes must lie between 1 and 4; it is 0"):
        client.predict(prompt="x", takes=0, api_name="/text")
