"""The tray: all takes of this browser, each to be played, chosen, named, marked or deleted (tray.js)."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import gradio as gr

from musicgen_ui.ui.shelves import KeptTake, Shelf
from musicgen_ui.ui.strings import html, say, seconds

_SCRIPT = Path(__file__).with_name("tray.js")


def build_tray() -> gr.HTML:
    """Its event "act" brings {take, act, name}, act being choose, favourite, rename or delete; "restore" {take}."""
    return gr.HTML(
        head=f"<script>{_SCRIPT.read_text(encoding='utf-8')}</script>",
        js_on_load="new Tray(element, (detail) => trigger(detail.act === 'restore' ? 'restore' : 'act', detail))",
        elem_id="mg-tray",
    )


def tray_html(shelf: Shelf, chosen: int, language: str) -> str:
    """Newest first; nothing where there are no takes. Names and prompts are the user's, and escaped."""
    if not shelf.takes:
        return ""
    words = {
        name: html(say(language, f"page.tray.{name}"))
        for name in ("title", "all", "play", "pause", "favourite", "rename", "name", "restore", "delete", "hint")
    }
    hint = f'<p class="mg-note">{words["hint"]}</p>' if len(shelf.takes) > 1 else ""
    rows = "".join(_row(take, shelf.takes, take.number == chosen, words, language) for take in _order(shelf.takes))
    return (
        f'<section aria-labelledby="mg-tray-title"><header><h3 id="mg-tray-title">{words["title"]}</h3>'
        f'<a href="takes/{shelf.folder.name}.zip" download="takes.zip">{words["all"]}</a></header>'
        f"<ol>{rows}</ol>{hint}</section>"
    )


def clicked(event: gr.EventData) -> tuple[int, str, str]:
    """Take, act and name that an event of the tray brings; 0 and "" for what isn't there, for it is a stranger's."""
    told = event._data if isinstance(event._data, dict) else {}
    take, act, name = (told.get(key) for key in ("take", "act", "name"))
    return take if isinstance(take, int) else 0, act if isinstance(act, str) else "", str(name or "")


def title_of(take: KeptTake, language: str) -> str:
    """Its name, else its prompt, else what kind of take it is."""
    return take.name or str(take.record.get("prompt") or say(language, f"page.result.untitled.{take.ask.mode}"))


def oddities(take: KeptTake, language: str) -> list[str]:
    """What sets it apart from takes as they usually are, in a word each."""
    record = take.record
    odd = {
        "greedy": record.get("do_sample") is False,
        "unguided": record.get("guidance_scale") == 1 and bool(record.get("prompt")),
        "partial": not take.complete,
    }
    return [say(language, f"page.result.{name}") for name, so in odd.items() if so]


def _order(takes: Mapping[int, KeptTake]) -> list[KeptTake]:
    return [takes[number] for number in sorted(takes, reverse=True)]


def _row(take: KeptTake, takes: Mapping[int, KeptTake], chosen: bool, words: Mapping[str, str], language: str) -> str:
    title = html(title_of(take, language))
    facts = [say(language, "page.tray.seed", seed=take.record.get("seed", "–")), seconds(language, take.seconds)]
    if len({other.record.get("model") for other in takes.values()}) > 1:
        facts.append(str(take.record.get("model", "")))
    facts += oddities(take, language)
    bars = "".join(
        f'<rect x="{4 * i}" y="{20 - height / 5:g}" width="2.4" height="{max(1.5, height / 2.5):g}" rx="1"/>'
        for i, height in enumerate(take.outline)
    )
    wave = f'<svg viewBox="0 0 {4 * len(take.outline)} 40" preserveAspectRatio="none" aria-hidden="true">{bars}</svg>'
    current = ' aria-current="true"' if chosen else ""
    tools = "".join(
        f'<button type="button" data-act="{act}" title="{words[act]}" aria-label="{words[act]}: {title}"{more}>'
        "</button>"
        for act, more in (
            ("favourite", f' aria-pressed="{str(take.favourite).lower()}"'),
            ("rename", f' data-label="{words["name"]}"'),
            ("restore", ""),
            ("delete", ""),
        )
    )
    return (
        f'<li data-take="{take.number}"{current}>'
        f'<button type="button" class="mg-play" aria-label="{words["play"]}: {title}"'
        f' data-pause="{words["pause"]}: {title}" data-sound="{html(file_address(take.wav))}"></button>'
        f'<button type="button" class="mg-pick" data-act="choose"><strong>{title}</strong>'
        f"<small>{html(' · '.join([str(take.number), *facts]))}</small>{wave}</button>"
        f'<span class="mg-tools">{tools}</span></li>'
    )


def file_address(path: Path) -> str:
    """Where the browser gets a file of Gradio's cache folder, relative to the page."""
    return f"gradio_api/file={quote(path.as_posix())}"
