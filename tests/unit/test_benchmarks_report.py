"""What a run of the benchmarks writes, from figures to text."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks import report
from benchmarks.checkpoint import safetensors_header
from benchmarks.machine import machine

FIGURES = {
    "int8_ms": 16.0,
    "torch_f32_ms": 210.4,
    "mindnlp_as_installed_ms": 5770.0,
    "graph_ms": None,
    "ten_seconds_s": 11.04,
    "int8_bandwidth_share": 0.731,
    "machine": machine(cores=2),
    "versions": {"mindspore": "2.7.0", "torch": "2.13.0"},
    "date": "2026-11-25",
}


def test_the_table_has_a_row_for_what_was_measured():
    table = report.table(FIGURES)
    assert "| ours, int8 | 16.0 | 1.2 |" in table
    assert "| torch + transformers, float32 | 210 | 0.095 |" in table
    assert "| MindNLP as installed (float32) | 5,770 | 0.0035 |" in table
    assert "| 10 s of music, text to file, int8 | 11.0 s |" in table
    assert "| 73% |" in table
    assert "graph" not in table


def test_the_conditions_name_machine_and_versions():
    conditions = report.conditions(FIGURES)
    assert "2 cores" in conditions
    assert "mindspore 2.7.0, torch 2.13.0" in conditions
    assert "2026-11-25" in conditions


def test_the_chart_has_a_bar_for_what_was_measured_and_longer_ones_for_slower_steps():
    chart = ElementTree.fromstring(report.chart(FIGURES))
    bars = {
        bar.get("id"): float(bar.get("width"))
        for bar in chart.iter("{http://www.w3.org/2000/svg}rect")
        if bar.get("id")
    }
    assert list(bars) == ["int8_ms", "mindnlp_as_installed_ms", "torch_f32_ms"]
    assert 0 < bars["int8_ms"] < bars["torch_f32_ms"] < bars["mindnlp_as_installed_ms"]


def test_the_chart_can_be_drawn_of_nothing():
    assert "real time" in report.chart({})


def test_the_readme_keeps_all_but_its_section():
    readme = f"# Name\n\n{report.BEGIN}\nold\n{report.END}\n\n## More\n"
    once = report.with_section(readme, report.section(FIGURES))
    assert once.startswith("# Name\n\n")
    assert once.endswith(f"{report.END}\n\n## More\n")
    assert "old" not in once
    assert "| ours, int8 |" in once
    assert report.with_section(once, report.section(FIGURES)) == once


def test_a_readme_without_the_markers_is_refused():
    with pytest.raises(ValueError, match="speed"):
        report.with_section("# Name\n", "new")


def test_a_written_header_is_read_by_safetensors(tmp_path):
    np = pytest.importorskip("numpy")
    safetensors = pytest.importorskip("safetensors.numpy")
    weights = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([7.0], np.float32)}
    header = safetensors_header({name: value.shape for name, value in weights.items()})
    (tmp_path / "model.safetensors").write_bytes(header + b"".join(value.tobytes() for value in weights.values()))
    read = safetensors.load_file(tmp_path / "model.safetensors")
    assert {name: value.tolist() for name, value in read.items()} == {
        name: value.tolist() for name, value in weights.items()
    }
    assert len(header) % 8 == 0
    assert json.loads(header[8:])["__metadata__"] == {"format": "pt"}
