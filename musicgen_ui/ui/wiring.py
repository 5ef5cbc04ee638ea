"""Which click runs which handler."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from musicgen_ui.ui.advice import Advice
from musicgen_ui.ui.controls import Controls
from musicgen_ui.ui.inputs import Inputs
from musicgen_ui.ui.listening import Listening
from musicgen_ui.ui.prompt_help import wire_hint, wire_prompt_help
from musicgen_ui.ui.result import Result
from musicgen_ui.ui.runs import Runs
from musicgen_ui.ui.settings import REMEMBERED, SETTINGS
from musicgen_ui.ui.tunes import Tunes

_QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
_SMALL: dict[str, Any] = {**_QUIET, "queue": False}
_RUN: dict[str, Any] = {**_QUIET, "concurrency_limit": None}  # the engine has its own queue, and says the place in it


@dataclass(frozen=True)
class Sections:
    inputs: Inputs
    controls: Controls
    result: Result
    length: gr.Slider
    lengths: dict[int, gr.Button]
    estimate: gr.HTML
    generate: gr.Button
    stop: gr.Button
    status: gr.HTML
    listening: Listening
    chip: gr.HTML
    dropped: gr.UploadButton
    """gets a take's file that is dropped on the page"""
    keys: gr.HTML
    """what the keyboard can do"""
    config: gr.Dataframe
    changes: gr.State
    batch: gr.State
    """what the take whose settings were taken over has from its batch: an `Ask`, or None"""
    timer: gr.Timer
    browser: gr.BrowserState
    """the key of this browser's shelf of takes"""
    kept: gr.BrowserState
    """the last settings in this browser"""

    @property
    def asked(self) -> list[gr.components.Component]:
        """What `Runs.generate` takes."""
        inputs, controls = self.inputs, self.controls
        return [
            inputs.tab,
            inputs.prompts,
            inputs.clip,
            inputs.mode,
            inputs.description,
            inputs.more_clips,
            self.length,
            controls.guidance_scale,
            controls.do_sample,
            controls.model,
            controls.takes,
            controls.temperature,
            controls.top_k,
            controls.top_p,
            controls.seed,
            controls.locked,
            controls.engine,
            self.changes,
            inputs.without_drums,
            self.batch,
        ]

    @property
    def ran(self) -> list[gr.blocks.Block]:
        """What a run updates."""
        buttons = [self.generate, self.stop, self.controls.seed, *self.result.actions]
        return [self.status, self.listening.broadcast, *buttons, *self.result.outputs]

    @property
    def filled(self) -> list[gr.blocks.Block]:
        """What settings from elsewhere update: those of a take, a link, or this browser's last."""
        inputs, controls = self.inputs, self.controls
        asked = [
            inputs.tabs,
            inputs.tab,
            inputs.prompts,
            inputs.clip,
            inputs.mode,
            inputs.description,
            inputs.without_drums,
        ]
        chosen = [controls.model, controls.model_note, controls.takes, controls.seed, controls.locked, controls.engine]
        return [self.status, *asked, *chosen, *self.starts, self.batch]

    @property
    def remembered(self) -> dict[str, gr.components.Component]:
        """What the browser keeps, by the names in `settings.REMEMBERED`."""
        inputs, controls = self.inputs, self.controls
        return {
            "tab": inputs.tab,
            "prompts": inputs.prompts,
            "mode": inputs.mode,
            "description": inputs.description,
            "without_drums": inputs.without_drums,
            "model": controls.model,
            "takes": controls.takes,
            "seed": controls.seed,
            "locked": controls.locked,
            "engine": controls.engine,
            "max_new_tokens": self.length,
            "guidance_scale": controls.guidance_scale,
            "do_sample": controls.do_sample,
            "temperature": controls.temperature,
            "top_k": controls.top_k,
            "top_p": controls.top_p,
        }

    @property
    def weighed(self) -> list[gr.components.Component]:
        """What `Advice.estimate` takes."""
        inputs, controls = self.inputs, self.controls
        return [
            inputs.tab,
            inputs.prompts,
            inputs.mode,
            inputs.description,
            inputs.more_clips,
            self.length,
            controls.guidance_scale,
            controls.model,
            controls.takes,
        ]

    @property
    def starts(self) -> list[gr.components.Component]:
        """The controls that start from the model's generation config."""
        controls = self.controls
        return [
            self.length,
            controls.guidance_scale,
            controls.do_sample,
            controls.temperature,
            controls.top_k,
            controls.top_p,
        ]


def wire(page: gr.Blocks, runs: Runs, advice: Advice, sections: Sections) -> None:
    _wire_runs(page, runs, advice, sections)
    _wire_advice(page, advice, sections)
    _wire_settings(page, advice, sections)
    inputs, model = sections.inputs, sections.controls.model
    wire_prompt_help(page, inputs.help, inputs.prompts)
    wire_hint(inputs.prompts_hint, inputs.prompts, model)
    wire_hint(inputs.description_hint, inputs.description, model)
    _wire_tunes(runs.tunes, sections)


