"""The tools for language models, called as one calls them: through the Model Context Protocol, on the fake engine."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import httpx
import numpy as np
import pytest
import soundfile
from gradio_client import Client
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent, Tool

from musicgen_ui.limits import Limits
from musicgen_ui.locales import catalogue
from musicgen_ui.tags import read_record
from musicgen_ui.ui.guard import MESSAGE_BYTES
from musicgen_ui.ui.tools import Tools
from tests.coroutines import run
from tests.ui.conftest import launched
from tests.ui.fake_engine import FakeEngine

WITH_AUDIO = ("continue_music", "follow_melody")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("tools") / "log.txt"
    with launched(Path(__file__).with_name("fake_app.py"), log, GRADIO_MCP_SERVER="True") as url:
        yield url


def listed(app: str) -> dict[str, Tool]:
    async def ask() -> dict[str, Tool]:
        async with (
            streamable_http_client(f"{app}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as it,
        ):
            await it.initialize()
            return {tool.name: tool for tool in (await it.list_tools()).tools}

    return run(ask())


def called(app: str, tool: str, **arguments: object) -> CallToolResult:
    async def ask() -> CallToolResult:
        async with (
            streamable_http_client(f"{app}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as it,
        ):
            await it.initialize()
            return await it.call_tool(tool, arguments)

    return run(ask())


def made(app: str, tool: str, **arguments: object) -> tuple[str, dict]:
    """The address and the facts of a take."""
    answer = called(app, tool, **arguments)
    assert not answer.isError, answer.content
    address, facts = (content.text for content in answer.content if isinstance(content, TextContent))
    return address, json.loads(facts)


def seconds(address: str, folder: Path) -> float:
    path = folder / "answer.wav"
    path.write_bytes(httpx.get(address).raise_for_status().content)
    return soundfile.info(path).duration


@pytest.fixture
def uploaded(app: str, tmp_path: Path) -> str:
    """The address of a second of sound, as `gradio upload-mcp` makes it."""
    path = tmp_path / "a hum.wav"
    soundfile.write(path, (0.3 * np.sin(np.arange(32_000) * 0.06)).astype(np.float32), 32_000)
    answer = httpx.post(f"{app}/gradio_api/upload", files={"files": path.open("rb")}).raise_for_status()
    return f"{app}/gradio_api/file={answer.json()[0]}"


def test_there_are_three_and_all_they_take_is_explained(app: str) -> None:
    tools = listed(app)
    assert set(tools) == {"generate_music", *WITH_AUDIO}
    for tool in tools.values():
        assert tool.description
        properties = tool.inputSchema["properties"]
        assert {"description", "seconds", "seed", "model"} <= set(properties)
        assert "request" not in properties
        assert all(len(told["description"]) > 30 for told in properties.values())
        assert properties["seconds"]["type"] == "number"
    assert all("audio" in tools[name].inputSchema["properties"] for name in WITH_AUDIO)


def test_a_description_becomes_a_file(app: str, tmp_path: Path) -> None:
    address, facts = made(app, "generate_music", description="slow piano", seconds=1.5, seed=7)
    assert address.startswith(app)
    assert seconds(address, tmp_path) == pytest.approx(1.5)
    assert read_record(tmp_path / "answer.wav")["prompt"] == "slow piano"
    assert facts == {"mode": "text", "prompt": "slow piano", "model": "nano", "engine": "fake", "seed": 7}


@pytest.mark.parametrize("description", [{}, {"description": " "}])
def test_without_a_description_it_plays_what_it_likes(app: str, description: dict) -> None:
    _, facts = made(app, "generate_music", seconds=0.5, **description)
    assert facts["mode"] == "unconditional"


@pytest.mark.parametrize("description", ["slow piano", None])
def test_a_tool_that_is_stopped_before_there_is_sound_says_so(description: str | None) -> None:
    nothing = SimpleNamespace(answer=lambda *given, **named: ([], []), limits=Limits(), engine=FakeEngine(Limits()))
    with pytest.raises(gr.Error, match="about to be restarted"):
        Tools(nothing).generate_music(description)  # type: ignore[arg-type]


def test_what_was_made_can_be_continued(app: str, tmp_path: Path) -> None:
    address, _ = made(app, "generate_music", description="slow piano", seconds=1)
    _, facts = made(app, "continue_music", audio=address, seconds=0.5)
    assert (facts["mode"], facts["clip"]) == ("continue", address.rsplit("/", 1)[1])


def test_who_has_one_address_can_guess_no_other(app: str) -> None:
    """Gradio calls for all who use the tools, in one session."""
    folders = {made(app, "generate_music", description="slow piano", seconds=0.5)[0].rsplit("/", 1)[0] for _ in "ab"}
    assert len(folders) == 2


def test_the_melody_of_an_upload_is_followed(app: str, uploaded: str) -> None:
    _, facts = made(app, "follow_melody", audio=uploaded, description="a flute", seconds=0.5, without_drums=True)
    assert (facts["mode"], facts["model"], facts["prompt"]) == ("melody", "nano-melody", "a flute")
    assert facts["clip"].endswith("hum.wav")


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("generate_music", {"description": "x", "seconds": 301}, "seconds must lie between 0.1 and 300"),
        ("generate_music", {"description": "x", "model": "no such"}, "no such"),
        ("continue_music", {}, catalogue("en")["error.clip_missing"]),
        ("follow_melody", {"audio": "/etc/hostname"}, "“/etc/hostname” is no sound file of this app"),
        ("continue_music", {"audio": "https://example.com/a.wav"}, "is no sound file of this app"),
        ("continue_music", {"audio": "http://x/gradio_api/file=/etc/hostname"}, "audio must be a file sent"),
    ],
)
def test_a_fault_is_its_one_sentence(app: str, tool: str, arguments: dict, told: str) -> None:
    answer = called(app, tool, **arguments)
    assert answer.isError
    assert isinstance(answer.content[0], TextContent)
    assert told in answer.content[0].text
    assert "\n" not in answer.content[0].text


def test_the_limits_hold(app: str) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": " " * MESSAGE_BYTES}}
    headers = {"Accept": "application/json, text/event-stream"}
    answer = httpx.post(f"{app}/gradio_api/mcp/", json=message, headers=headers)
    assert answer.status_code == 413


def test_programs_have_their_endpoints_all_the_same(app: str, tmp_path: Path) -> None:
    client = Client(app, verbose=False, download_files=str(tmp_path))
    files, _ = client.predict(prompt="slow piano", max_new_tokens=53, api_name="/text")
    assert soundfile.info(files[0]).duration == pytest.approx(1.0)


def test_unasked_there_are_none(fake_app: str) -> None:
    assert httpx.post(f"{fake_app}/gradio_api/mcp/", json={}).status_code in (404, 405)
