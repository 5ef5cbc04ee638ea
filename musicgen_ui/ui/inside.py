"""The "Inside" view: MusicGen's three stages, what T5 read, the codebook delay pattern, and the code of a take.

Only numbers, our own words and escaped ones go into these drawings.
"""

import base64
import colorsys
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gradio as gr
import numpy as np
from PIL import Image

from musicgen_ui.take import NOTHING_READ, TextTokens
from musicgen_ui.ui.listening import STARTS
from musicgen_ui.ui.shelves import KeptTake
from musicgen_ui.ui.strings import html, say, seconds, text

STEPS = 16
"""how many are drawn large"""
_FRAMED = 3  # the frame whose tokens are framed, from 0
_CELL, _HIGH, _STRIDE, _ROW, _LABEL = 31, 19, 34, 23, 40
_HUES = (168, 38, 205, 338)
_START = -1  # the start token, where there is no code
STAGES = ("text_encoder", "clip_encoder", "chroma", "decoder", "codec")
_ALWAYS = ("text_encoder", "decoder", "codec")  # the three of the paper; a clip adds a fourth
_PAPER = "https://arxiv.org/abs/2306.05284"


@dataclass(frozen=True)
class Inside:
    drawing: gr.HTML
    unguided: gr.Button
    greedy: gr.Button
    code: gr.Code
    notes: gr.HTML

    @property
    def outputs(self) -> list[gr.blocks.Block]:
        """In the order of `shown`."""
        return [self.drawing, self.code, self.notes]


def build_inside() -> Inside:
    drawing = gr.HTML()
    with gr.Row(elem_classes="mg-actions"):
        unguided = gr.Button(text("page.inside.unguided"), size="sm", min_width=0, elem_classes=STARTS)
        greedy = gr.Button(text("page.inside.greedy"), size="sm", min_width=0, elem_classes=STARTS)
    gr.HTML(f'<p class="mg-note">{text("page.inside.compare")}</p>')
    with gr.Accordion(text("page.code"), open=False, elem_classes="mg-fold"):
        code = gr.Code(
            language="python",
            interactive=False,
            label=text("page.code.label"),
            show_label=False,
            container=False,
            show_line_numbers=False,
            wrap_lines=True,
            buttons=["copy", "download"],
            elem_classes="mg-code",
        )
        notes = gr.HTML()
    return Inside(drawing, unguided, greedy, code, notes)


def shown(take: KeptTake, language: str) -> list[object]:
    """Updates for `Inside.outputs`."""
    drawing = draw_inside(take.record, take.codes, take.channels, language, take.text)
    return [drawing, take.record.get("script", ""), code_notes(take.record, take.complete, language)]


def draw_inside(
    record: Mapping, codes: np.ndarray, channels: int, language: str, read: TextTokens = NOTHING_READ
) -> str:
    """HTML of the stages with this take's seconds and shapes, of what T5 read, and of `codes` (codebooks, frames)
    with and without delay."""
    parts = (
        _stages(record, language),
        _text_tokens(record, read, language),
        _pattern(record, codes, max(channels, 1), language),
    )
    return f'<div class="mg-inside">{"".join(parts)}</div>'


def _stages(record: Mapping, language: str) -> str:
    spent, shapes = record.get("stages") or {}, record.get("shapes") or {}
    boxes = []
    for stage in STAGES:
        time = spent.get(stage)
        if time is None and stage not in _ALWAYS:
            continue
        took = seconds(language, float(time)) if isinstance(time, (int, float)) else "–"
        shape = ""
        if stage in shapes:
            sizes = " × ".join(f"{size:,}" for size in shapes[stage])
            shape = f"<code>{sizes}</code><small>{html(say(language, f'page.inside.{stage}.shape'))}</small>"
        if stage == "decoder" and record.get("guidance_scale"):
            rows = "guided" if record["guidance_scale"] > 1 else "unguided_rows"
            shape += f"<small>{html(say(language, f'page.inside.{rows}'))}</small>"
        boxes.append(
            f"<li><strong>{html(say(language, f'page.inside.{stage}'))}</strong>"
            f"<span>{html(say(language, f'page.inside.{stage}.what'))}</span>{shape}<em>{html(took)}</em></li>"
        )
    return f'<ol class="mg-stages">{"".join(boxes)}</ol>'


