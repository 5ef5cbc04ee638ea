"""The one set of controls that all tabs share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gradio as gr

from musicgen_ui.audio import FORMATS
from musicgen_ui.checkpoints import MENU
from musicgen_ui.limits import Limits
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.request import Settings, number
from musicgen_ui.ui.lengths import bounds, longest
from musicgen_ui.ui.strings import megabytes, say, text

FIRST_SECONDS = 10.0
"""what the length starts at where the model's generation config names no max_new_tokens"""
_DICE = "() => [Math.floor(Math.random() * 1000000), true]"


@dataclass(frozen=True)
class Controls:
    """`length` stands above the button, the others below it."""

    guidance_scale: gr.Slider
    do_sample: gr.Checkbox
    model: gr.Dropdown
    model_note: gr.HTML
    takes: gr.Slider
    temperature: gr.Slider
    top_k: gr.Number
    top_p: gr.Slider
    seed: gr.Number
    locked: gr.Checkbox
    engine: gr.Dropdown
    restore: gr.UploadButton
    """a take's file, whose settings the controls shall have"""
    link: gr.Button
    """copies an address that opens the page with these settings"""


def _unchecked(component: gr.components.Component) -> None:
    """Hands over what was typed, so that a wrong number gets our sentence instead of Gradio's."""
    setattr(component, "preprocess", lambda payload: payload)  # noqa: B010 (mypy: a method)


def build_length(info: ModelInfo, limits: Limits) -> gr.Slider:
    ends = bounds(info, {}, first_length(info, {}, limits), limits)
    length = gr.Slider(
        minimum=ends.minimum,
        maximum=ends.maximum,
        value=ends.value,
        step=1,
        label=text("page.length"),
        info=text("page.length.info"),
        elem_id="mg-length",
    )
    _unchecked(length)
    return length


def build_controls(info: ModelInfo, limits: Limits, engines: Sequence[str]) -> Controls:
    start = first_settings(info, {})
    with gr.Row(equal_height=False):
        with gr.Column(min_width=240):
            model = gr.Dropdown(
                model_choices("en"),
                value=info.name,
                allow_custom_value=limits.own_models,
                label=text("page.model"),
                info=text("page.model.info" if limits.own_models else "page.model.info_menu"),
            )
            model_note = gr.HTML(elem_classes="mg-note")
        with gr.Column(min_width=240):
            guidance_scale = gr.Slider(
                1.0,
                20.0,
                value=start.guidance_scale,
                step=0.1,
                label=text("page.guidance"),
                info=text("page.guidance.info"),
            )
            do_sample = gr.Checkbox(
                value=bool(start.do_sample), label=text("page.sampling"), info=text("page.sampling.info")
            )
    with gr.Accordion(text("page.more"), open=False, elem_classes="mg-fold"):
        with gr.Row():
            takes = gr.Slider(1, limits.takes, value=1, step=1, label=text("page.takes"), info=text("page.takes.info"))
            temperature = gr.Slider(
                0.1,
                2.0,
                value=start.temperature,
                step=0.05,
                label=text("page.temperature"),
                info=text("page.temperature.info"),
            )
        with gr.Row():
            top_k = gr.Number(
                value=start.top_k,
                precision=0,
                step=1,
                label=text("page.top_k"),
                info=text("page.top_k.info"),
                min_width=140,
            )
            top_p = gr.Slider(
                0.05, 1.0, value=start.top_p, step=0.01, label=text("page.top_p"), info=text("page.top_p.info")
            )
        with gr.Row(elem_classes="mg-seed"):
            seed = gr.Number(
                value=None,
                precision=0,
                step=1,
                label=text("page.seed"),
                info=text("page.seed.info"),
                min_width=140,
            )
            locked = gr.Checkbox(
                value=False, label=text("page.seed.lock"), info=text("page.seed.lock.info"), min_width=140
            )
            dice = gr.Button(text("page.seed.dice"), size="sm", min_width=110)
        engine = gr.Dropdown(list(engines), value=engines[0], label=text("page.engine"), info=text("page.engine.info"))
        with gr.Row():
            restore = gr.UploadButton(
                text("page.restore"),  # type: ignore[arg-type]  # it is translated like any label
                file_types=[f".{kind}" for kind in FORMATS],
                size="sm",
                elem_id="mg-restore",
            )
            link = gr.Button(text("page.link"), size="sm", elem_id="mg-link")
    for field in (guidance_scale, takes, temperature, top_k, top_p, seed):
        _unchecked(field)
    dice.click(None, None, [seed, locked], js=_DICE, api_visibility="private")
    seed.input(None, None, [locked], js="() => true", api_visibility="private")
    return Controls(
        guidance_scale,
        do_sample,
        model,
        model_note,
        takes,
        temperature,
        top_k,
        top_p,
        seed,
        locked,
        engine,
        restore,
        link,
    )


def model_choices(language: str) -> list[tuple[str, str]]:
    """(label, name): the bundled ones first, as the menu has them."""
    choices = []
    for name, checkpoint in MENU.items():
        if checkpoint.hub_id is None:
            what = say(language, "page.model.bundled")
        else:
            what = say(language, "page.model.download", size=megabytes(checkpoint.download_bytes))
        choices.append((f"{name}  ·  {what}", name))
    return choices


def model_note(name: str, info: ModelInfo, language: str) -> str:
    """What to know before this model is used, in a sentence or two."""
    checkpoint = MENU.get(name)
    parts = []
    if checkpoint is None:
        parts.append(say(language, "page.model.custom"))
    elif checkpoint.hub_id is None:
        parts.append(say(language, "page.model.ours"))
    else:
        parts.append(say(language, "page.model.meta", size=megabytes(checkpoint.download_bytes)))
    if info.melody:
        parts.append(say(language, "page.model.melody"))
    if info.channels == 2:
        parts.append(say(language, "page.model.stereo"))
    return " ".join(parts)


def first_settings(info: ModelInfo, changes: Mapping[str, object]) -> Settings:
    """What the controls start from: the model's generation config with this session's changes."""
    return Settings().superseding({**info.generation_config, **changes})


def first_length(info: ModelInfo, changes: Mapping[str, object], limits: Limits) -> int:
    named = number("max_new_tokens", {**info.generation_config, **changes}.get("max_new_tokens"), int)
    return min(named or info.tokens(FIRST_SECONDS), longest(info, changes, limits))
