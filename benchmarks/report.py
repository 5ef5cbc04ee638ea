"""The figures as a table, as a chart, and as a section of the README. Text in, text out."""

import math
from collections.abc import Mapping
from html import escape
from typing import Any

REAL_TIME_MS = 20.0  # of music that one step gives
BEGIN, END = "<!-- speed -->", "<!-- /speed -->"

PAPER, INK, RULE, GREY, OURS, RED = "#ffffff", "#1f2430", "#dfe3ea", "#8a93a3", "#1f8a5b", "#c0392b"

Figures = Mapping[str, Any]

STEPS = {  # the rows of the first table and the bars of the chart: figure → label
    "int8_ms": "ours, int8",
    "int4_ms": "ours, int4",
    "float32_ms": "ours, float32",
    "graph_ms": "ours, MindSpore's graph mode (float32)",
    "mindnlp_ms": "MindNLP with our cures (float32)",
    "mindnlp_as_installed_ms": "MindNLP as installed (float32)",
    "torch_bf16_ms": "torch + transformers, bfloat16",
    "torch_f32_ms": "torch + transformers, float32",
}
OTHERS = {  # the rows of the second table: figure → label, format
    "ten_seconds_s": ("10 s of music, text to file, int8", "{:.1f} s"),
    "ten_seconds_int4_s": ("10 s of music, text to file, int4", "{:.1f} s"),
    "first_sound_s": ("from the request to the first sound, int8", "{:.2f} s"),
    "nano_ten_seconds_s": ("10 s of music, text to file, the bundled nano", "{:.1f} s"),
    "nano_first_sound_s": ("from the request to the first sound, nano", "{:.2f} s"),
    "four_takes_ratio": ("a step of four takes in one batch, against one take's", "{:.2f} ×"),
    "codec_s_per_s": ("decoding 1 s of sound", "{:.3f} s"),
    "load_s": ("loading, int8", "{:.1f} s"),
    "first_load_s": ("loading for the first time: the weights are quantised and kept", "{:.1f} s"),
    "peak_gb": ("memory of its own while it loads, peak", "{:.2f} GB"),
    "first_peak_gb": ("the same where the weights are quantised", "{:.2f} GB"),
    "resident_gb": ("memory after loading", "{:.2f} GB"),
    "bandwidth_gb_s": ("what the memory gives to two threads that read", "{:.1f} GB/s"),
    "int8_bandwidth_share": ("of that an int8 step makes use of", "{:.0%}"),
}


def table(figures: Figures) -> str:
    """Two Markdown tables; what was not measured is left out."""
    lines = ["| | ms per step | × real time |", "|---|---:|---:|"]
    for name, label in STEPS.items():
        if figures.get(name) is not None:
            milliseconds = figures[name]
            lines.append(f"| {label} | {_milliseconds(milliseconds)} | {REAL_TIME_MS / milliseconds:.2g} |")
    lines += ["", "| | |", "|---|---:|"]
    for name, (label, form) in OTHERS.items():
        if figures.get(name) is not None:
            lines.append(f"| {label} | {form.format(figures[name])} |")
    return "\n".join(lines) + "\n"


def conditions(figures: Figures) -> str:
    """What was measured, on what, with what: a paragraph in front of the table."""
    machine = figures["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in figures["versions"].items())
    return (
        "musicgen-small's shape with random weights, one take with guidance (a batch of 2), "
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gb']:.0f} GB, {machine['system']}, "
        f"{figures['date']}. All figures are of one run of `make bench`; each is the median of several measurements. "
        "A step is the decoder's, codes in and logits out, as the mean over a take of 500; it gives 20 ms of music. "
        f"Python {machine['python']}, {versions}.\n"
    )


def section(figures: Figures) -> str:
    """The part of the README between the markers."""
    return f"{conditions(figures)}\n![Milliseconds per step](benchmarks/speed.svg)\n\n{table(figures)}"


def with_section(readme: str, content: str) -> str:
    """`readme` with `content` between its markers. Raises ValueError where they are missing."""
    begin, end = readme.find(BEGIN), readme.find(END)
    if begin < 0 or end < begin:
        raise ValueError(f"Expected {BEGIN} and {END} in the README")
    return f"{readme[:begin]}{BEGIN}\n{content}{readme[end:]}"


def chart(figures: Figures) -> str:
    """An SVG: one bar per kind of step on a logarithmic axis, and a line where music plays."""
    bars = [(label, figures[name], name) for name, label in STEPS.items() if figures.get(name) is not None]
    width, left, right, top, pitch = 860, 250, 70, 58, 34
    height = top + pitch * len(bars) + 30
    lowest = 10 ** math.floor(math.log10(min([REAL_TIME_MS, *(ms for _, ms, _ in bars)]) / 2))  # every bar is seen
    highest = 10 ** math.ceil(math.log10(max([10 * lowest, *(ms for _, ms, _ in bars)])))

    def x(milliseconds: float) -> float:
        return left + (width - left - right) * math.log(milliseconds / lowest) / math.log(highest / lowest)

    def text(x: float, y: float, words: str, attributes: str) -> str:
        return f'<text x="{x:.1f}" y="{y}" {attributes}>{escape(words)}</text>'

    def line(x: float, attributes: str) -> str:
        return f'<path d="M{x:.1f} {top - 6}V{height - 26}" {attributes}/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"',
        'font-size="14">',
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
        text(12, 24, "Milliseconds per decoding step, musicgen-small's shape; shorter is better", f'fill="{INK}"'),
    ]
    tick = lowest
    while tick <= highest:
        parts.append(line(x(tick), f'stroke="{RULE}"'))
        parts.append(text(x(tick), height - 9, f"{tick:,}", f'text-anchor="middle" font-size="12" fill="{GREY}"'))
        tick *= 10
    values, over_lines = [], f'paint-order="stroke" stroke="{PAPER}" stroke-width="5"'
    for place, (label, milliseconds, name) in enumerate(bars):
        y, end = top + pitch * place, x(milliseconds)
        colour = OURS if label.startswith("ours") else GREY
        parts.append(text(left - 10, y + 17, label, f'text-anchor="end" fill="{INK}"'))
        parts.append(f'<rect x="{left}" y="{y}" width="{end - left:.1f}" height="24" fill="{colour}" id="{name}"/>')
        values.append(text(end + 6, y + 17, _milliseconds(milliseconds), f'fill="{INK}" {over_lines}'))
    parts.append(line(x(REAL_TIME_MS), f'stroke="{RED}" stroke-dasharray="5 4"'))
    parts += values
    parts.append(text(x(REAL_TIME_MS), top - 10, "real time", f'text-anchor="middle" font-size="12" fill="{RED}"'))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _milliseconds(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
