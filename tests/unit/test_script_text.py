"""The code of a take as text; tests/engine/test_script.py runs it."""

import ast

import pytest

from musicgen_ui.checkpoints import MENU, info
from musicgen_ui.script import script_of

RECORD = {
    "mode": "text", "prompt": "slow piano", "seed": 7, "max_new_tokens": 503, "guidance_scale": 3.0, "do_sample": True,
    "temperature": 1.0, "top_k": 50, "top_p": 1.0, "padded_tokens": 0, "section_frames": [], "shapes": {},
}  # fmt: skip
WORDS = [(0, "slow piano")]


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
    assert place in constants(script_of(RECORD, info(model), WORDS))


@pytest.mark.parametrize("text", ['"; import os #', "it's", "\\", "both ' and \"", "a\u202eb\nc", "慢", "{seed}"])
@pytest.mark.parametrize("model", ["nano", "melody"])
@pytest.mark.parametrize("tokens", [503, 2003])
def test_words_of_the_user_stay_words(model: str, text: str, tokens: int) -> None:
    mode = "melody" if model == "melody" else "continue"
    record = {**RECORD, "mode": mode, "prompt": text, "clip": text, "max_new_tokens": tokens}
    script = script_of(record, info(model), [(0, text)])
    assert constants(script).count(text) == 2
    assert all(line.isprintable() for line in script.splitlines())


@pytest.mark.parametrize("model", MENU)
@pytest.mark.parametrize("prompt", ["", "slow piano"])
@pytest.mark.parametrize(("tokens", "lines", "width"), [(503, 40, 110), (2003, 47, 120)])
def test_every_model_and_mode_has_a_short_script(model: str, prompt: str, tokens: int, lines: int, width: int) -> None:
    record = {**RECORD, "prompt": prompt, "clip": "a.wav", "padded_seconds": 1.5, "max_new_tokens": tokens}
    for mode in ("unconditional", "text", "melody" if info(model).melody else "continue"):
        script = script_of({**record, "mode": mode}, info(model), [(0, prompt)])
        ast.parse(script)
        assert script.count("\n") <= lines
        assert ("MusicgenForConditionalGeneration" in script) is not info(model).melody
        assert max(len(line) for line in script.splitlines()) <= width


def sections(**told: object) -> object:
    """What a script says of them, None where it is one call of `generate`."""
    script = script_of({**RECORD, **told}, info("nano"), [(0, "calm piano"), (300, "drums"), (1600, "bells")])
    values = [
        ast.literal_eval(node.value)
        for node in ast.parse(script).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "sections"
    ]
    return values[0] if values else None


def test_sections_end_where_any_prompt_of_the_batch_changes_and_with_the_piece() -> None:
    calm, drums, bells = (300, "calm piano"), (400, "drums"), (2000, "bells")
    assert sections(section_frames=[]) is None
    assert sections(section_frames=[300, 400], max_new_tokens=303) is None
    assert sections(section_frames=[300, 400], max_new_tokens=403) == [calm, drums]
    assert sections(section_frames=[300, 400, 1600], max_new_tokens=2003) == [calm, drums, (1600, "drums"), bells]
    clip = {"mode": "continue", "clip": "a.wav", "section_frames": [300, 400, 1600]}
    assert sections(**clip, shapes={"clip_encoder": [4, 350]}, max_new_tokens=83) == [drums, (430, "drums")]
    assert sections(**clip, shapes={"clip_encoder": [4, 1700]}, max_new_tokens=303) == [bells]


def test_a_greedy_take_names_nothing_of_sampling() -> None:
    assert "temperature" in script_of(RECORD, info("nano"), WORDS)
    script = script_of({**RECORD, "do_sample": False}, info("nano"), WORDS)
    assert not any(name in script for name in ("temperature", "top_k", "top_p"))