def _text_tokens(record: Mapping, read: TextTokens, language: str) -> str:
    if not read.read:
        return f"<p>{html(say(language, 'page.inside.text.none'))}</p>"
    items = "".join(
        f"<li{' class=mg-special' if token.special else ''}><b>{html(token.piece)}</b><i>{token.id}</i></li>"
        for token in read.read
    )
    facts = [say(language, "page.inside.text", count=len(read.read))]
    if read.cut:
        facts.append(say(language, "page.inside.text.cut", count=read.cut, limit=len(read.read)))
    padding = (record.get("shapes") or {}).get("text_encoder", [0])[0] - len(read.read)
    if padding > 0:
        facts.append(say(language, "page.inside.text.padded", count=padding))
    return f'<p>{html(" ".join(facts))}</p><ol class="mg-tokens">{items}</ol>'


def _pattern(record: Mapping, codes: np.ndarray, channels: int, language: str) -> str:
    lags = [row // channels for row in range(len(codes))]  # stereo: left and right share a lag
    given = ((record.get("shapes") or {}).get("clip_encoder") or [0, 0])[1]  # frames of the clip
    delayed = _delayed(codes, lags)
    frames = np.arange(codes.shape[1])
    framed = min(_FRAMED, codes.shape[1] - 1)
    names = [_row_name(row, channels, language) for row in range(len(codes))]
    figures = []
    for key, columns, of_frame in (
        ("page.inside.delayed", delayed, _delayed(np.tile(frames, (len(codes), 1)), lags)),
        ("page.inside.undone", codes, np.tile(frames, (len(codes), 1))),
    ):
        title = say(language, key)
        grid = _grid(columns[:, :STEPS], of_frame[:, :STEPS], lags, given, framed, names, title)
        figures.append(f"<figure><figcaption>{html(title)}</figcaption>{grid}</figure>")
    legend = [("mg-is-start", "page.inside.legend.start"), ("mg-is-framed", "page.inside.legend.framed")]
    if given:
        legend.append(("mg-is-given", "page.inside.legend.given"))
    items = "".join(
        f'<li class="{name}">{html(say(language, key, frame=framed, count=len(codes)))}</li>' for name, key in legend
    )
    source = f'<a href="{_PAPER}" target="_blank" rel="noreferrer">{html(say(language, "page.inside.paper"))}</a>'
    return (
        f"<p>{html(say(language, 'page.inside.pattern'))} {source}</p>{''.join(figures)}"
        f'<ul class="mg-legend">{items}</ul>{_whole(delayed, lags, given, language)}'
    )


def _delayed(values: np.ndarray, lags: Sequence[int]) -> np.ndarray:
    """values (codebooks, frames) as they are generated, (codebooks, steps): step 0 and what the delay leaves open hold
    `_START`; frame f of a codebook that lags by k steps is made in step 1 + k + f."""
    rows, frames = values.shape
    steps = np.full((rows, 1 + frames + max(lags, default=0)), _START, np.int64)
    for row, lag in enumerate(lags):
        steps[row, 1 + lag : 1 + lag + frames] = values[row]
    return steps


def _grid(
    codes: np.ndarray,
    of_frame: np.ndarray,
    lags: Sequence[int],
    given: int,
    framed: int,
    names: Sequence[str],
    title: str,
) -> str:
    """SVG of codes (codebooks, steps ≤ STEPS) with the frame that each belongs to."""
    width, height = _LABEL + STEPS * _STRIDE, len(codes) * _ROW + 18
    most = max(1, int(codes.max(initial=1)))
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html(title)}">']
    for row, (name, values) in enumerate(zip(names, codes, strict=True)):
        y = row * _ROW + 2
        parts.append(f'<text x="{_LABEL - 8}" y="{y + 14}" text-anchor="end">{html(name)}</text>')
        for step, code in enumerate(values):
            x = _LABEL + step * _STRIDE
            shape = f'<rect x="{x}" y="{y}" width="{_CELL}" height="{_HIGH}" rx="3" '
            if code == _START:
                parts.append(f'{shape}class="mg-pad"/>')
                continue
            frame = int(of_frame[row, step])
            hue, saturation, lightness = _colour(lags[row], int(code), most, frame < given)
            kind = ' class="mg-framed"' if frame == framed else ""
            parts.append(
                f'{shape}fill="hsl({hue} {saturation}% {lightness}%)"{kind}/>'
                f'<text x="{x + _CELL / 2}" y="{y + 13.5}" text-anchor="middle"'
                f' class="mg-on-{"light" if lightness > 52 else "dark"}">{code}</text>'
            )
    for step in range(0, codes.shape[1], 5):
        middle = _LABEL + step * _STRIDE + _CELL / 2
        parts.append(f'<text x="{middle}" y="{height - 3}" text-anchor="middle">{step}</text>')
    return "".join(parts) + "</svg>"


