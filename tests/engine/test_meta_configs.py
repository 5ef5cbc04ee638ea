"""Every checkpoint that Meta published, built at its real widths and at reduced depth, runs through our verbs.

The weights are noise: what is shown is that nothing depends on the bundled checkpoints' sizes.
"""

import json
import math
import os

import numpy as np
import pytest

from musicgen_ui.checkpoints import MENU, published_info
from musicgen_ui.request import Clip, Request, Settings
from tests import meta_configs
from tests.reference.cases import SAMPLING_RATE, TOKENIZER, tune

DEPTH = 1  # layers of decoder and text encoder


def empty_model(config):
    """The real class, without memory for its weights."""
    import mindtorch
    import transformers

    kind = "MusicgenMelody" if config["model_type"] == "musicgen_melody" else "Musicgen"
    with mindtorch.device("meta"):
        model_class = getattr(transformers, f"{kind}ForConditionalGeneration")
        return model_class(getattr(transformers, f"{kind}Config").from_dict(config))


def noise(shapes):
    """float32 weights by name, scaled so that signals keep their size."""
    pool = np.random.default_rng(1).standard_normal(1_000_003, np.float32)
    weights = {}
    for name, shape in shapes.items():
        if "norm" in name or name.endswith((".inited", ".cluster_size", "original0")):
            weights[name] = np.ones(shape, np.float32)
        elif "embed" in name or "shared" in name:
            weights[name] = np.resize(pool, shape)
        else:
            weights[name] = np.resize(pool, shape) / np.float32(math.sqrt(max(1, np.prod(shape[1:]))))
    return weights


@pytest.fixture(scope="module")
def common_shard(tmp_path_factory):
    """Text encoder and codec are the same in all: one file, linked into each checkpoint."""
    return tmp_path_factory.mktemp("common") / "model-00001-of-00002.safetensors"


@pytest.fixture
def checkpoint(request, tmp_path, common_shard):
    """The folder of the checkpoint `request.param`, in two shards."""
    from safetensors.numpy import save_file

    name = request.param
    config = meta_configs.config(name, DEPTH)
    files = {
        "config.json": config,
        "generation_config.json": meta_configs.GENERATION_CONFIG,
        "preprocessor_config.json": meta_configs.clip_settings(name),
        "tokenizer.json": json.loads(TOKENIZER.read_text()),
        "tokenizer_config.json": {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "model_max_length": 512},
    }
    for file, content in files.items():
        (tmp_path / file).write_text(json.dumps(content))
    shapes = {key: tuple(value.shape) for key, value in empty_model(config).state_dict().items()}
    del shapes["text_encoder.encoder.embed_tokens.weight"]  # is text_encoder.shared.weight
    common = {key: shape for key, shape in shapes.items() if key.startswith(("text_encoder.", "audio_encoder."))}
    own = {key: shape for key, shape in shapes.items() if key not in common}
    own_shard = tmp_path / "model-00002-of-00002.safetensors"
    if not common_shard.exists():
        save_file(noise(common), common_shard, metadata={"format": "pt"})
    os.link(common_shard, tmp_path / common_shard.name)
    save_file(noise(own), own_shard, metadata={"format": "pt"})
    weight_map = {key: common_shard.name if key in common else own_shard.name for key in shapes}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    yield name, tmp_path
    own_shard.unlink()


@pytest.mark.parametrize("checkpoint", meta_configs.SIZES, indirect=True)
def test_a_published_configuration_runs(checkpoint, pipeline):
    name, folder = checkpoint
    size = meta_configs.SIZES[name]
    model = pipeline.load(f"published {name}", folder)
    try:
        published = published_info(MENU[name])
        for figure in ("sampling_rate", "frame_rate", "codebooks", "channels", "melody", "max_length"):
            assert getattr(model.info, figure) == getattr(published, figure), figure
        assert meta_configs.GENERATION_CONFIG.items() <= model.info.generation_config.items()

        # text, clip and guidance in one call
        clip = Clip(tune("ceg", 0.25, size.channels), SAMPLING_RATE)  # 12.5 frames
        mode, frames, samples = ("melody", 2, 2 * 640) if size.melody else ("continue", 13 + 2, (13 + 2) * 640)
        request = Request(mode, ("slow piano",), (clip,), model.info.name, settings=Settings(max_new_tokens=5), seed=1)
        (take,) = pipeline.run(request)
        assert take.record["guidance_scale"] == 3.0
        assert take.codes.shape == (4 * size.channels, frames)
        assert take.codes.min() >= 0
        assert take.codes.max() < meta_configs.CODEBOOK_SIZE
        assert take.samples.shape == (size.channels, samples)
        assert np.isfinite(take.samples).all()
        assert take.samples.std() > 0
    finally:
        pipeline.unload(f"published {name}")


@pytest.mark.parametrize("name", meta_configs.SIZES)
def test_the_menu_says_how_large_it_is(name, pipeline):
    model = empty_model(meta_configs.config(name))
    counted = sum(parameter.numel() for parameter in model.parameters())
    counted += sum(buffer.numel() for key, buffer in model.named_buffers() if key.endswith("codebook.embed"))
    assert MENU[name].parameters == pytest.approx(counted, rel=0.01)
    assert MENU[name].melody == meta_configs.SIZES[name].melody
    assert MENU[name].channels == meta_configs.SIZES[name].channels


def test_the_menu_lists_all_of_them():
    assert {name for name, checkpoint in MENU.items() if checkpoint.hub_id} == set(meta_configs.SIZES)
    for name in meta_configs.SIZES:
        assert MENU[name].hub_id == f"facebook/musicgen-{name}"
