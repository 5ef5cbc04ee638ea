"""Making music on a click, and what can be done with the takes: functions of plain values, on an engine."""

import logging
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from musicgen_ui.errors import AppError, InputError, MachineError
from musicgen_ui.events import Event, Finished, Generating, Loaded, Sound
from musicgen_ui.limits import Limits
from musicgen_ui.request import Settings, number
from musicgen_ui.take import Take
from musicgen_ui.ui import result, status
from musicgen_ui.ui.addresses import address_of
from musicgen_ui.ui.asks import Ask, Changes, clip_lines, prompt_lines
from musicgen_ui.ui.broadcast import Broadcasts
from musicgen_ui.ui.sessions import Sessions
from musicgen_ui.ui.shelves import KeptTake
from musicgen_ui.ui.strings import fault, html, language_of, say, seconds
from musicgen_ui.ui.surface import Engine
from musicgen_ui.ui.tray import clicked
from musicgen_ui.ui.tunes import Tunes

log = logging.getLogger(__name__)

FRESH_SEEDS = 1_000_000
"""a seed that nobody chose is below this: short enough to read out"""
_FRAME = 0.2  # seconds between two pictures of the progress


@dataclass(frozen=True)
class Runs:
    engine: Engine
    sessions: Sessions
    limits: Limits
    broadcasts: Broadcasts
    tunes: Tunes
    result_outputs: int
    """how many outputs `result.shown` updates"""

    def generate(
        self,
        tab: str,
        prompts: str,
        clip: str | None,
        mode: str,
        description: str,
        more_clips: list[str] | None,
        length: float,
        guidance_scale: float,
        do_sample: bool,
        model: str,
        takes: float,
        temperature: float,
        top_k: float,
        top_p: float,
        seed: float | None,
        locked: bool,
        engine: str,
        changes: Changes,
        without_drums: bool,
        batch: Ask | None,
        request: gr.Request,
    ) -> Iterator[list[object]]:
        """Runs what the page asks for; yields updates for status, buttons, seed and result."""
        language = language_of(request)
        clips = tuple(path for path in [clip, *(more_clips or [])] if path)
        try:
            chosen = number("seed", seed, int) if locked else None
            count = number("takes", takes, int)
            ask = Ask(
                mode=mode if tab == "audio" else tab,
                prompts={"text": prompt_lines(prompts), "audio": clip_lines(description)}.get(tab, ()),
                clip_paths=clips if tab == "audio" else (),
                model=(model or "").strip(),
                engine=engine,
                settings=Settings(
                    number("max_new_tokens", length, int),
                    number("guidance_scale", guidance_scale, float),
                    bool(do_sample),
                    number("temperature", temperature, float),
                    number("top_k", top_k, int),
                    number("top_p", top_p, float),
                ),
                seed=secrets.randbelow(FRESH_SEEDS) if chosen is None else chosen,
                takes=1 if count is None else count,
                without_drums=tab == "audio" and mode == "melody" and bool(without_drums),
                generation_config=changes.get(model, {}),
            ).within(batch)
        except InputError as error:
            yield self._frame(status=status.fault(fault(language, error)), running=False)
            return
        yield from self._run(ask, request)

    def again(self, number: int | None, locked: bool, request: gr.Request) -> Iterator[list[object]]:
        """What made the chosen take, with a new seed; a locked seed stays in its field."""
        session = self.sessions.find(request.session_hash or "")
        take = session.shelf.chosen(number) if session else None
        if take:
            ask = replace(take.ask, seed=secrets.randbelow(FRESH_SEEDS))
            yield from self._run(ask, request, show_seed=not locked, toasts=True)
        else:
            yield self._frame(running=False)

    def unguided(self, number: int | None, request: gr.Request) -> Iterator[list[object]]:
        """The chosen take once more without guidance, to be heard beside it."""
        yield from self._beside(number, {"guidance_scale": 1.0}, "page.inside.unguided.already", request)

    def greedy(self, number: int | None, request: gr.Request) -> Iterator[list[object]]:
        """The chosen take once more with the likeliest token at every step, to be heard beside it."""
        yield from self._beside(number, {"do_sample": False}, "page.inside.greedy.already", request)

    def _beside(
        self, number: int | None, change: dict[str, Any], already: str, request: gr.Request
    ) -> Iterator[list[object]]:
        """What made the chosen take, its seed too, with a `change` of settings; `already` says that it was so."""
        session = self.sessions.find(request.session_hash or "")
        take = session.shelf.chosen(number) if session else None
        if take and any(take.record.get(name) != value for name, value in change.items()):
            ask = replace(take.ask, settings=replace(take.ask.settings, **change))
            yield from self._run(ask, request, show_seed=False, toasts=True)
            return
        if take:
            gr.Info(html(say(language_of(request), already)), title="")
        yield self._frame()

    def stop(self, request: gr.Request) -> object:
        """Ends this tab's jobs and no one else's; what they made comes as their last event."""
        session = self.sessions.find(request.session_hash or "")
        for job in list(session.jobs) if session else ():
            job.stop()
        return gr.update(interactive=False)

    def close(self, request: gr.Request) -> None:
        """The tab was closed or reloaded."""
        owner = request.session_hash or ""
        self.engine.forget(owner)
        self.sessions.forget(owner)

    def _run(
        self, ask: Ask, asker: gr.Request, *, show_seed: bool = True, toasts: bool = False
    ) -> Iterator[list[object]]:
        """`toasts`: faults are said in a toast too, for buttons from which the status area may be out of sight."""
        owner, language = asker.session_hash or "", language_of(asker)
        session = self.sessions.of(owner)
        broadcast = self.broadcasts.open()
        job = None
        finished = False
        start = time.monotonic()
        working = status.line("running", say(language, "page.progress.working"))
        yield self._frame(status=working, running=True, seed=ask.seed if show_seed else None)
        try:
            request = ask.request(self.limits)
            info = self.engine.info(request.model)
            job = self.engine.submit(request, owner, address_of(asker))
            session.jobs.append(job)
            takes: tuple[Take, ...] = ()
            for event in _paced(job):
                if isinstance(event, Finished):
                    takes = event.takes
                    continue
                if isinstance(event, Sound):
                    first = not broadcast.audible
                    broadcast.add(event)
                    if first:
                        yield self._frame(broadcast=broadcast.token)
                    continue
                if isinstance(event, Loaded):
                    info = event.info
                elif isinstance(event, Generating):
                    broadcast.begin()
                yield self._frame(status=status.progress(event, language, info))
            finished = True
            kept = session.shelf.keep(takes, ask)
            ended = _ended(kept, ask, time.monotonic() - start, language)
            shown = result.shown(kept[0], session.shelf, language) if kept else None
            yield self._frame(status=ended, running=False, shown=shown)
        except AppError as error:
            finished = finished or job is None
            if isinstance(error, MachineError):  # the owner's matter too: a full disk, say
                log.warning("a run failed: %s", error)
            sentence = fault(language, error)
            if toasts:
                gr.Warning(html(sentence), title=say(language, "page.fault"))
            yield self._frame(status=status.fault(sentence), running=False)
        except Exception:
            log.exception("a run failed")
            sentence = say(language, "error.unexpected")
            gr.Warning(html(sentence), title="")
            yield self._frame(status=status.fault(sentence), running=False)
        finally:
            broadcast.end()
            if job is not None:
                if not finished:
                    job.abandon()
                session.jobs.remove(job)

    def _frame(
        self,
        *,
        status: str | None = None,
        running: bool | None = None,
        seed: int | None = None,
        broadcast: str | None = None,
        shown: list[object] | None = None,
    ) -> list[object]:
        """Updates for status, broadcast, Generate, Stop, seed, the five take buttons and the result."""
        ready = gr.skip() if running is None else gr.update(interactive=not running)
        stop = gr.skip() if running is None else gr.update(interactive=running)
        return [
            gr.skip() if status is None else status,
            gr.skip() if broadcast is None else broadcast,
            ready,
            stop,
            gr.skip() if seed is None else seed,
            *[ready] * 5,
            *(shown or result.unchanged(self.result_outputs)),
        ]

    def opened(self, key: str | None, request: gr.Request) -> list[object]:
        """A tab is opened: the browser's key, and its last take, if there is any."""
        session = self.sessions.open(request.session_hash or "", key)
        take = session.shelf.chosen(None)
        shown = result.shown(take, session.shelf, language_of(request)) if take else []
        return [session.shelf.key, *(shown or result.unchanged(self.result_outputs))]

    def act(self, number: int | None, event: gr.EventData, request: gr.Request) -> list[object]:
        """A click in the tray: updates for the result. What it brings is a stranger's, and may be about a take that
        another tab has deleted."""
        session = self.sessions.find(request.session_hash or "")
        if session is None:
            return result.unchanged(self.result_outputs)
        shelf = session.shelf
        of, act, name = clicked(event)
        if act == "delete":
            shelf.delete(of)
        elif act == "rename":
            shelf.rename(of, name)
        elif act == "favourite" and of in shelf.takes:
            shelf.takes[of].favourite = not shelf.takes[of].favourite
        language = language_of(request)
        take = shelf.chosen(of if act == "choose" else number)
        if take is None:
            return result.nothing()
        if take.number == number:  # its sound goes on
            return result.renewed(take, shelf, language)
        return result.shown(take, shelf, language)

    def heard(self, number: int | None, request: gr.Request) -> str:
        """What is measured of the chosen take, told after it can be heard; "" where that fails."""
        session = self.sessions.find(request.session_hash or "")
        take = session.shelf.chosen(number) if session else None
        if take is None:
            return ""
        try:
            return result.heard_html(take, language_of(request), self.tunes.followed(take))
        except Exception:  # what it says is not worth a fault
            log.exception("a take could not be measured")
            return ""

    def looped(self, number: int | None, request: gr.Request) -> list[object]:
        """Updates for the chosen take's loop and the line about it, some moments after it can be heard."""
        session = self.sessions.find(request.session_hash or "")
        take = session.shelf.chosen(number) if session else None
        if take is None:
            return result.unchanged(2)
        language = language_of(request)
        try:
            (path, _), words = take.loop, result.loop_html(take, language)
        except AppError as error:
            return [result.NO_LOOP, result.note_html(fault(language, error))]
        except Exception:
            log.exception("a take could not be looped")
            return [result.NO_LOOP, ""]
        return [gr.update(value=str(path), interactive=True), words]

    def use_as_prompt(self, number: int | None, request: gr.Request) -> list[object]:
        """Puts the chosen take into the audio tab: updates for tabs, tab, clip, mode, description, more clips."""
        session = self.sessions.find(request.session_hash or "")
        take = session.shelf.chosen(number) if session else None
        if take is None:
            return result.unchanged(6)
        words = str(take.record.get("prompt") or "")
        return [gr.Tabs(selected="audio"), "audio", str(take.wav), "continue", words, None]


def _paced(events: Iterable[Event]) -> Iterator[Event]:
    """`events` without the tokens that come faster than anyone reads."""
    last = 0.0
    for event in events:
        if isinstance(event, Generating):
            now = time.monotonic()
            if now - last < _FRAME and event.done < event.total:
                continue
            last = now
        yield event


def _ended(kept: list[KeptTake], ask: Ask, spent: float, language: str) -> str:
    """The status line of a run that came to its end."""
    if not kept:
        return status.line("stopped", say(language, "page.status.stopped_empty"))
    music = sum(take.seconds for take in kept)
    if not all(take.complete for take in kept):
        return status.line("stopped", say(language, "page.status.stopped", music=seconds(language, music)))
    done = say(language, "page.status.done", music=seconds(language, music), time=seconds(language, spent))
    held = kept[0].record.get("max_new_tokens", 0) < (ask.settings.max_new_tokens or 0)
    return status.line("done", done, say(language, "page.status.held") if held else "")
