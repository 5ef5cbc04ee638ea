"""Requests: each thing that a user can get wrong has its own sentence; the rest comes out as clean values."""

from dataclasses import replace

import numpy as np
import pytest

from musicgen_ui.errors import InputError
from musicgen_ui.limits import Limits
from musicgen_ui.locales import LANGUAGES
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.request import Clip, Request, Settings, checked, checked_for_model

LIMITS = Limits()
TEXT = Request("text", ("slow piano",))
CLIP = Clip(np.zeros((1, 32_000), np.float32), 32_000)  # 1 s
CONTINUED = Request("continue", (), (CLIP,))
MODEL = ModelInfo("tiny", 32_000, 50.0, 4, 1, False, {"do_sample": True, "guidance_scale": 3.0, "max_length": 1_500})
MELODY = replace(MODEL, melody=True)


def settings(**values):
    return replace(TEXT, settings=Settings(**values))


@pytest.mark.parametrize(
    ("request_", "key"),
    [
        (Request("dance", ("x",)), "error.mode"),
        (replace(TEXT, engine="warp"), "error.engine"),
        (replace(TEXT, seed="x"), "error.not_a_number"),
        (replace(TEXT, seed=1.5), "error.not_a_number"),
        (replace(TEXT, seed=float("nan")), "error.not_a_number"),
        (replace(TEXT, seed=10**400), "error.not_a_number"),
        (replace(TEXT, seed=True), "error.not_a_number"),
        (replace(TEXT, seed=[1]), "error.not_a_number"),
        (replace(TEXT, seed=-1), "error.range"),
        (replace(TEXT, seed=2**32), "error.range"),
        (replace(TEXT, takes=0), "error.range"),
        (replace(TEXT, takes=None), "error.range"),
        (replace(TEXT, takes=LIMITS.takes + 1), "error.range"),
        (settings(guidance_scale=0), "error.range"),
        (settings(guidance_scale=0.99), "error.range"),
        (settings(guidance_scale=21), "error.range"),
        (settings(temperature=0), "error.range"),
        (settings(temperature="hot"), "error.not_a_number"),
        (settings(top_p=0), "error.range"),
        (settings(top_p=1.1), "error.range"),
        (settings(top_k=-1), "error.at_least"),
        (settings(top_k=2.5), "error.not_a_number"),
        (settings(max_new_tokens=0), "error.at_least"),
        (settings(max_new_tokens=-5), "error.at_least"),
        (settings(max_new_tokens="many"), "error.not_a_number"),
        (settings(do_sample="yes"), "error.not_a_switch"),
        (replace(TEXT, generation_config={"temperature": 0}), "error.range"),
        (replace(TEXT, generation_config={"temperature": "hot"}), "error.not_a_number"),
        (replace(TEXT, generation_config={"do_sample": "yes"}), "error.not_a_switch"),
        (replace(TEXT, generation_config={"num_beams": 4}), "error.config_key"),
        (Request("text"), "error.prompt_empty"),
        (Request("text", (" ", "\t\n")), "error.prompt_empty"),
        (Request("text", ("x" * 10_000,)), "error.prompt_long"),
        (Request("text", ("x",) * 9), "error.prompts"),
        (Request("text", ("half a character \ud800",)), "error.not_text"),
        (Request("text", ({"a": 1},)), "error.not_text"),
        (Request("text", ("x",), padded_tokens=-1), "error.range"),
        (Request("text", ("x",), padded_seconds=1e9), "error.range"),
        (Request("text", ("x",) * 3, takes=3), "error.rows"),
        (replace(TEXT, section_frames=(5, "x")), "error.not_a_number"),
        (replace(TEXT, section_frames=(-1,)), "error.at_least"),
        (replace(TEXT, clips=(CLIP,)), "error.clip_unused"),
        (Request("unconditional", clips=(CLIP,)), "error.clip_unused"),
        (Request("continue"), "error.clip_missing"),
        (Request("melody", ("x",)), "error.clip_missing"),
        (Request("continue", ("x", "y"), (CLIP,) * 3), "error.prompts_and_clips"),
        (Request("continue", (), (CLIP,) * 9), "error.clips"),
        (Request("continue", (), (CLIP,), without_drums=True), "error.drums_mode"),
        (Request("melody", (), (CLIP,), without_drums="yes"), "error.not_a_switch"),
    ],
)
def test_what_is_wrong_is_said(request_, key):
    with pytest.raises(InputError) as fault:
        checked(request_, LIMITS)
    assert fault.value.key == key
    for language in LANGUAGES:
        sentence = fault.value.in_language(language)
        assert "{" not in sentence
        assert len(sentence) < 400


def test_numbers_come_as_numbers():
    request = checked(
        Request("text", ("  slow \n piano ",), settings=Settings("20", "2.5", True, "", None, 1), seed="7", takes="2"),
        LIMITS,
    )
    assert request.settings == Settings(20, 2.5, True, None, None, 1.0)
    assert (request.seed, request.takes, request.prompts) == (7, 2, ("slow piano",))


def test_a_users_generation_config_comes_as_numbers():
    config = {"temperature": "0.5", "top_k": 9.0, "do_sample": False, "guidance_scale": None}
    assert checked(replace(TEXT, generation_config=config), LIMITS).generation_config == {
        "temperature": 0.5,
        "top_k": 9,
        "do_sample": False,
    }


@pytest.mark.parametrize("prompt", ["🎹🔥", "عزف بيانو هادئ", "慢速钢琴", "x" * LIMITS.prompt_characters])
def test_any_language_is_a_prompt(prompt):
    assert checked(Request("text", (prompt,)), LIMITS).prompts == (prompt,)


