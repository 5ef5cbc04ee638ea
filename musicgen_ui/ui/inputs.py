"""The three tabs: what each asks for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from gradio.i18n import I18nData

from musicgen_ui.locales import DEFAULT_LANGUAGE, catalogue
from musicgen_ui.paths import EXAMPLES
from musicgen_ui.ui.prompt_help import Hint, PromptHelp, build_hint, build_prompt_help
from musicgen_ui.ui.strings import html, language_of, say, text

SOUNDS = (".wav", ".ogg", ".flac", ".mp3")
TRIES = ("flute", "rock", "guitar", "marimba", "pad")
"""prompts to try that nano plays as they say, measured; naming.py tells how each will sound"""


@dataclass(frozen=True)
class Inputs:
    tabs: gr.Tabs
    tab: gr.Textbox
    """the open tab's id, kept by the browser so that no click can be ahead of it"""
    prompts: gr.Textbox
    prompts_hint: Hint
    clip: gr.Audio
    mode: gr.Radio
    mode_note: gr.HTML
    description: gr.Textbox
    description_hint: Hint
    more_clips: gr.File
    help: PromptHelp
    without_drums: gr.Checkbox
    tune: gr.HTML
    """what the model will be told of the clip; like the checkbox seen for "melody" alone, by style.css"""


def build_inputs(examples: Path = EXAMPLES) -> Inputs:
    tab = gr.Textbox("text", visible="hidden", elem_classes="mg-hidden", label="tab", container=False)
    with gr.Tabs(selected="text", elem_id="mg-tabs") as tabs:
        with gr.Tab(text("page.tab.unconditional"), id="unconditional", render_children=True) as unconditional:
            gr.HTML(f'<p class="mg-lead">{text("page.unconditional.lead")}</p>')
        with gr.Tab(text("page.tab.text"), id="text", render_children=True) as described:
            prompts = gr.Textbox(
                lines=3,
                max_lines=8,
                label=text("page.prompt"),
                info=text("page.prompt.info"),
                placeholder=text("page.prompt.placeholder"),
                autofocus=True,
                elem_id="mg-prompt",
            )
            hint = build_hint()
            _build_tries(prompts)
            help_ = build_prompt_help()
        with gr.Tab(text("page.tab.audio"), id="audio", render_children=True) as audible:
            clip, mode, mode_note, without_drums, tune, description, description_hint, more_clips = _build_audio(
                examples
            )
    for page, name in ((unconditional, "unconditional"), (described, "text"), (audible, "audio")):
        page.select(None, None, [tab], js=f"() => '{name}'", api_visibility="private")
    return Inputs(
        tabs,
        tab,
        prompts,
        hint,
        clip,
        mode,
        mode_note,
        description,
        description_hint,
        more_clips,
        help_,
        without_drums,
        tune,
    )


def _build_audio(
    examples: Path,
) -> tuple[gr.Audio, gr.Radio, gr.HTML, gr.Checkbox, gr.HTML, gr.Textbox, Hint, gr.File]:
    clip = gr.Audio(
        type="filepath",
        sources=["upload", "microphone"],
        editable=True,
        label=text("page.clip"),
        buttons=[],
        waveform_options=gr.WaveformOptions(
            waveform_color="#9b988d", waveform_progress_color="#22806d", trim_region_color="#ecc474", sample_rate=32000
        ),
        elem_classes="mg-clip",
    )
    clips = example_clips(examples)
    if clips:
        with gr.Row(elem_classes="mg-chips"):
            gr.HTML(f"<span>{text('page.clip.examples')}</span>", elem_classes="mg-chips-label")
            for path in clips:
                button = gr.Button(_clip_name(path), size="sm", min_width=0)
                button.click(_giver(path), None, [clip], queue=False, api_visibility="private", show_progress="hidden")
    mode = gr.Radio(mode_choices("en"), value="continue", label=text("page.mode"), info=text("page.mode.info"))
    mode_note = gr.HTML(elem_classes="mg-note")
    without_drums = gr.Checkbox(
        label=text("page.drums"), info=text("page.drums.info"), elem_classes="mg-drums", container=False
    )
    tune = gr.HTML(elem_classes="mg-tune")
    description = gr.Textbox(
        lines=2,
        max_lines=8,
        label=text("page.description"),
        info=text("page.description.info"),
        placeholder=text("page.description.placeholder"),
        elem_id="mg-description",
    )
    hint = build_hint()
    with gr.Accordion(text("page.more_clips"), open=False, elem_classes="mg-fold"):
        gr.HTML(f'<p class="mg-note">{text("page.more_clips.info")}</p>')
        more_clips = gr.File(
            file_count="multiple",
            file_types=[*SOUNDS, ".aiff"],
            show_label=False,
            label=text("page.more_clips"),
            height=140,
            elem_classes="mg-files",
        )
    return clip, mode, mode_note, without_drums, tune, description, hint, more_clips


def mode_choices(language: str) -> list[tuple[str, str]]:
    return [(say(language, f"page.mode.{mode}"), mode) for mode in ("continue", "melody")]


def example_clips(folder: Path) -> list[Path]:
    """The example clips that are there, by name."""
    return sorted(path for path in folder.glob("*") if path.suffix in SOUNDS)


def _clip_name(path: Path) -> I18nData | str:
    key = f"page.example.{path.stem}"
    return text(key) if key in catalogue(DEFAULT_LANGUAGE) else path.stem


def _build_tries(prompts: gr.Textbox) -> None:
    with gr.Row(elem_classes="mg-chips"):
        gr.HTML(f"<span>{text('page.prompt.examples')}</span>", elem_classes="mg-chips-label")
        buttons = [gr.Button(text(f"page.try.{n}"), size="sm", min_width=0, elem_id=f"mg-try-{n}") for n in TRIES]
    sound = gr.HTML(elem_classes="mg-note mg-tried")  # where there is no pointer to hover with
    for name, button in zip(TRIES, buttons, strict=True):
        button.click(
            _trier(name), None, [prompts, sound], api_visibility="private", show_progress="hidden", queue=False
        )
    prompts.input(None, None, sound, js="() => ''", api_visibility="private")


def _trier(name: str) -> Callable[[gr.Request], tuple[str, str]]:
    def give(request: gr.Request) -> tuple[str, str]:
        language = language_of(request)
        return say(language, f"page.try.{name}.prompt"), f"<p>{html(say(language, f'page.sounds.{name}'))}</p>"

    return give


def _giver(path: Path) -> Callable[[], str]:
    def give() -> str:
        return str(path)

    return give
