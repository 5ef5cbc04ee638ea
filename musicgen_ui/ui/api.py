"""The endpoints /unconditional, /text and /audio for programs: same limits, same engine, same sentences as the page."""

import logging
import secrets
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder, is_in_or_equal
from gradio_client.utils import is_file_obj_with_meta

from musicgen_ui.checkpoints import DEFAULT
from musicgen_ui.errors import AppError, InputError, MachineError
from musicgen_ui.events import Finished
from musicgen_ui.limits import Limits
from musicgen_ui.request import Settings, number
from musicgen_ui.take import Take
from musicgen_ui.ui.addresses import address_of
from musicgen_ui.ui.asks import Ask
from musicgen_ui.ui.runs import FRESH_SEEDS
from musicgen_ui.ui.sessions import Sessions
from musicgen_ui.ui.strings import fault, language_of, say
from musicgen_ui.ui.surface import Engine

log = logging.getLogger(__name__)

_WITHOUT_SESSION = "api"


def _no_tool(endpoint):
    """Marks an endpoint for programs alone: Gradio offers all others to language models too, which have tools.py."""
    endpoint._mcp_type = "endpoint"
    return endpoint


@dataclass(frozen=True)
class Api:
    engine: Engine
    sessions: Sessions
    limits: Limits

    @_no_tool
    def unconditional(
        self,
        max_new_tokens: int | None = None,
        guidance_scale: float | None = None,
        do_sample: bool | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        takes: int = 1,
        model: str = DEFAULT,
        engine: str = "auto",
        request: gr.Request | None = None,
    ) -> tuple[list[Any], list[dict]]:
        """Music from nothing, up to 5 minutes. Returns WAV files and, for each, the record of what made it."""
        settings = Settings(max_new_tokens, guidance_scale, do_sample, temperature, top_k, top_p)
        return self.answer("unconditional", [], [], settings, seed, takes, model, engine, request)

    @_no_tool
    def text(
        self,
        prompt: str | list[str] = "",
        max_new_tokens: int | None = None,
        guidance_scale: float | None = None,
        do_sample: bool | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        takes: int = 1,
        model: str = DEFAULT,
        engine: str = "auto",
        request: gr.Request | None = None,
    ) -> tuple[list[Any], list[dict]]:
        """Music from one description or a list of them, up to 5 minutes; "0:00 calm piano | 0:30 drums come in"
        changes on the way. Returns WAV files and the record of each."""
        settings = Settings(max_new_tokens, guidance_scale, do_sample, temperature, top_k, top_p)
        return self.answer("text", prompt, [], settings, seed, takes, model, engine, request)

    @_no_tool
    def audio(
        self,
        prompt: str | list[str] = "",
        audio: Any = None,
        mode: str = "continue",
        max_new_tokens: int | None = None,
        guidance_scale: float | None = None,
        do_sample: bool | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        takes: int = 1,
        model: str = DEFAULT,
        engine: str = "auto",
        without_drums: bool = False,
        request: gr.Request | None = None,
    ) -> tuple[list[Any], list[dict]]:
        """Music from one clip or a list of them (`gradio_client.handle_file`): mode "continue" goes on from the
        clip, "melody" follows its tune (`without_drums`: hits taken out first). Returns WAV files and the record of
        each."""
        settings = Settings(max_new_tokens, guidance_scale, do_sample, temperature, top_k, top_p)
        return self.answer(mode, prompt, audio, settings, seed, takes, model, engine, request, without_drums)

    def answer(
        self,
        mode: str,
        prompt: object,
        audio: object,
        settings: Settings,
        seed: object,
        takes: object,
        model: object,
        engine: object,
        request: gr.Request | None,
        without_drums: Any = False,
        apart: bool = False,
    ) -> tuple[list[Any], list[dict]]:
        """`apart`: the takes lie in a folder of their own, since their makers may be strangers with one session."""
        language = language_of(request)
        try:
            chosen = number("seed", seed, int)
            count = number("takes", takes, int)
            ask = Ask(
                mode=mode,
                prompts=_prompts(prompt),
                clip_paths=_clip_paths(audio),
                model=str(model or DEFAULT),
                engine=str(engine or "auto"),
                settings=settings,
                seed=secrets.randbelow(FRESH_SEEDS) if chosen is None else chosen,
                takes=1 if count is None else count,
                without_drums=without_drums,
            )
            owner = getattr(request, "session_hash", None) or _WITHOUT_SESSION
            return self._made(ask, owner, secrets.token_urlsafe() if apart else owner, address_of(request))
        except AppError as error:
            if isinstance(error, MachineError):
                log.warning("an API call failed: %s", error)
            raise gr.Error(fault(language, error), print_exception=False) from None
        except Exception:
            log.exception("an API call failed")
            raise gr.Error(say(language, "error.unexpected"), print_exception=False) from None

    def _made(self, ask: Ask, owner: str, keeper: str, address: str) -> tuple[list[Any], list[dict]]:
        """`owner` waits in the queue, `keeper`'s session has the takes."""
        session = self.sessions.of(keeper)
        job = self.engine.submit(ask.request(self.limits), owner, address)
        session.jobs.append(job)
        finished = False
        try:
            takes: tuple[Take, ...] = ()
            for event in job:
                if isinstance(event, Finished):
                    takes = event.takes
            finished = True
            kept = session.shelf.keep(takes, ask)
        finally:
            if not finished:
                job.abandon()
            session.jobs.remove(job)
        return [gr.FileData(path=str(take.wav)).model_dump() for take in kept], [take.record for take in kept]


def add_endpoints(api: Api) -> None:
    """Call within the Blocks."""
    for name in ("unconditional", "text", "audio"):
        gr.api(getattr(api, name), api_name=name, concurrency_limit=None)


def _prompts(prompt: Any) -> tuple[str, ...]:
    values = prompt if isinstance(prompt, (list, tuple)) else [prompt]
    if not all(value is None or isinstance(value, str) for value in values):
        raise InputError("error.not_text")
    return tuple(value or "" for value in values) if len(values) > 1 else tuple(value for value in values if value)


def _clip_paths(audio: Any) -> tuple[str, ...]:
    """Only files that came with the call: a plain string would name a file of the server."""
    values = audio if isinstance(audio, (list, tuple)) else [audio] if audio else []
    paths = []
    for value in values:
        if not is_file_obj_with_meta(value) or not is_in_or_equal(value["path"], get_upload_folder()):
            raise InputError("page.error.api_audio")
        paths.append(value["path"])
    return tuple(paths)
