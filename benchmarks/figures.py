"""From what the subjects measured to the figures that are told."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.weighting import mean_of_take

NAMES = (
    "int8_ms", "int4_ms", "float32_ms", "graph_ms", "mindnlp_ms", "mindnlp_as_installed_ms", "torch_f32_ms",
    "torch_bf16_ms", "bandwidth_gb_s", "int8_bandwidth_share", "four_takes_ratio", "ten_seconds_s",
    "ten_seconds_int4_s", "first_sound_s", "nano_ten_seconds_s", "nano_first_sound_s", "codec_s_per_s", "load_s",
    "first_load_s", "peak_gb", "first_peak_gb", "resident_gb",
)  # fmt: skip


def figures_of(runs: Mapping[str, Mapping[str, Any]], take: int) -> dict[str, float | None]:
    """All of NAMES, to four digits; None where the subject it comes from is missing in `runs`.

    Steps are the mean of a take of `take`. See `SUBJECTS` in __main__.py for who measures what.
    """
    figures: dict[str, float | None] = dict.fromkeys(NAMES)

    def step(times: Mapping[str, list[float]]) -> float:
        return mean_of_take({int(position): each for position, each in times.items()}, take)

    for subject, name in (
        ("mindnlp", "mindnlp_ms"),
        ("as-installed", "mindnlp_as_installed_ms"),
        ("torch-f32", "torch_f32_ms"),
        ("torch-bf16", "torch_bf16_ms"),
    ):
        if subject in runs:
            figures[name] = step(runs[subject]["positions_ms"])
    for engine in ("int8", "int4", "float32", "graph"):
        if engine in runs:
            figures[f"{engine}_ms"] = step(runs[engine]["rows_ms"]["2"])
    if "bandwidth" in runs:
        figures["bandwidth_gb_s"] = median(runs["bandwidth"]["gb_s"])
    if "int8" in runs:
        milliseconds = step(runs["int8"]["rows_ms"]["2"])
        figures["four_takes_ratio"] = step(runs["int8"]["rows_ms"]["8"]) / milliseconds
        if "bandwidth" in runs:
            gigabytes = sum(runs["int8"]["rows_bytes"]["2"].values()) / 1e9  # in the middle of the take: the mean
            figures["int8_bandwidth_share"] = gigabytes / (milliseconds / 1e3) / median(runs["bandwidth"]["gb_s"])
    for subject, prefix, suffix in (("takes", "", ""), ("takes-int4", "", "_int4"), ("nano", "nano_", "")):
        if subject in runs:
            figures[f"{prefix}ten_seconds{suffix}_s"] = median(runs[subject]["to_file_s"])
    for subject, name in (("takes", "first_sound_s"), ("nano", "nano_first_sound_s")):
        if subject in runs:
            figures[name] = median(runs[subject]["to_first_sound_s"])
    if "takes" in runs:
        figures["codec_s_per_s"] = median(runs["takes"]["codec_s_per_s"])
    if "first-load" in runs:
        figures["first_load_s"] = runs["first-load"]["load_s"]
        figures["first_peak_gb"] = runs["first-load"]["peak_bytes"] / 1e9
    loads = [run for name, run in runs.items() if name.startswith("load-")]
    if loads:
        figures["load_s"] = median(load["load_s"] for load in loads)
        figures["peak_gb"] = max(load["peak_bytes"] for load in loads) / 1e9
        figures["resident_gb"] = median(load["resident_bytes"] for load in loads) / 1e9
    return {name: value if value is None else float(f"{value:.4g}") for name, value in figures.items()}
