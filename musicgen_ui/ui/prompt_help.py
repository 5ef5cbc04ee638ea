"""Help with the prompt: building blocks that write it, and English for Chinese where the model knows only that."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from musicgen_ui.checkpoints import only_english
from musicgen_ui.prompts import (
    GENRES,
    INSTRUMENTS,
    KEYS,
    MOODS,
    TEMPI,
    Block,
    Chosen,
    bpm_of,
    compose,
    in_english,
    roll,
)
from musicgen_ui.ui.strings import html, language_of, say, text

_MERGE = Path(__file__).with_name("prompt_help.js").read_text(encoding="utf-8")
TIPS = ("well", "loosely", "never", "nano")
_CLEARED = f'(prompt, before) => [...({_MERGE})("", prompt, before), "", "", [], [], "", ""]'
# Only a prompt with Chinese in it is worth asking the server about, while it is typed.
_CHINESE = '(prompt) => (/[\\u3400-\\u9fff]/.test(prompt) ? prompt : "")'
_SMALL: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
_LOCAL: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class Hint:
    """Below a prompt: what of its Chinese a model that knows only English can be told."""

    chinese: gr.Textbox
    """the prompt, where it has Chinese in it"""
    line: gr.HTML
    english: gr.Textbox
    """the prompt that the button takes over"""
    take_over: gr.Button


@dataclass(frozen=True)
class PromptHelp:
    genre: gr.Radio
    instruments: gr.CheckboxGroup
    moods: gr.CheckboxGroup
    tempo: gr.Radio
    key: gr.Radio
    tips: gr.HTML
    surprise: gr.Button
    clear: gr.Button
    sentence: gr.Textbox
    """what the blocks say now"""
    written: gr.Textbox
    """what of the prompt is the blocks'"""

    @property
    def blocks(self) -> list[gr.components.Component]:
        """In the order of `composed`."""
        return [self.genre, self.instruments, self.moods, self.tempo, self.key]


def build_hint() -> Hint:
    """style.css shows it when it says something, and the button when there is English."""
    chinese, english = _hidden("chinese"), _hidden("english")
    with gr.Row(elem_classes=["mg-chips", "mg-english"]):
        line = gr.HTML(elem_classes="mg-hint")
        take_over = gr.Button(text("page.hint.use"), size="sm", min_width=0)
    return Hint(chinese, line, english, take_over)


def build_prompt_help() -> PromptHelp:
    sentence, written = _hidden("sentence"), _hidden("written")
    with gr.Accordion(text("page.blocks"), open=False, elem_classes=["mg-fold", "mg-blocks"]):
        with gr.Row(elem_classes="mg-chips"):
            surprise = gr.Button(text("page.blocks.surprise"), size="sm", min_width=0)
            clear = gr.Button(text("page.blocks.clear"), size="sm", min_width=0)
        genre = gr.Radio(any_or(GENRES, "en"), value="", label=text("page.blocks.genre"))
        instruments = gr.CheckboxGroup(choices(INSTRUMENTS, "en"), label=text("page.blocks.instruments"))
        moods = gr.CheckboxGroup(choices(MOODS, "en"), label=text("page.blocks.moods"))
        tempo = gr.Radio(any_or(TEMPI, "en"), value="", label=text("page.blocks.tempo"))
        key = gr.Radio(any_or(KEYS, "en"), value="", label=text("page.blocks.key"))
        tips = gr.HTML(tips_html("en"))
    return PromptHelp(
        genre,
        instruments,
        moods,
        tempo,
        key,
        tips,
        surprise,
        clear,
        sentence,
        written,
    )


