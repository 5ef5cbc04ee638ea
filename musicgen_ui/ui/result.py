"""The result: one player for all takes of this browser, what can be done with the chosen one, and what made it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from musicgen_ui import hearing
from musicgen_ui.audio import FORMATS
from musicgen_ui.ui import inside
from musicgen_ui.ui.inside import Inside, build_inside
from musicgen_ui.ui.listening import STARTS
from musicgen_ui.ui.shelves import KeptTake, Shelf
from musicgen_ui.ui.strings import html, say, seconds, text
from musicgen_ui.ui.tray import build_tray, file_address, oddities, title_of, tray_html

_LOOP_SCRIPT = Path(__file__).with_name("loop.js")
NO_LOOP = gr.update(value=None, interactive=False)
_EMPTY = """<div class="mg-empty"><svg viewBox="0 0 240 84" aria-hidden="true">
<path d="M8 15h150M30 33h150M52 51h150M74 69h150"/></svg><p>{words}</p></div>"""
_LOUD = ("mode", "prompt", "model", "engine", "seed")  # first in the table
_QUIET = ("stages", "shapes", "script")  # drawn elsewhere


@dataclass(frozen=True)
class Result:
    chooser: gr.State
    """the number of the take that is shown"""
    title: gr.HTML
    heard: gr.HTML
    """what was measured of it, a moment later"""
    player: gr.Audio
    picture: gr.Image
    downloads: gr.HTML
    """links: FLAC and MP3 are made when they are asked for"""
    loop: gr.DownloadButton
    loop_note: gr.HTML
    """of how many bars the loop is, or why there is none, a moment later"""
    tray: gr.HTML
    use: gr.Button
    again: gr.Button
    extend: gr.Button
    record: gr.HTML
    inside: Inside

    @property
    def outputs(self) -> list[gr.blocks.Block]:
        """In the order of `shown`."""
        return [
            self.chooser,
            self.title,
            self.heard,
            self.player,
            self.picture,
            self.downloads,
            self.loop,
            self.loop_note,
            self.tray,
            self.record,
            *self.inside.outputs,
        ]

    @property
    def actions(self) -> list[gr.Button]:
        return [self.use, self.again, self.extend, self.inside.unguided, self.inside.greedy]


def build_result() -> Result:
    """What of it is seen, style.css decides, by whether there is a title: in Gradio 6.17 an event with a Column among
    its outputs breaks the page when it fails."""
    gr.HTML(_EMPTY.format(words=text("page.result.empty")), elem_id="mg-nothing")
    with gr.Column(elem_id="mg-result"):
        chooser = gr.State(None)
        title = gr.HTML()
        heard = gr.HTML(elem_classes="mg-heard-facts")
        player = gr.Audio(
            interactive=False,
            label=text("page.result.player"),
            show_label=False,
            buttons=[],
            waveform_options=gr.WaveformOptions(waveform_color="#9b988d", waveform_progress_color="#22806d"),
            elem_classes="mg-player",
        )
        picture = gr.Image(
            interactive=False,
            label=text("page.result.picture"),
            show_label=False,
            container=False,
            buttons=[],
            elem_classes="mg-picture",
        )
        with gr.Row(elem_classes="mg-actions"):
            use = gr.Button(text("page.result.use"), size="sm", min_width=0)
            extend = gr.Button(text("page.result.extend"), size="sm", min_width=0, elem_classes=STARTS)
            again = gr.Button(text("page.result.again"), size="sm", min_width=0, elem_classes=STARTS)
        with gr.Row(elem_classes="mg-downloads"):
            gr.HTML(f"<span>{text('page.result.download')}</span>", elem_classes="mg-chips-label")
            downloads = gr.HTML()
            loop = gr.DownloadButton(
                text("page.result.loop"),  # type: ignore[arg-type]  # it is translated like any label
                size="sm",
                min_width=0,
                interactive=False,
            )
        loop_note = gr.HTML(
            head=f"<script>{_LOOP_SCRIPT.read_text(encoding='utf-8')}</script>",
            js_on_load="window.loopPlayer ??= new LoopPlayer(element)",
            elem_classes=["mg-note", "mg-loop"],
        )
        tray = build_tray()
        with gr.Accordion(text("page.result.record"), open=False, elem_classes="mg-fold"):
            record = gr.HTML()
        with gr.Accordion(text("page.inside"), open=False, elem_classes="mg-fold"):
            opened = build_inside()
    return Result(
        chooser,
        title,
        heard,
        player,
        picture,
        downloads,
        loop,
        loop_note,
        tray,
        use,
        again,
        extend,
        record,
        opened,
    )


def shown(take: KeptTake, shelf: Shelf, language: str) -> list[object]:
    """Updates for `Result.outputs` that show `take` of `shelf`."""
    return [
        take.number,
        title_html(take, language),
        "",
        str(take.wav),
        str(take.picture),
        downloads_html(take),
        NO_LOOP,
        "",
        tray_html(shelf, take.number, language),
        record_html(take.record, language),
        *inside.shown(take, language),
    ]


def renewed(take: KeptTake, shelf: Shelf, language: str) -> list[object]:
    """Updates for `Result.outputs` after a change of names: title and tray; the rest plays on."""
    sound = unchanged(6)  # from what was heard to the loop's line
    tray = tray_html(shelf, take.number, language)
    return [gr.skip(), title_html(take, language), *sound, tray, *unchanged(4)]


def nothing() -> list[object]:
    """Updates for `Result.outputs` that show no take."""
    return [None, "", "", None, None, "", NO_LOOP, "", "", "", "", "", ""]


def unchanged(count: int) -> list[object]:
    return [gr.skip()] * count


def title_html(take: KeptTake, language: str) -> str:
    made_by = (str(take.record[name]) for name in ("model", "engine") if name in take.record)
    facts = [seconds(language, take.seconds), *made_by]
    facts += oddities(take, language)
    return f'<div class="mg-title"><h2>{html(title_of(take, language))}</h2><p>{html(" · ".join(facts))}</p></div>'


def downloads_html(take: KeptTake) -> str:
    links = (
        f'<a href="takes/{take.folder.name}/{take.wav.stem}.{suffix}" download>{suffix.upper()}</a>'
        for suffix in FORMATS
    )
    return f"<span>{''.join(links)}</span>"


def heard_html(take: KeptTake, language: str, followed: float | None = None) -> str:
    """Tempo, key and loudness of the take, and a word where its prompt asked otherwise.

    followed: how well its clip's tune was (`hearing.chroma_cosine`), and what that means.
    """
    heard, prompt = take.heard, str(take.record.get("prompt") or "")
    facts, amiss = [], []
    if heard.tempo is not None:
        facts.append(say(language, "page.heard.tempo", bpm=round(heard.tempo)))
        bpm = hearing.asked_tempo(prompt)
        if bpm and not hearing.is_tempo(heard.tempo, bpm):
            amiss.append(say(language, "page.heard.tempo", bpm=bpm))
    if heard.tonic is not None and heard.mode is not None:
        facts.append(_key_name(heard.tonic, heard.mode, language))
        asked = hearing.asked_key(prompt)
        if asked and asked != (heard.tonic, heard.mode):
            amiss.append(_key_name(*asked, language))
    if heard.loudness is not None:
        facts.append(f"{heard.loudness:.1f} LUFS".replace("-", "−"))
    if followed is not None:
        facts.append(say(language, "page.heard.followed", share=f"{max(0.0, followed):.2f}"))
    if not facts:
        return ""
    asked_for = say(language, "page.heard.asked", what=" · ".join(amiss)) if amiss else ""
    meaning = "" if followed is None else note_html(say(language, "page.heard.followed.what"))
    amiss_html = f'<p class="mg-amiss">{html(asked_for)}</p>' if amiss else ""
    return f"<p>{html(' · '.join(facts))}</p>{meaning}{amiss_html}"


def _key_name(tonic: int, mode: str, language: str) -> str:
    return say(language, f"page.heard.{mode}", tonic=hearing.TONICS[tonic])


def loop_html(take: KeptTake, language: str) -> str:
    """Of how many bars it is, and a button that plays it on and on (loop.js). Raises as `KeptTake.loop`."""
    path, loop = take.loop
    play, pause = (html(say(language, f"page.result.loop.{name}")) for name in ("play", "pause"))
    time = seconds(language, loop.seconds)
    words = say(language, "page.result.loop.info", what=loop.told(language), time=time)
    return (
        f'<button type="button" class="mg-play" aria-label="{play}" data-pause="{pause}"'
        f' data-sound="{html(file_address(path))}" data-rate="{take.sampling_rate}"></button>{note_html(words)}'
    )


def note_html(words: str) -> str:
    return f"<p>{html(words)}</p>"


def record_html(record: Mapping[str, object], language: str) -> str:
    """All that made a take as a table. Everything is escaped: prompts and file names are the user's."""
    names = [name for name in _LOUD if name in record]
    names += [name for name in record if name not in names and name not in _QUIET]
    rows = "".join(
        f'<tr><th scope="row"><code>{html(name)}</code></th><td>{html(_plain(record[name]))}</td></tr>'
        for name in names
    )
    heads = (say(language, "page.config.parameter"), say(language, "page.record.value"))
    head = "".join(f'<th scope="col">{html(word)}</th>' for word in heads)
    return f'<table class="mg-record"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_plain(item)}" for key, item in value.items()) or "–"
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(item) for item in value) or "–"
    return "–" if value is None or value == "" else str(value)
