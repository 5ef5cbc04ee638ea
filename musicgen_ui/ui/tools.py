"""The page's tools for language models, by the Model Context Protocol: what `api` does, in a person's measures.

Gradio serves them where GRADIO_MCP_SERVER is set, and shows a model the docstrings below, of which it reads a line for
each parameter. One piece a call: a second one is another call with another seed.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import gradio as gr

from musicgen_ui.checkpoints import DEFAULT, for_mode
from musicgen_ui.errors import AppError, InputError
from musicgen_ui.request import Settings, number
from musicgen_ui.ui.api import Api
from musicgen_ui.ui.strings import fault, language_of, say

_FILE = "/gradio_api/file="
_SHORTEST = 0.1  # s
_TOLD = ("seconds", "mode", "prompt", "clip", "model", "engine", "seed")


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this app shall have tools, as Gradio decides it."""
    return environment.get("GRADIO_MCP_SERVER", "").lower() == "true"


@dataclass(frozen=True)
class Tools:
    api: Api

    def generate_music(
        self,
        description: str = "",
        seconds: float = 10.0,
        seed: int | None = None,
        model: str = DEFAULT,
        request: gr.Request | None = None,
    ) -> tuple[Any, str]:
        """Makes instrumental music from a description and answers with the address of a WAV file and with what made it.

        Args:
            description: Instruments, genre, mood and tempo in a few plain English words, such as "slow piano in A minor, gentle and sparse". Times make it change on the way: "0:00 calm piano | 0:30 drums come in". Empty: the model plays whatever comes to it.
            seconds: How long the piece shall last, 0.1 to 300. It takes about as long to make, or longer.
            seed: A whole number. The same call with the same seed gives the same music; leave it out for another piece.
            model: "nano" is bundled and quick, but simple. "small", "medium", "large" and "stereo-small" are Meta's (non-commercial); their first use downloads 2 to 14 GB.
        """  # noqa: E501
        mode = "text" if (description or "").strip() else "unconditional"
        return self._made(mode, description, "", seconds, seed, model, request)

    def continue_music(
        self,
        audio: str = "",
        description: str = "",
        seconds: float = 10.0,
        seed: int | None = None,
        model: str = DEFAULT,
        request: gr.Request | None = None,
    ) -> tuple[Any, str]:
        """Goes on from a sound file and answers with the address of a WAV file, which begins with that sound, and with what made it.

        Args:
            audio: The address of a sound file on this app: one that another of these tools answered with, or one of an upload (upload_file_to_gradio). Other addresses are not fetched.
            description: How the music shall go on, in a few plain English words; may be empty.
            seconds: How much new music, 0.1 to 300 together with the sound.
            seed: A whole number. The same call with the same seed gives the same music; leave it out for another piece.
            model: "nano" is bundled and quick, but simple. "small", "medium", "large" and "stereo-small" are Meta's (non-commercial); their first use downloads 2 to 14 GB.
        """  # noqa: E501
        return self._made("continue", description, audio, seconds, seed, model, request)

    def follow_melody(
        self,
        audio: str = "",
        description: str = "",
        seconds: float = 10.0,
        without_drums: bool = False,
        seed: int | None = None,
        model: str = DEFAULT,
        request: gr.Request | None = None,
    ) -> tuple[Any, str]:
        """Plays the melody of a sound file anew, as described, and answers with the address of a WAV file and with what made it.

        Args:
            audio: The address of a sound file on this app, hummed or played: one that another of these tools answered with, or one of an upload (upload_file_to_gradio). Other addresses are not fetched.
            description: What shall play the melody, in a few plain English words, such as "a string quartet".
            seconds: How long the piece shall last, 0.1 to 300.
            without_drums: Take drums and other hits out of the sound before its melody is heard.
            seed: A whole number. The same call with the same seed gives the same music; leave it out for another piece.
            model: "nano" stands for the bundled nano-melody, quick, but simple. "melody" and "melody-large" are Meta's (non-commercial); their first use downloads 6 or 11 GB.
        """  # noqa: E501
        return self._made("melody", description, audio, seconds, seed, model, request, without_drums)

    def _made(
        self,
        mode: str,
        description: str,
        audio: str,
        seconds: object,
        seed: object,
        model: str,
        request: gr.Request | None,
        without_drums: bool = False,
    ) -> tuple[Any, str]:
        """The file of one take, and what a model can make use of in its record, as JSON."""
        try:
            settings = Settings(max_new_tokens=self._tokens(seconds, for_mode(model or DEFAULT, mode)))
            clip = _sent(audio)
        except AppError as error:
            raise gr.Error(fault(language_of(request), error), print_exception=False) from None
        files, records = self.api.answer(
            mode, description, clip, settings, seed, 1, model, "auto", request, without_drums, apart=True
        )
        if not files:  # stopped before there was any sound
            raise gr.Error(say(language_of(request), "error.engine_stopping"), print_exception=False)
        (file,), (record,) = files, records
        told = {name: record[name] for name in _TOLD if record.get(name) is not None}
        return file, json.dumps(told, ensure_ascii=False)

    def _tokens(self, seconds: object, model: str) -> int:
        high = self.api.limits.piece_seconds
        length = number("seconds", seconds, float)
        if length is None or not _SHORTEST <= length <= high:
            raise InputError("error.range", name="seconds", low=_SHORTEST, high=round(high), value=str(seconds)[:40])
        return self.api.engine.info(model).tokens(length)


def add_tools(tools: Tools) -> None:
    """Call within the Blocks."""
    for tool in (tools.generate_music, tools.continue_music, tools.follow_melody):
        gr.api(tool, queue=False)  # the engine has its own; through Gradio's, several answers would come as one


def _sent(address: str) -> dict[str, object] | None:
    """The file of this app that stands behind `address`, as `api` takes files that came with a call.

    Nothing is fetched: whoever knows a file's address here may have the file. InputError for other addresses.
    """
    if not address:
        return None
    _, found, path = str(address).partition(_FILE)
    if not found:
        raise InputError("page.error.tool_audio", value=str(address)[:80])
    return {"path": unquote(path), "meta": {"_type": "gradio.FileData"}}
