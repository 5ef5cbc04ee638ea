"""A checkpoint's sizes, read from its JSON files."""

import json

import pytest

from musicgen_ui import checkpoints
from musicgen_ui.errors import InputError
from musicgen_ui.model_info import PUBLISHED_GENERATION_CONFIG, ModelInfo, read_model_info
from tests.meta_configs import GENERATION_CONFIG, SIZES, config

INFO = ModelInfo("x", 32_000, 50.0, 4, 1, False, PUBLISHED_GENERATION_CONFIG)


def folder_with(tmp_path, config, generation_config=GENERATION_CONFIG):
    for file, content in (("config.json", config), ("generation_config.json", generation_config)):
        if content is not None:
            (tmp_path / file).write_text(content if isinstance(content, str) else json.dumps(content))
    return tmp_path


@pytest.mark.parametrize("name", SIZES)
def test_published_configurations_are_read(name, tmp_path):
    info = read_model_info(name, folder_with(tmp_path, config(name)))
    published = checkpoints.published_info(checkpoints.MENU[name])
    assert (info.sampling_rate, info.frame_rate, info.codebooks, info.max_length) == (32_000, 50.0, 4, 1_500)
    assert (info.channels, info.melody) == (published.channels, published.melody)


def test_without_a_generation_config_metas_is_taken(tmp_path):
    info = read_model_info("x", folder_with(tmp_path, config("small"), None))
    assert info.generation_config == PUBLISHED_GENERATION_CONFIG


@pytest.mark.parametrize(
    ("content", "generation_config", "key"),
    [
        (None, GENERATION_CONFIG, "error.checkpoint_broken"),
        ("{", GENERATION_CONFIG, "error.checkpoint_broken"),
        ("[]", GENERATION_CONFIG, "error.checkpoint_broken"),
        ("{}", GENERATION_CONFIG, "error.checkpoint_broken"),
        ("\x00\xff", GENERATION_CONFIG, "error.checkpoint_broken"),
        ({"model_type": "musicgen"}, GENERATION_CONFIG, "error.checkpoint_broken"),
        ({"model_type": "musicgen", "decoder": 3, "audio_encoder": {}}, GENERATION_CONFIG, "error.checkpoint_broken"),
        ({"model_type": "bert"}, GENERATION_CONFIG, "error.checkpoint_kind"),
        (config("small"), "{", "error.checkpoint_broken"),
        (config("small"), "[]", "error.checkpoint_broken"),
    ],
)
def test_what_is_no_checkpoint_gets_a_sentence(content, generation_config, key, tmp_path):
    with pytest.raises(InputError) as fault:
        read_model_info("x", folder_with(tmp_path, content, generation_config))
    assert fault.value.key == key
    assert str(fault.value)


@pytest.mark.parametrize("part", [None, "decoder", "text_encoder"])
@pytest.mark.parametrize(
    "named",
    [
        {"auto_map": {"AutoModel": "modeling.Model"}},
        {"_attn_implementation_internal": "somebody/kernel"},
        {"attn_implementation": {"decoder": "somebody/kernel@v1"}},
    ],
)
def test_a_checkpoint_that_names_code_to_be_run_is_refused(named, part, tmp_path):
    wicked = config("small")
    (wicked[part] if part else wicked).update(named)
    with pytest.raises(InputError) as fault:
        read_model_info("x", folder_with(tmp_path, wicked))
    assert fault.value.key == "error.checkpoint_code"


def test_a_way_to_attend_that_transformers_has_itself_is_no_code(tmp_path):
    harmless = config("small") | {"_attn_implementation_autoset": True, "_attn_implementation": "eager"}
    assert read_model_info("x", folder_with(tmp_path, harmless)).channels == 1


def test_zero_channels_or_codebooks_are_a_broken_checkpoint(tmp_path):
    broken = config("small")
    broken["decoder"]["audio_channels"] = 0
    with pytest.raises(InputError):
        read_model_info("x", folder_with(tmp_path, broken))


@pytest.mark.parametrize(("tokens", "seconds"), [(0, 0), (3, 0), (4, 0.02), (53, 1.0), (1_500, 29.94)])
def test_tokens_in_seconds(tokens, seconds):
    assert INFO.seconds(tokens) == pytest.approx(seconds)


@pytest.mark.parametrize("seconds", [0.02, 0.1, 1, 4.99, 5, 7.3, 29.94])
def test_the_fewest_tokens_for_so_many_seconds(seconds):
    tokens = INFO.tokens(seconds)
    assert INFO.seconds(tokens) >= seconds - 1e-9
    assert INFO.seconds(tokens - 1) < seconds


def test_names_are_located(tmp_path):
    assert checkpoints.locate("nano") == checkpoints.MENU["nano"].folder
    assert checkpoints.locate("stereo-large") == "facebook/musicgen-stereo-large"
    assert checkpoints.locate(str(tmp_path)) == tmp_path
    assert checkpoints.locate("somebody/their-model") == "somebody/their-model"


@pytest.mark.parametrize(
    "name",
    ["", "nanoo", "~nobody-of-this-name", "\0", "/no/such/folder", "../x", "a/b/c", "x" * 500, "a b/c", "somebody/"],
)
def test_an_unknown_model_gets_a_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no folder has these names
    with pytest.raises(InputError) as fault:
        checkpoints.locate(name)
    assert fault.value.key == "error.model_unknown"
    assert len(str(fault.value)) < 400


@pytest.mark.parametrize("kind", ["folder", "hub id"])
def test_strangers_models_can_be_shut_out(kind, tmp_path):
    with pytest.raises(InputError):
        checkpoints.locate(str(tmp_path) if kind == "folder" else "somebody/their-model", own_models=False)
    assert checkpoints.locate("small", own_models=False) == "facebook/musicgen-small"


def test_nano_has_a_sister_for_melodies():
    assert checkpoints.for_mode("nano", "melody") == "nano-melody"
    assert checkpoints.for_mode("nano-melody", "continue") == "nano"
    assert checkpoints.for_mode("nano", "text") == "nano"
    assert checkpoints.for_mode("small", "melody") == "small"


@pytest.mark.parametrize(
    "missing", [None, "config.json", "preprocessor_config.json", "tokenizer.json", "b.safetensors"]
)
def test_a_checkpoint_in_shards_is_complete_with_all_of_them(missing, tmp_path):
    for file in ("config.json", "preprocessor_config.json", "tokenizer.json", "a.safetensors", "b.safetensors"):
        (tmp_path / file).write_text("{}")
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    if missing:
        (tmp_path / missing).unlink()
    assert checkpoints.is_complete(tmp_path) == (missing is None)
