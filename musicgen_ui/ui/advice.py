"""What the controls say: estimates, notes on the model, the generation config. Functions of plain values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import gradio as gr

from musicgen_ui.audio import read_clip
from musicgen_ui.checkpoints import DEFAULT, for_mode
from musicgen_ui.errors import AppError
from musicgen_ui.events import Ready
from musicgen_ui.limits import Limits
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.sections import sections
from musicgen_ui.tags import read_record
from musicgen_ui.ui import controls, generation_config, keys, lengths, listening, status
from musicgen_ui.ui.asks import Changes, prompt_lines
from musicgen_ui.ui.inputs import mode_choices
from musicgen_ui.ui.sessions import Sessions
from musicgen_ui.ui.settings import Filled, of_browser, of_link, of_record
from musicgen_ui.ui.strings import fault, html, language_of, say, seconds
from musicgen_ui.ui.surface import Engine
from musicgen_ui.ui.tray import clicked, title_of
from musicgen_ui.windows import effort, held, overlap, plan

_FILLED = 20  # components that settings from elsewhere update, but for the status
_WATCH, _WATCH_READY = 2.0, 20.0  # seconds between two looks at the engine


@dataclass(frozen=True)
class Advice:
    engine: Engine
    sessions: Sessions
    limits: Limits

    def opened(self, model: str, changes: Changes, request: gr.Request) -> list[object]:
        """Sentences that only the server can make, in this reader's language."""
        language = language_of(request)
        return [
            gr.update(choices=controls.model_choices(language)),
            gr.update(choices=mode_choices(language)),
            status.idle(language),
            listening.line(language),
            status.engine_chip(self.engine.status(), language),
            self._model_note(model, language),
            self.config_table(model, changes, None, request),
            keys.keys_html(language),
        ]

    def watch(self, request: gr.Request) -> list[object]:
        self.sessions.touch(request.session_hash or "")
        event = self.engine.status()
        pause = _WATCH_READY if isinstance(event, Ready) else _WATCH
        return [status.engine_chip(event, language_of(request)), gr.Timer(pause)]

    def estimate(
        self,
        tab: str,
        prompts: str,
        mode: str,
        description: str,
        more_clips: list[str] | None,
        length: float,
        guidance_scale: float,
        model: str,
        takes: float,
        request: gr.Request,
    ) -> str:
        """The music that the length means, and how long this machine will take for it."""
        language = language_of(request)
        mode = mode if tab == "audio" else tab
        try:
            name = for_mode(model, mode)
            info = self.engine.info(name)
        except AppError:
            return ""
        if not isinstance(length, (int, float)) or not isinstance(takes, (int, float)):
            return ""  # half typed
        tokens = int(length)
        described = prompt_lines({"text": prompts, "audio": description}.get(tab))
        descriptions = len(described)
        clips = 1 + len(more_clips or []) if tab == "audio" else 1
        rows = int(takes or 1) * max(descriptions, clips)
        unprompted = mode == "unconditional" or (mode == "continue" and not descriptions)
        guided = float(guidance_scale or 1) > 1 and not unprompted
        pace = self.engine.seconds_per_token(name, rows, guided)
        key = "page.estimate.music" if rows == 1 else "page.estimate.pieces"
        music = say(language, key, time=seconds(language, info.seconds(tokens)), pieces=rows)
        windows = plan(info, 0, tokens, _borders(described, info))
        if pace is None:
            wait = say(language, "page.estimate.unknown")
        else:
            wait = say(language, "page.estimate.wait", time=seconds(language, pace * effort(windows)))
        said = f'<p class="mg-estimate"><strong>{html(music)}</strong><span>{html(wait)}</span></p>'
        if not held(info, 0, tokens):
            heard = round(overlap(info) / info.frame_rate)
            said += f'<div class="mg-note">{html(say(language, "page.estimate.windows", seconds=heard))}</div>'
        return said

    def mode_note(self, mode: str, model: str, request: gr.Request) -> str:
        """What the chosen model really does with a clip."""
        language = language_of(request)
        try:
            name = for_mode(model, mode)
            follows = self.engine.info(name).melody
        except AppError:
            return ""
        if mode == "melody":
            key = "page.mode.note.follows" if follows else "page.mode.note.cannot_follow"
        else:
            key = "page.mode.note.cannot_continue" if follows else "page.mode.note.continues"
        return html(say(language, key, model=name))

    def model_changed(self, model: str, length: float, changes: Changes, request: gr.Request) -> list[object]:
        """Another model: its note, and the controls start from its generation config; the length stays, if it can."""
        language = language_of(request)
        try:
            info = self.engine.info(model)
        except AppError:
            return [self._model_note(model, language), *([gr.skip()] * 6)]
        edited = changes.get(model, {})
        bounds = lengths.moved(info, edited, int(length or 0), self.limits)
        return [self._model_note(model, language), bounds, *self._starts(info, edited)[1:]]

    def length_of(self, seconds: int) -> Callable[[str, Changes], object]:
        """A handler that sets the slider to so many seconds of the chosen model's music."""

        def choose(model: str, changes: Changes) -> object:
            try:
                info = self.engine.info(model)
            except AppError:
                return gr.skip()
            edited = changes.get(model, {})
            tokens = lengths.tokens_for(info, edited, seconds, self.limits)
            return lengths.moved(info, edited, tokens, self.limits)

        return choose

    def restore(self, path: str, changes: Changes, clip: str | None, request: gr.Request) -> list[object]:
        """The settings that a take's file remembers: updates for `Sections.filled`. A wrong file changes nothing.

        `clip` is the one that is on the page; it is told whether the take was made from it.
        """
        language = language_of(request)
        name = Path(path).name
        try:
            record = read_record(path)
            key = f"page.restore.{self._lacking(record, clip)}"
            told = say(language, key, name=name, clip=str(record.get("clip") or "?"))
            return self._filled(of_record(record), changes, language, told)
        except AppError as error:
            return _unfilled(fault(language, error))

    def _lacking(self, record: Mapping[str, object], clip: str | None) -> str:
        """What is still needed to make the take of `record` again: "clip", its own "instead" of `clip`, or nothing
        ("done")."""
        if record["mode"] not in ("continue", "melody"):
            return "done"
        if not clip or not record.get("clip_digest"):
            return "clip"
        try:
            same = read_clip(clip, self.limits).digest == record["clip_digest"]
        except AppError:
            same = False
        return "done" if same else "instead"

    def restore_take(self, event: gr.EventData, changes: Changes, request: gr.Request) -> list[object]:
        """The settings of a take in the tray: updates for `Sections.filled`, its clip too."""
        language = language_of(request)
        session = self.sessions.find(request.session_hash or "")
        number, _, _ = clicked(event)
        take = session.shelf.takes.get(number) if session else None
        if take is None:
            return _unfilled()
        clip = next(iter(take.ask.clip_paths), None)
        said = say(language, "page.restore.done", name=title_of(take, language))
        try:
            return self._filled(of_record(take.record, clip), changes, language, said)
        except AppError as error:
            return _unfilled(fault(language, error))

    def reopen(self, kept: object, changes: Changes, request: gr.Request) -> list[object]:
        """What the page's address asks for, else what this browser had last: updates for `Sections.filled`."""
        language = language_of(request)
        try:
            if filled := of_link(dict(request.query_params)):
                return self._filled(filled, changes, language, say(language, "page.link.opened"))
        except AppError as error:
            return _unfilled(say(language, "page.link.wrong", why=fault(language, error)))
        filled = of_browser(kept)
        if filled is None:
            return _unfilled()
        try:
            return self._filled(filled, changes, language, None)
        except AppError:  # its model is gone, all else isn't
            return self._filled(replace(filled, model=None), changes, language, None)

    def _filled(self, filled: Filled, changes: Changes, language: str, said: str | None) -> list[object]:
        """Updates for `Sections.filled`. InputError where there is no such model."""
        model = filled.model or DEFAULT
        info = self.engine.info(model)
        edited = changes.get(model, {})
        settings = filled.settings or {}
        length = settings.get("max_new_tokens") or controls.first_length(info, edited, self.limits)
        values = (
            gr.Tabs(selected=filled.tab) if filled.tab else None,
            filled.tab,
            filled.prompts,
            filled.clip,
            filled.mode,
            filled.description,
            filled.without_drums,
            filled.model,
            self._model_note(model, language),
            filled.takes,
            filled.seed,
            filled.locked,
            filled.engine,
            lengths.moved(info, edited, int(length), self.limits),
            *(settings.get(name) for name in ("guidance_scale", "do_sample", "temperature", "top_k", "top_p")),
            filled.batch,
        )
        told = gr.skip() if said is None else status.line("done", said)
        return [told, *(gr.skip() if value is None else value for value in values)]

    def config_table(
        self, model: str, changes: Changes, number: int | None, request: gr.Request
    ) -> dict[str, object] | object:
        try:
            info = self.engine.info(model)
        except AppError:
            return gr.skip()
        session = self.sessions.find(request.session_hash or "")
        takes = session.shelf.takes if session else {}
        take = takes.get(number) if number else None
        record = take.record if take else {}
        return generation_config.table(info, changes.get(model, {}), record, language_of(request))

    def config_edited(
        self, rows: list[list[object]], model: str, changes: Changes, number: int | None, request: gr.Request
    ) -> list[object]:
        """Updates for the session's changes, the table and the controls; a wrong value is told and taken back."""
        language = language_of(request)
        try:
            info = self.engine.info(model)
            edited = generation_config.read_changes(rows, info)
        except AppError as error:
            gr.Warning(html(fault(language, error)), title=say(language, "page.fault"))
            return [gr.skip(), self.config_table(model, changes, number, request), *([gr.skip()] * 6)]
        before = changes.get(model, {})
        if edited == before:
            return [gr.skip()] * 8
        changes = {**changes, model: edited}
        moved = [
            new if new != old else gr.skip()
            for new, old in zip(self._starts(info, edited), self._starts(info, before), strict=True)
        ]
        return [changes, self.config_table(model, changes, number, request), *moved]

    def _starts(self, info: ModelInfo, changes: Mapping[str, object]) -> list[object]:
        """Updates for length, guidance, sampling, temperature, top-k, top-p: what `generation_config` says."""
        start = controls.first_settings(info, changes)
        return [
            lengths.moved(info, changes, controls.first_length(info, changes, self.limits), self.limits),
            start.guidance_scale,
            bool(start.do_sample),
            start.temperature,
            start.top_k,
            start.top_p,
        ]

    def _model_note(self, model: str, language: str) -> str:
        try:
            return html(controls.model_note(model, self.engine.info(model), language))
        except AppError as error:
            return f'<span class="mg-fault">{html(fault(language, error))}</span>'


def _unfilled(said: str | None = None) -> list[object]:
    """Updates for `Sections.filled` that change nothing, and may say why."""
    return [gr.skip() if said is None else status.fault(said), *([gr.skip()] * _FILLED)]


def _borders(prompts: Sequence[str], info: ModelInfo) -> list[int]:
    """The frames at which the prompts change; none while they are wrong or half typed."""
    try:
        return [round(section.start * info.frame_rate) for prompt in prompts for section in sections(prompt)]
    except AppError:
        return []
