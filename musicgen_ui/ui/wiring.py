"""Which click runs which handler."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from musicgen_ui.ui.advice import Advice
from musicgen_ui.ui.controls import Controls
from musicgen_ui.ui.inputs import Inputs
from musicgen_ui.ui.listening import Listening
from musicgen_ui.ui.result import Result
from musicgen_ui.ui.runs import Runs

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
    config: gr.Dataframe
    changes: gr.State
    timer: gr.Timer

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
        ]

    @property
    def ran(self) -> list[gr.blocks.Block]:
        """What a run updates."""
        buttons = [self.generate, self.stop, self.controls.seed, *self.result.actions]
        return [self.status, self.listening.broadcast, *buttons, *self.result.outputs]

    @property
    def restored(self) -> list[gr.blocks.Block]:
        """What `Advice.restore` updates."""
        inputs, controls = self.inputs, self.controls
        asked = [inputs.tabs, inputs.tab, inputs.prompts, inputs.mode, inputs.description]
        chosen = [controls.model, controls.model_note, controls.takes, controls.seed, controls.locked, controls.engine]
        return [self.status, *asked, *chosen, *self.starts]

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
    ):
        run.then(advice.config_table, table, s.config, **_SMALL)
        run.then(advice.estimate, s.weighed, s.estimate, **_SMALL)
        run.then(runs.heard, result.chooser, result.heard, **_SMALL)
    s.stop.click(runs.stop, None, [s.stop], **_SMALL)
    chosen = result.chooser.input(runs.choose, result.chooser, result.outputs, **_SMALL)
    chosen.then(advice.config_table, table, s.config, **_SMALL)
    chosen.then(runs.heard, result.chooser, result.heard, **_SMALL)
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
    restored = controls.restore.upload(advice.restore, [controls.restore, s.changes], s.restored, **_SMALL)
    restored.then(advice.config_table, table, s.config, **_SMALL)
    s.config.input(
        advice.config_edited,
        [s.config, controls.model, s.changes, s.result.chooser],
        [s.changes, s.config, *s.starts],
        **_RUN,
    )
    opened = [controls.model, inputs.mode, s.status, s.listening.line, s.chip, controls.model_note, s.config]
    page.load(advice.opened, [controls.model, s.changes], opened, **_SMALL)
    s.timer.tick(advice.watch, None, [s.chip, s.timer], **_SMALL)
