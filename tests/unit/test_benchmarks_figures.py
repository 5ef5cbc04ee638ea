"""From what the benchmarks' subjects measure to the figures that are told."""

import pytest

from benchmarks import report
from benchmarks.figures import NAMES, figures_of


def at_every_position(milliseconds):
    return {"16": [milliseconds] * 5, "250": [milliseconds] * 5, "490": [milliseconds] * 5}


TAKE = {"to_file_s": [9.0, 8.0, 10.0], "to_first_sound_s": [0.7, 0.9, 0.8], "codec_s_per_s": [0.1, 0.1, 0.2]}
RUNS = {
    "bandwidth": {"gb_s": [19.0, 20.0, 40.0]},
    "int8": {
        "rows_ms": {"2": at_every_position(25.0), "8": at_every_position(50.0)},
        "rows_bytes": {"2": {"weights": 350_000_000, "cache": 50_000_000}},
    },
    "torch-f32": {"positions_ms": {"16": [100.0], "250": [123.4], "490": [147.4]}},
    "takes": TAKE,
    "takes-int4": TAKE,
    "nano": TAKE,
    "first-load": {"load_s": 9.0, "peak_bytes": 3e9, "resident_bytes": 2e9},
    "load-1": {"load_s": 1.0, "peak_bytes": 1e9, "resident_bytes": 2e9},
    "load-2": {"load_s": 1.2, "peak_bytes": 2e9, "resident_bytes": 1e9},
    "load-3": {"load_s": 8.0, "peak_bytes": 1e9, "resident_bytes": 1.5e9},
}


def test_what_was_not_measured_is_null():
    assert figures_of({}, 500) == dict.fromkeys(NAMES)


def test_each_figure_comes_from_its_subject():
    figures = figures_of(RUNS, 500)
    assert [name for name, value in figures.items() if value is None] == [
        "int4_ms",
        "float32_ms",
        "graph_ms",
        "mindnlp_ms",
        "mindnlp_as_installed_ms",
        "torch_bf16_ms",
    ]
    assert figures["int8_ms"] == 25
    assert figures["four_takes_ratio"] == 2
    assert figures["int8_bandwidth_share"] == pytest.approx(0.4 / 0.025 / 20)
    assert figures["torch_f32_ms"] == pytest.approx(100 + 0.1 * (249.5 - 16), rel=1e-3)
    assert (figures["ten_seconds_s"], figures["first_sound_s"], figures["codec_s_per_s"]) == (9, 0.8, 0.1)
    assert (figures["load_s"], figures["first_load_s"]) == (1.2, 9)
    assert (figures["peak_gb"], figures["first_peak_gb"], figures["resident_gb"]) == (2, 3, 1.5)


def test_every_figure_has_a_row_in_the_tables():
    assert set(NAMES) == {*report.STEPS, *report.OTHERS}
