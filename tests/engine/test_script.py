"""The code that a take shows: run by itself, it makes that very take, to the last bit."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_ui.audio import read_clip, to_int16
from musicgen_ui.checkpoints import MENU
from musicgen_ui.limits import Limits
from musicgen_ui.paths import ASSETS
from musicgen_ui.request import Request, Settings
from tests.reference.cases import LONG, MELODIES, PROMPTS, SAMPLING_RATE, SHORT, tune

ROOT = Path(__file__).parents[2]
LINES = 50
FEW = Settings(max_new_tokens=12)
WICKED = "a \"quoted\" \\ song, \u202e{in} 'minor' 慢"
RUN = """\
import sys, runpy, numpy
for script in sys.argv[1:]:
    numpy.save(script + ".npy", runpy.run_path(script, run_name="__main__")["take"])
"""

CLIPS = {  # file: (tune, channels, Hz)
    "short.wav": (SHORT, 1, SAMPLING_RATE),
    "long.wav": (LONG, 1, 22_050),
    "short stereo.wav": (SHORT, 2, SAMPLING_RATE),
    "long stereo.wav": (LONG, 2, SAMPLING_RATE),
    "tune.wav": (MELODIES[0], 1, SAMPLING_RATE),
    "it's a tune.wav": (MELODIES[1], 1, SAMPLING_RATE),
    "half a minute.wav": (("cegcafbagfed", 31.2), 1, 22_050),
}
CASES = {  # mode: (checkpoint, prompts, clips, settings)
    "unconditional": [
        ("mono", (), (), FEW),
        ("stereo", (), (), FEW),
        ("melody", (), (), Settings(12, top_k=0)),
    ],
    "text": [
        ("mono", PROMPTS[:1], (), FEW),
        ("mono", PROMPTS, (), Settings(12, 2.0, True, 0.7, 20, 0.9)),
        ("mono", (WICKED,), (), Settings(12, 1.0)),
        ("mono", ("slow piano " * 170,), (), Settings(12, do_sample=False)),  # more than T5 takes
        ("stereo", PROMPTS, (), FEW),
        ("melody", PROMPTS, (), FEW),
    ],
    "continue": [
        ("mono", PROMPTS[:1], ("long.wav",), FEW),
        ("mono", (), ("short.wav", "long.wav"), FEW),
        ("mono", ("", PROMPTS[1]), ("short.wav", "long.wav"), Settings(12, 4.0, top_p=0.8)),
        ("stereo", PROMPTS, ("short stereo.wav", "long stereo.wav"), FEW),
        ("stereo", PROMPTS[:1], ("short.wav",), Settings(12, do_sample=False)),
    ],
    "melody": [
        ("melody", (), ("tune.wav",), FEW),
        ("melody", ("", PROMPTS[1]), ("tune.wav", "it's a tune.wav"), FEW),
        ("melody", PROMPTS[:1], ("it's a tune.wav",), Settings(12, 1.0, temperature=1.3)),
        ("stereo-melody", PROMPTS[:1], ("short stereo.wav",), FEW),
    ],
}
CHANGING = "slow piano | 0:01 bright drums with a fast bass"  # from frame 50 on
PIECES = {  # the same on checkpoints that hold 30 tokens and hear the last 12 frames in every window
    "unconditional": [
        ("mono", (), (), Settings(36)),
        ("melody", (), (), Settings(36)),
    ],
    "text": [
        ("mono", ("0:00 slow piano |",), (), FEW),  # one section, one window
        ("mono", (CHANGING, "warm pads"), (), Settings(55)),
        ("stereo", PROMPTS[:1], (), Settings(36, 1.0, do_sample=False)),
    ],
    "continue": [
        ("mono", (CHANGING,), ("short.wav", "long.wav"), Settings(42)),
        ("mono", (), ("long.wav",), FEW),  # one window that hears the clip's end
        ("stereo", PROMPTS, ("short stereo.wav", "long stereo.wav"), Settings(24)),
    ],
    "melody": [
        ("melody", PROMPTS, ("tune.wav", "half a minute.wav"), Settings(36, top_k=0)),
        ("stereo-melody", (CHANGING,), ("half a minute.wav",), Settings(55)),
    ],
}


@pytest.mark.parametrize("mode", CASES)
def test_a_takes_script_makes_it_again_to_the_last_bit(mode, pipeline, tiny_folder, tmp_path, monkeypatch):
    for name, (notes, channels, rate) in CLIPS.items():
        samples = tune(*notes, channels)[:, : round(notes[1] * rate)]
        soundfile.write(tmp_path / name, samples.T, rate, subtype="FLOAT")
    takes = []
    for seed, (kind, prompts, clips, settings) in enumerate(CASES[mode] + PIECES[mode]):
        folder = tiny_folder(kind)
        model = pipeline.load(str(folder), folder, "mindnlp")
        piece = seed >= len(CASES[mode])
        if piece:
            config = {**model.info.generation_config, "max_length": 30}
            monkeypatch.setattr(model, "info", replace(model.info, generation_config=config))
        heard = tuple(read_clip(tmp_path / name, Limits()) for name in clips)
        request = Request(
            mode, prompts, heard, str(folder), "mindnlp", settings, seed,
            takes=1 if piece or seed % 2 else 2, without_drums=mode == "melody" and seed == 2,
        )  # fmt: skip
        takes += pipeline.run(request)

    scripts = [tmp_path / f"take{number}.py" for number in range(len(takes))]
    for script, take in zip(scripts, takes, strict=True):
        script.write_text(take.record["script"], encoding="utf-8")
        assert take.record["script"].count("\n") <= LINES
    subprocess.run(
        [sys.executable, "-c", RUN, *(script.name for script in scripts)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, timeout=600,
    )  # fmt: skip
    for script, take in zip(scripts, takes, strict=True):
        np.testing.assert_array_equal(np.load(f"{script}.npy"), take.samples, err_msg=take.record["script"])
    saved, rate = soundfile.read(tmp_path / "musicgen_out.wav", dtype="int16", always_2d=True)
    np.testing.assert_array_equal(saved.T, to_int16(takes[-1].samples))
    assert rate == takes[-1].sampling_rate


def test_nanos_script_makes_the_take_that_the_page_made(pipeline, tmp_path):
    """By engine float32, which isn't MindNLP's own."""
    pipeline.load("nano", MENU["nano"].folder, "float32")
    request = Request("text", ("slow bells in D minor",), model="nano", engine="float32", seed=5, settings=Settings(53))
    take = pipeline.run(request)[0]
    (tmp_path / "take.py").write_text(take.record["script"], encoding="utf-8")
    (tmp_path / "assets").symlink_to(ASSETS)  # as in the app's folder
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", RUN, "take.py"], cwd=tmp_path, env=environment, check=True, timeout=300)
    np.testing.assert_array_equal(np.load(tmp_path / "take.py.npy"), take.samples)


def test_a_record_says_the_stages_shapes(pipeline, tiny_folder, tmp_path):
    for name in ("short.wav", "long.wav", "tune.wav"):
        soundfile.write(tmp_path / name, tune(*CLIPS[name][0]).T, SAMPLING_RATE)
    shapes = {}
    for mode, kind, clips in (
        ("text", "stereo", ()),
        ("continue", "mono", ("short.wav", "long.wav")),
        ("melody", "melody", ("tune.wav",)),
    ):
        folder = tiny_folder(kind)
        pipeline.load(kind, folder)
        heard = tuple(read_clip(tmp_path / name, Limits()) for name in clips)
        take = pipeline.run(Request(mode, PROMPTS[:1], heard, kind, settings=FEW, seed=1))[0]
        shapes[mode] = take.record["shapes"]
        assert shapes[mode]["decoder"] == list(take.codes.shape)
        assert shapes[mode]["codec"] == list(take.samples.shape)
        assert shapes[mode]["text_encoder"] == [len(take.text.read), 24]
    assert shapes["continue"]["clip_encoder"] == [4, 24]
    assert shapes["melody"]["chroma"] == [1 + round(1.7 * SAMPLING_RATE) // 4096, 12]
    assert shapes["text"].keys() == {"text_encoder", "decoder", "codec"}


def test_a_take_says_what_t5_read(tiny):
    model = tiny("mono")
    text = model.generate(["slow piano 慢"], FEW)[0].text
    tokenizer = model.reference.tokenizer
    assert [token.id for token in text.read] == tokenizer("slow piano 慢")["input_ids"]
    assert "".join(token.piece for token in text.read) == "▁slow▁piano▁<unk></s>"
    assert [token.piece for token in text.read if token.special] == ["<unk>", "</s>"]
    assert text.cut == 0
    words = "slow piano " * 600
    text = model.generate([words], FEW)[0].text
    assert len(text.read) == 512
    assert text.cut == len(tokenizer(words)["input_ids"]) - 512 > 0
    assert model.generate_unconditional(FEW)[0].text.read == ()
