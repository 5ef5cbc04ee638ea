"""The bundled checkpoints on MindNLP against plain torch + transformers: greedy codes equal, sound within 1e-3.

The reference values are stored; `python -m tests.reference.make_bundled` makes them again after an export.
"""

from pathlib import Path

import numpy as np
import pytest

from musicgen_ui.checkpoints import MENU
from musicgen_ui.request import Clip, Settings
from tests.reference.cases import CASES, SAMPLING_RATE, STRIDE, TOKENS

REFERENCE = np.load(Path(__file__).parents[1] / "reference" / "bundled.npz")
SETTINGS = Settings(max_new_tokens=TOKENS, do_sample=False, guidance_scale=3.0)


def hold(name: str, takes) -> None:
    codes = REFERENCE[f"{name}/codes"]
    assert len(takes) == len(codes)
    for row, take in enumerate(takes):
        np.testing.assert_array_equal(take.codes, codes[row])
        audio, peak = REFERENCE[f"{name}/audio{row}"], REFERENCE[f"{name}/peak{row}"]
        worst = np.abs(take.samples[:, ::STRIDE] - audio).max() / peak
        assert worst < 1e-3, f"row {row}: off by {worst:.1e} of the peak"


@pytest.fixture(scope="module")
def bundled(pipeline):
    return lambda name: pipeline.load(name, MENU[name].folder)


@pytest.fixture(params=["graph", "float32"])
def engine(request):
    return request.param


def test_text(bundled, engine):
    prompts = ["slow bells in D minor", "轻快的钢琴曲，有鼓"]
    hold("text", bundled("nano").generate(prompts, SETTINGS, engine=engine))


def test_clip(bundled, engine):
    clips = [Clip(sound, SAMPLING_RATE) for sound in CASES["clip"].sounds]
    hold("clip", bundled("nano").generate_continuation(clips, [""], settings=SETTINGS, engine=engine))


def test_melody(bundled, engine):
    clips = [Clip(sound, SAMPLING_RATE) for sound in CASES["melody-clip"].sounds]
    takes = bundled("nano-melody").generate_with_chroma(
        clips, ["flute waltz, no drums"], settings=SETTINGS, engine=engine
    )
    hold("melody", takes)
