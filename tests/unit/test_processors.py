"""How many processors are counted."""

import os

import pytest

from musicgen_ui.processors import processors


@pytest.mark.parametrize(
    ("quota", "cores", "most"),
    [("max 100000", None, 10_000), ("100000 100000", None, 1), ("50000 100000", None, 1), ("nonsense", "1", 1),
     (None, "1", 1), (None, "two", 10_000), (None, "0", 1)],
)  # fmt: skip
def test_the_smallest_of_what_is_said_counts(quota, cores, most, tmp_path):
    file = tmp_path / "cpu.max"
    if quota:
        file.write_text(quota)
    environment = {"CPU_CORES": cores} if cores else {}
    assert processors(environment, file) == min(most, len(os.sched_getaffinity(0)))