def _wire_runs(page: gr.Blocks, runs: Runs, advice: Advice, s: Sections) -> None:
    inputs, result = s.inputs, s.result
    table = [s.controls.model, s.changes, result.chooser]
    moved = [inputs.tabs, inputs.tab, inputs.clip, inputs.mode, inputs.description, inputs.more_clips]
    result.use.click(runs.use_as_prompt, result.chooser, moved, **_SMALL)
    extended = result.extend.click(runs.use_as_prompt, result.chooser, moved, **_SMALL)
    for run in (
        s.generate.click(runs.generate, s.asked, s.ran, **_RUN),
        result.again.click(runs.again, [result.chooser, s.controls.locked], s.ran, **_RUN),
        extended.success(runs.generate, s.asked, s.ran, **_RUN),
        result.inside.unguided.click(runs.unguided, result.chooser, s.ran, **_RUN),
        result.inside.greedy.click(runs.greedy, result.chooser, s.ran, **_RUN),
    ):
        run.then(advice.config_table, table, s.config, **_SMALL)
        run.then(advice.estimate, s.weighed, s.estimate, **_SMALL)
        run.then(runs.heard, result.chooser, result.heard, **_SMALL)
        run.then(runs.looped, result.chooser, [result.loop, result.loop_note], **_SMALL)
    s.stop.click(runs.stop, None, [s.stop], **_SMALL)
    chosen = result.tray.act(runs.act, result.chooser, result.outputs, **_SMALL)
    chosen.then(advice.config_table, table, s.config, **_SMALL)
    chosen.then(runs.heard, result.chooser, result.heard, **_SMALL)
    chosen.then(runs.looped, result.chooser, [result.loop, result.loop_note], **_SMALL)
    opened = page.load(runs.opened, s.browser, [s.browser, *result.outputs], **_SMALL)
    opened.then(runs.heard, result.chooser, result.heard, **_SMALL)
    opened.then(runs.looped, result.chooser, [result.loop, result.loop_note], **_SMALL)
    page.unload(runs.close)


def _wire_advice(page: gr.Blocks, advice: Advice, s: Sections) -> None:
    inputs, controls = s.inputs, s.controls
    table = [controls.model, s.changes, s.result.chooser]
    gr.on(
        [
            page.load,
            inputs.tab.change,
            inputs.prompts.blur,
            inputs.description.blur,
            inputs.mode.change,
            inputs.more_clips.change,
            s.length.change,
            controls.guidance_scale.change,
            controls.model.change,
            controls.takes.change,
            s.timer.tick,
        ],
        advice.estimate,
        s.weighed,
        s.estimate,
        trigger_mode="always_last",
        **_SMALL,
    )
    gr.on(
        [page.load, inputs.mode.change, controls.model.change],
        advice.mode_note,
        [inputs.mode, controls.model],
        inputs.mode_note,
        **_SMALL,
    )
    for seconds, button in s.lengths.items():
        button.click(advice.length_of(seconds), [controls.model, s.changes], s.length, **_SMALL)
    changed = controls.model.input(  # not where a file sets it: that brings settings of its own
        advice.model_changed, [controls.model, s.length, s.changes], [controls.model_note, *s.starts], **_SMALL
    )
    changed.then(advice.config_table, table, s.config, **_SMALL)
    s.config.input(
        advice.config_edited,
        [s.config, controls.model, s.changes, s.result.chooser],
        [s.changes, s.config, *s.starts],
        **_RUN,
    )
    s.timer.tick(advice.watch, None, [s.chip, s.timer], **_SMALL)


def _wire_settings(page: gr.Blocks, advice: Advice, s: Sections) -> None:
    """Settings that come from elsewhere, and where they are kept and told."""
    table = [s.controls.model, s.changes, s.result.chooser]
    told = [
        s.controls.model,
        s.inputs.mode,
        s.status,
        s.listening.line,
        s.chip,
        s.controls.model_note,
        s.config,
        s.keys,
    ]
    opened = page.load(advice.opened, [s.controls.model, s.changes], told, **_SMALL)
    filled: dict[str, Any] = {"outputs": s.filled, **_SMALL}
    reopened = opened.then(advice.reopen, [s.kept, s.changes], **filled)
    for event in (
        s.controls.restore.upload(advice.restore, [s.controls.restore, s.changes, s.inputs.clip], **filled),
        s.dropped.upload(advice.restore, [s.dropped, s.changes, s.inputs.clip], **filled),
        s.result.tray.restore(advice.restore_take, s.changes, **filled),
        reopened,
    ):
        event.then(advice.config_table, table, s.config, **_SMALL)
    remembered = s.remembered
    assert tuple(remembered) == REMEMBERED
    fields = list(remembered.values())
    # Whoever changes a field, a chip or a file too; but what a page starts with mustn't go before what was kept.
    reopened.then(None, None, None, js="() => { window.settingsReopened = true; }", api_visibility="private")
    names = json.dumps(REMEMBERED)
    now = f"Object.fromEntries({names}.map((name, i) => [name, values[i]]))"
    js = f"(kept, ...values) => (window.settingsReopened ? {now} : kept)"
    changed = [getattr(field, "change") for field in fields]  # noqa: B009 (mypy: events)
    gr.on([*changed, s.generate.click], None, [s.kept, *fields], s.kept, js=js, api_visibility="private")
    s.controls.link.click(None, fields, None, js=_link_script(), api_visibility="private")


def _link_script() -> str:
    """Copies the page's address with the fields of `REMEMBERED` in it, as `settings.of_link` reads them."""
    script = (Path(__file__).with_name("link.js")).read_text(encoding="utf-8")
    return script.replace("REMEMBERED", json.dumps(REMEMBERED)).replace("SETTINGS", json.dumps(SETTINGS))


def _wire_tunes(tunes: Tunes, s: Sections) -> None:
    inputs = s.inputs
    told = [inputs.clip, inputs.mode, inputs.without_drums, s.controls.model]
    gr.on(
        [inputs.clip.change, inputs.mode.change, inputs.without_drums.change, s.controls.model.change],
        tunes.picture,
        told,
        inputs.tune,
        trigger_mode="always_last",
        **_SMALL,
    )