def test_the_edges_are_allowed():
    edges = Settings(1, 1.0, temperature=0.01, top_k=10**6, top_p=1.0)
    assert checked(replace(TEXT, settings=edges, seed=2**32 - 1), LIMITS).settings == edges
    assert checked(settings(guidance_scale=20, top_k=0), LIMITS).settings.top_k == 0


def test_a_clip_without_words_needs_none():
    assert checked(Request("continue", (" ",), (CLIP,)), LIMITS).prompts == ("",)
    assert checked(Request("melody", (), (CLIP,)), LIMITS).prompts == ()


# What the model allows


@pytest.mark.parametrize(
    ("request_", "model", "key"),
    [
        (Request("melody", (), (CLIP,)), MODEL, "error.model_cannot_follow"),
        (Request("continue", (), (CLIP,)), MELODY, "error.model_cannot_continue"),
        (replace(CONTINUED, generation_config={"max_length": 53}), MODEL, "error.clip_fills_model"),
        (
            replace(CONTINUED, padded_seconds=30.0, generation_config={"max_length": 1_500}),
            MODEL,
            "error.clip_fills_model",
        ),
        (settings(max_new_tokens=15_005), MODEL, "error.piece_long"),
        (replace(CONTINUED, settings=Settings(14_955)), MODEL, "error.piece_long_with_clip"),
        (Request("continue", (), (replace(CLIP, file_seconds=299.99),)), MODEL, "error.piece_long_with_clip"),
        (replace(settings(max_new_tokens=1_503), prompts=("a | 0:30 b",)), MODEL, "error.section_late"),
        (replace(CONTINUED, prompts=("a | 0:03 b",), settings=Settings(103)), MODEL, "error.section_late"),
        (settings(max_new_tokens=3), MODEL, "error.too_few_tokens"),
    ],
)
def test_what_the_model_cannot_do_is_said(request_, model, key):
    with pytest.raises(InputError) as fault:
        checked_for_model(request_, model)
    assert fault.value.key == key
    assert all(fault.value.in_language(language) for language in LANGUAGES)


@pytest.mark.parametrize(
    ("request_", "tokens"),
    [
        (TEXT, 1_500),
        (settings(max_new_tokens=9_999), 9_999),
        (settings(max_new_tokens=15_003), 15_003),
        (replace(settings(max_new_tokens=9_999), generation_config={"max_length": 1_500}), 1_500),
        (replace(settings(max_new_tokens=1_504), prompts=("a | 0:30 b",)), 1_504),
        (replace(CONTINUED, prompts=("a | 0:03 b",), settings=Settings(104)), 104),
        (settings(max_new_tokens=4), 4),
        (Request("continue", (), (CLIP,)), 1_450),
        (Request("continue", (), (CLIP, replace(CLIP, file_seconds=10.0))), 1_000),
        (Request("continue", (), (CLIP,), padded_seconds=2.0), 1_400),
        (Request("continue", (), (replace(CLIP, file_seconds=29.95),)), 900),
        (replace(CONTINUED, settings=Settings(1_503)), 1_503),
        (replace(CONTINUED, settings=Settings(1_503), generation_config={"max_length": 1_000}), 950),
        (replace(TEXT, generation_config={"max_length": 200}), 200),
        (replace(TEXT, generation_config={"max_length": 9_999}), 1_500),
        (replace(TEXT, generation_config={"max_new_tokens": 100}), 100),
        (replace(settings(max_new_tokens=50), generation_config={"max_new_tokens": 100}), 50),
    ],
)
def test_tokens_are_as_asked_and_held_within_a_users_own_max_length(request_, tokens):
    assert checked_for_model(request_, MODEL).settings.max_new_tokens == tokens


@pytest.mark.parametrize(("piece_seconds", "tokens"), [(5, 253), (29.94, 1_500), (600, 1_500)])
def test_who_names_no_length_gets_one_that_is_allowed(piece_seconds, tokens):
    limits = Limits(piece_seconds=piece_seconds)
    assert checked_for_model(TEXT, MODEL, limits).settings.max_new_tokens == tokens
    ten_seconds = replace(MODEL, generation_config={**MODEL.generation_config, "max_new_tokens": 503})
    assert checked_for_model(TEXT, ten_seconds, limits).settings.max_new_tokens == min(tokens, 503)


def test_defaults_come_from_the_generation_config_and_arguments_supersede_it():
    filled = checked_for_model(settings(temperature=0.5), MODEL).settings
    assert filled == Settings(1_500, 3.0, True, 0.5, 50, 1.0)
    edited = replace(
        settings(temperature=0.5), generation_config={"temperature": 2.0, "guidance_scale": 1.0, "top_k": 0}
    )
    assert checked_for_model(edited, MODEL).settings == Settings(1_500, 1.0, True, 0.5, 0, 1.0)


def test_a_clip_is_known_by_its_sound():
    sound = np.linspace(-0.5, 0.5, 64_000, dtype=np.float32).reshape(2, 32_000)
    clip = Clip(sound, 32_000, "one.wav")
    assert Clip(np.asfortranarray(sound), 32_000, "other.flac", 5.0).digest == clip.digest
    assert len(clip.digest) == 16
    others = (Clip(sound, 44_100), Clip(sound[:, 1:], 32_000), Clip(sound[:1], 32_000), Clip(sound[::-1], 32_000))
    assert len({clip.digest, *(other.digest for other in others)}) == 5
