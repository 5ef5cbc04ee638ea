"""The "Inside" view: MusicGen's three stages, and the codebook delay pattern of the take just made.

Only numbers and our own words go into these drawings.
"""

import numpy as np

from musicgen_ui.ui.strings import html, say, seconds

STEPS = 40
_CELL, _STRIDE, _LABEL = 15, 18, 46
_HUES = (168, 38, 205, 338)
STAGES = ("text_encoder", "clip_encoder", "chroma", "decoder", "codec")
_ALWAYS = ("text_encoder", "decoder", "codec")  # the three of the paper; a clip adds a fourth


def draw_inside(record: dict, codes: np.ndarray, channels: int, language: str) -> str:
    """HTML of the stages with this take's seconds, and of `codes` (codebooks, frames) with and without delay."""
    return f'<div class="mg-inside">{_stages(record, language)}{_pattern(codes, channels, language)}</div>'


def _stages(record: dict, language: str) -> str:
    spent = record.get("stages") or {}
    boxes = []
    for stage in STAGES:
        time = spent.get(stage)
        if time is None and stage not in _ALWAYS:
            continue
        took = seconds(language, float(time)) if isinstance(time, (int, float)) else "–"
        boxes.append(
            f"<li><strong>{html(say(language, f'page.inside.{stage}'))}</strong>"
            f"<span>{html(say(language, f'page.inside.{stage}.what'))}</span><em>{html(took)}</em></li>"
        )
    return f'<ol class="mg-stages">{"".join(boxes)}</ol>'


def _pattern(codes: np.ndarray, channels: int, language: str) -> str:
    count = codes.shape[0]
    delays = [row // max(channels, 1) for row in range(count)]  # stereo: left and right share a delay
    undone = [[(step, int(codes[row, step])) for step in range(min(STEPS, codes.shape[1]))] for row in range(count)]
    delayed = [
        [(step + delays[row], code) for step, code in cells if step + delays[row] < STEPS]
        for row, cells in enumerate(undone)
    ]
    most = max(1, int(codes.max(initial=1)))
    figures = []
    for key, rows in (("page.inside.delayed", delayed), ("page.inside.undone", undone)):
        title = say(language, key)
        figures.append(f"<figure><figcaption>{html(title)}</figcaption>{_grid(rows, delays, most, title)}</figure>")
    return f"<p>{html(say(language, 'page.inside.pattern'))}</p>{''.join(figures)}"


def _grid(rows: list[list[tuple[int, int]]], delays: list[int], most: int, title: str) -> str:
    width, height = _LABEL + STEPS * _STRIDE, len(rows) * _STRIDE + 26
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html(title)}">']
    for row, cells in enumerate(rows):
        y = row * _STRIDE
        parts.append(f'<text x="{_LABEL - 10}" y="{y + 12}" text-anchor="end">{row + 1}</text>')
        hue = _HUES[delays[row] % len(_HUES)]
        filled = dict(cells)
        for step in range(STEPS):
            x = _LABEL + step * _STRIDE
            shape = f'<rect x="{x}" y="{y}" width="{_CELL}" height="{_CELL}" rx="3" '
            if step in filled:
                lightness = 32 + 42 * filled[step] // most
                parts.append(f'{shape}fill="hsl({hue} 52% {lightness}%)"><title>{filled[step]}</title></rect>')
            else:
                parts.append(f'{shape}class="mg-pad"/>')
    for step in range(0, STEPS, 10):
        middle = _LABEL + step * _STRIDE + _CELL / 2
        parts.append(f'<text x="{middle}" y="{height - 4}" text-anchor="middle">{step}</text>')
    return "".join(parts) + "</svg>"