def _whole(delayed: np.ndarray, lags: Sequence[int], given: int, language: str) -> str:
    """All steps as a picture of a pixel each; what is drawn large is marked."""
    rows, steps = delayed.shape
    most = max(1, int(delayed.max(initial=1)))
    pixels = np.zeros((rows, steps, 4), np.uint8)  # start tokens stay transparent
    for row, lag in enumerate(lags):
        made = np.flatnonzero(delayed[row] != _START)
        colours = [_colour(lag, int(delayed[row, step]), most, step - 1 - lag < given) for step in made]
        pixels[row, made, :3] = [
            [round(255 * part) for part in colorsys.hls_to_rgb(hue / 360, light / 100, strength / 100)]
            for hue, strength, light in colours
        ]
        pixels[row, made, 3] = 255
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png")
    title = html(say(language, "page.inside.whole", steps=steps))
    source = base64.b64encode(content.getvalue()).decode()
    return (
        f'<figure class="mg-whole"><figcaption>{title}</figcaption><div>'
        f'<img src="data:image/png;base64,{source}" alt="{title}" style="height: {rows * 9}px">'
        f'<i style="width: {min(100, 100 * STEPS / steps):.2f}%"></i></div></figure>'
    )


def _colour(lag: int, code: int, most: int, given: bool) -> tuple[int, int, int]:
    """Hue (degrees), saturation and lightness (%): the hue tells the codebook, the lightness the code."""
    return _HUES[lag % len(_HUES)], 7 if given else 52, 32 + 42 * code // most


def _row_name(row: int, channels: int, language: str) -> str:
    """Codebooks count from 1; of stereo, left and right alternate."""
    number = str(row // channels + 1)
    return number if channels == 1 else say(language, f"page.inside.{('left', 'right')[row % 2]}", number=number)


def code_notes(record: Mapping, complete: bool, language: str) -> str:
    """What to know of the script: how to run it, what our imports are for, what the take's engine did otherwise."""
    script = record.get("script", "")
    if not script:
        return ""
    notes = [("run", {}), ("cures", {"version": (record.get("versions") or {}).get("mindnlp", "")})]
    if record.get("clip"):
        notes.insert(1, ("clip", {"clip": record["clip"]}))
    if record.get("do_sample"):
        notes.append(("draw", {"seed": record.get("seed")}))
    if "chroma" in (record.get("stages") or {}):
        notes.append(("chroma", {}))
    notes.append(("windows" if "hand_out_codes" in script else "decode", {}))
    engine = record.get("engine")
    if engine in ("graph", "float32"):
        notes.append(("exact", {"engine": engine}))
    elif engine in ("mindnlp", "int8", "int4"):
        notes.append((str(engine), {}))
    if not complete:
        notes.append(("stopped", {}))
    items = "".join(f"<li>{_marked(say(language, f'page.code.{key}', **params))}</li>" for key, params in notes)
    return f'<ul class="mg-code-notes">{items}</ul>'


def _marked(sentence: str) -> str:
    """Escaped, with what stands between backticks as code."""
    parts = html(sentence).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))
