"""How a process ends at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENDS = """if True:
    import atexit, multiprocessing, time
    from musicgen_ui.ending import end_at_once
    if __name__ == "__main__":
        atexit.register(print, "the ordinary way")
        multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,)).start()
        print("x" * 100)
        end_at_once({code})
"""


def ended(code: int, output) -> subprocess.CompletedProcess:
    """`output` hears of what was printed at the end, as in a pipe."""
    environment = os.environ | {"PYTHONUNBUFFERED": ""}
    script = ENDS.format(code=code)
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, stdout=output, timeout=60)


@pytest.mark.parametrize("code", [0, 3])
def test_what_was_printed_is_read_and_nothing_else_is_waited_for(code: int) -> None:
    process = ended(code, subprocess.PIPE)
    assert (process.returncode, process.stdout) == (code, b"x" * 100 + b"\n")


@pytest.mark.parametrize(("code", "told"), [(0, 1), (3, 3)])
def test_what_cannot_be_printed_is_a_fault(code: int, told: int) -> None:
    with Path("/dev/full").open("wb") as full:
        process = ended(code, full)
    assert process.returncode == told
