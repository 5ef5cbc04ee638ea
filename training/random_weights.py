"""A checkpoint in the hub's layout with seeded random weights, from numpy alone: the same in torch and in MindNLP.

The model's class is asked for the names and shapes; import MindNLP first where that is wanted.
"""

import copy
import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

RENAMED = (  # torch's parametrisations back to the names of Meta's published files
    (".parametrizations.weight.original0", ".weight_g"),
    (".parametrizations.weight.original1", ".weight_v"),
)
TIED = "text_encoder.encoder.embed_tokens.weight"  # is text_encoder.shared.weight


def random_weights(config: Mapping, seed: int) -> dict[str, np.ndarray]:
    """float32 weights for `config` (a config.json), by the names of Meta's files."""
    shapes = weight_shapes(config)
    return {published_name(name): weight(name, shapes, seed) for name in shapes}


def weight_shapes(config: Mapping) -> dict[str, tuple[int, ...]]:
    """The shapes of `config`'s weights, by torch's names."""
    import torch
    import transformers

    if config["model_type"] == "musicgen_melody":
        model_class, config_class = (
            transformers.MusicgenMelodyForConditionalGeneration,
            transformers.MusicgenMelodyConfig,
        )
    else:
        model_class, config_class = transformers.MusicgenForConditionalGeneration, transformers.MusicgenConfig
    with torch.device("meta"):  # names and shapes only
        model = model_class(config_class.from_dict(copy.deepcopy(dict(config))))
    return {name: tuple(value.shape) for name, value in model.state_dict().items() if name != TIED}


def weight(name: str, shapes: Mapping[str, tuple[int, ...]], seed: int) -> np.ndarray:
    """One of the weights, by torch's name: a checkpoint can be written without holding all of them."""
    if name.endswith("original0"):  # unit gain: |v| per output channel
        direction = weight(name.replace("original0", "original1"), shapes, seed)
        return np.sqrt((direction.astype(np.float64) ** 2).sum(axis=(1, 2), keepdims=True)).astype(np.float32)
    if name.endswith(".embed_avg"):
        name = name.removesuffix("_avg")
    return _value(name, shapes[name], seed)


def published_name(name: str) -> str:
    for old, new in RENAMED:
        name = name.replace(old, new)
    return name


def _value(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    if name.endswith((".inited", ".cluster_size")):
        return np.ones(shape, np.float32)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    noise = rng.standard_normal(shape, dtype=np.float32)
    if name.endswith("bias") or "bias_" in name:
        return 0.05 * noise
    if "norm" in name:
        return 1 + 0.1 * noise
    if "embed" in name or "shared" in name:
        return noise if "codebook" in name or "decoder" in name else 0.5 * noise
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    return noise * np.float32(1.4 / np.sqrt(fan_in))


def write_checkpoint(
    folder: Path,
    config: Mapping,
    generation_config: Mapping,
    clip_settings: Mapping,
    captions: Iterable[str],
    seed: int,
    dtype: type = np.float32,
    shard_bytes: int | None = None,
) -> None:
    """Writes config, generation config, preprocessor, a tokenizer trained on `captions`, and random weights.

    With `shard_bytes` the weights come as shards with an index, as those of Meta's larger checkpoints do.
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("config.json", config),
        ("generation_config.json", generation_config),
        ("preprocessor_config.json", clip_settings),
    ):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    write_tokenizer(folder, captions, config["text_encoder"]["vocab_size"])
    weights = {name: value.astype(dtype) for name, value in random_weights(config, seed).items()}
    if shard_bytes is None:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return
    shards: list[dict[str, np.ndarray]] = [{}]
    for name, value in weights.items():
        if shards[-1] and sum(v.nbytes for v in shards[-1].values()) + value.nbytes > shard_bytes:
            shards.append({})
        shards[-1][name] = value
    names = [f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
    for file, shard in zip(names, shards, strict=True):
        save_file(shard, folder / file, metadata={"format": "pt"})
    index = {
        "metadata": {"total_size": sum(value.nbytes for value in weights.values())},
        "weight_map": {name: file for file, shard in zip(names, shards, strict=True) for name in shard},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def write_tokenizer(folder: Path, captions: Iterable[str], vocabulary: int) -> None:
    """A T5 tokenizer of at most `vocabulary` pieces, by merging the commonest pairs (Sennrich et al. 2016).

    T5's own are unigram models; trained on captions, those of `tokenizers` leave "s", "low" of the commonest words.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from tokenizers.decoders import Metaspace as MetaspaceDecoder

    special = ["<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    # A number and a comma are words of their own, also in Chinese, which has no spaces: "，每分钟93拍"
    apart = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in (r"\d+", r"[^\w\s▁♯♭#/]")]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), *apart])
    tokenizer.decoder = MetaspaceDecoder()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(captions, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "T5Tokenizer",
                "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>",
                "extra_ids": 0, "model_max_length": 512, "clean_up_tokenization_spaces": False,
            },
            indent=2,
        )
        + "\n",
        encoding="utf-8",
    )  # fmt: skip