def wire_prompt_help(page: gr.Blocks, shown: PromptHelp, prompts: gr.Textbox) -> None:
    written = [prompts, shown.written]
    composed = gr.on(
        [getattr(block, "input") for block in shown.blocks],  # noqa: B009 (mypy: events)
        composed_of,
        shown.blocks,
        shown.sentence,
        trigger_mode="always_last",
        **_SMALL,
    )
    rolled = shown.surprise.click(rolled_dice, None, [shown.sentence, *shown.blocks], **_SMALL)
    shown.clear.click(None, written, [*written, shown.sentence, *shown.blocks], js=_CLEARED, **_LOCAL)
    for said in (composed, rolled):
        said.then(None, [shown.sentence, *written], written, js=_MERGE, **_LOCAL)
    page.load(in_language, None, [*shown.blocks, shown.tips], **_SMALL)


def wire_hint(hint: Hint, prompt: gr.Textbox, model: gr.Dropdown) -> None:
    prompt.change(None, prompt, hint.chinese, js=_CHINESE, **_LOCAL)
    gr.on(
        [hint.chinese.change, model.change],
        hinted,
        [hint.chinese, model],
        [hint.line, hint.english],
        trigger_mode="always_last",
        **_SMALL,
    )
    hint.take_over.click(None, hint.english, prompt, js="(english) => english", **_LOCAL)


def composed_of(genre: str, instruments: list[str], moods: list[str], tempo: str, key: str) -> str:
    """The sentence of the chips that are on."""
    genres = (genre,) if genre else ()
    return compose(Chosen(genres, tuple(instruments), tuple(moods), tempo, bpm_of(tempo), key))


def rolled_dice() -> list[object]:
    """The sentence of a good combination, and the chips that say it."""
    chosen = roll(random.Random())
    (genre,) = chosen.genres
    return [compose(chosen), genre, list(chosen.instruments), list(chosen.moods), chosen.tempo, chosen.key]


def in_language(request: gr.Request) -> list[object]:
    """The chips and tips in this reader's language."""
    language = language_of(request)
    return [
        gr.update(choices=any_or(GENRES, language)),
        gr.update(choices=choices(INSTRUMENTS, language)),
        gr.update(choices=choices(MOODS, language)),
        gr.update(choices=any_or(TEMPI, language)),
        gr.update(choices=any_or(KEYS, language)),
        tips_html(language),
    ]


def hinted(prompt: str, model: str, request: gr.Request) -> list[str]:
    """What to tell whoever writes Chinese to a model that knows only English, and the prompt in English; "" else."""
    if not prompt or not only_english(model):
        return ["", ""]
    language = language_of(request)
    found = in_english(prompt)
    if not found.lines:
        return [_note(say(language, "page.hint.nothing", model=model)), ""]
    said = " / ".join(f'<q lang="en">{html(line)}</q>' for line in found.lines)
    lost = ""
    if found.unknown:
        words = ("、" if language == "zh-CN" else ", ").join(found.unknown)
        lost = f"<br>{html(say(language, 'page.hint.lost', words=words))}"
    return [_note(say(language, "page.hint", model=model), f" {said}{lost}"), found.prompt]


def tips_html(language: str) -> str:
    """What models follow and what not."""
    items = "".join(f"<li>{html(say(language, f'page.tips.{tip}'))}</li>" for tip in TIPS)
    return f'<ul class="mg-tips">{items}</ul>'


def choices(blocks: Sequence[Block], language: str) -> list[tuple[str, str]]:
    """(what the chip says, its English)."""
    return [(_label(block, language), block.english) for block in blocks]


def any_or(blocks: Sequence[Block], language: str) -> list[tuple[str, str]]:
    """The same behind a chip for none of them."""
    return [(say(language, "page.blocks.any"), ""), *choices(blocks, language)]


def _label(block: Block, language: str) -> str:
    word = block.chinese if language == "zh-CN" else block.english
    return f"{word} · {block.bpm} bpm" if block.bpm else word


def _note(words: str, markup: str = "") -> str:
    return f'<p class="mg-note">{html(words)}{markup}</p>'


def _hidden(name: str) -> gr.Textbox:
    return gr.Textbox("", visible="hidden", elem_classes="mg-hidden", label=name, container=False)
