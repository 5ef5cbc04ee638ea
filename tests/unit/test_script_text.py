"""The code of a take as text; tests/engine/test_script.py runs it."""

import ast

import pytest

from musicgen_ui.checkpoints import MENU, info
from musicgen_ui.script import script_of

RECORD = {
    "mode": "text", "prompt": "slow piano", "seed": 7, "max_new_tokens": 503, "guidance_scale": 3.0, "do_sample": True,
    "temperature": 1.0, "top_k": 50, "top_p": 1.0, "padded_tokens": 0,
}  # fmt: skip


def constants(script: str) -> list[object]:
    return [node.value for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Constant)]


@pytest.mark.parametrize(
    ("model", "place"),
    [
        ("nano", "assets/musicgen-nano"),
        ("nano-melody", "assets/musicgen-nano-melody"),
        ("stereo-small", "facebook/musicgen-stereo-small"),
        ("someone/musicgen", "someone/musicgen"),
    ],
)
def test_the_checkpoint_is_named_as_it_is_found(model: str, place: str) -> None:
    assert place in constants(script_of(RECORD, info(model)))


@pytest.mark.parametrize("text", ['"; import os #', "it's", "\\", "both ' and \"", "a\u202eb\nc", "慢", "{seed}"])
@pytest.mark.parametrize("model", ["nano", "melody"])
def test_words_of_the_user_stay_words(model: str, text: str) -> None:
    mode = "melody" if model == "melody" else "continue"
    script = script_of({**RECORD, "mode": mode, "prompt": text, "clip": text}, info(model))
    assert constants(script).count(text) == 2
    assert all(line.isprintable() for line in script.splitlines())


@pytest.mark.parametrize("model", MENU)
@pytest.mark.parametrize("prompt", ["", "slow piano"])
def test_every_model_and_mode_has_a_short_script(model: str, prompt: str) -> None:
    for mode in ("unconditional", "text", "melody" if info(model).melody else "continue"):
        script = script_of(
            {**RECORD, "mode": mode, "prompt": prompt, "clip": "a.wav", "padded_seconds": 1.5}, info(model)
        )
        ast.parse(script)
        assert script.count("\n") <= 40
        assert ("MusicgenForConditionalGeneration" in script) is not info(model).melody
        assert max(len(line) for line in script.splitlines()) <= 110


def test_a_greedy_take_names_nothing_of_sampling() -> None:
    assert "temperature" in script_of(RECORD, info("nano"))
    script = script_of({**RECORD, "do_sample": False}, info("nano"))
    assert not any(name in script for name in ("temperature", "top_k", "top_p"))
