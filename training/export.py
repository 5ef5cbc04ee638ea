"""Writes the trained checkpoints into assets/, in the hub's layout: python -m training.export

safetensors by the names of Meta's files, config, tokenizer, preprocessor, generation config, a model card.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from training import nano
from training.codec import STATE, load_state
from training.models import (
    ANALYSIS_FILE,
    ASSETS,
    CODEC,
    CODEC_FILE,
    ENCODER_FILE,
    FOLDERS,
    LANGUAGE_MODEL_FILES,
    TOKENIZER,
    is_trained,
    load_weights,
    make_model,
    make_tokenizer,
    published,
    save_weights,
)

MEGABYTES = 64  # that both checkpoints may have together
MEASURED = Path(__file__).parent / "out" / "evaluation.md"  # the table of training.evaluate, if it has run

NOT_MEASURED = "**Measured abilities.** None yet: `python -m training.evaluate` has not been run on these weights."

CARD = """\
---
license: apache-2.0
language: [en, zh]
tags: [musicgen, text-to-audio]
---
# {name}

MusicGen's architecture, small: {parameters:.1f} M parameters, 32 kHz mono, 50 frames per second, {codebooks} codebooks
of {size} codes in delay pattern{melody}.

| part | size |
|---|---|
| text encoder (T5) | {text:.2f} M: {text_layers} layers × {text_width} |
| decoder | {decoder:.2f} M: {layers} layers × {width} |
| codec (EnCodec) | {codec:.2f} M: {filters} filters |

**How it was made.** With `training/` of this repository, from nothing but music that it composes and synthesizes
itself: no recording, no published weights. First the codec, whose decoder starts as a bank of oscillators, then the
text encoder on captions alone, then the decoder on codes. Rerun it with `make train`.

**What captions named.** In English and Chinese: instrument (14 leads), style (20), mood, tempo in words or bpm, key,
metre, with or without drums{follows}. Captions name no artists;
nothing else than such music can be expected: no voices, no sounds of nature, nothing that sounds recorded.

{measured}
Licence: Apache-2.0, weights included.
"""


def write_card(folder: Path, model, melody: bool) -> None:
    """README.md beside the weights."""

    def millions(part) -> float:
        return sum(parameter.numel() for parameter in part.parameters()) / 1e6

    measured = NOT_MEASURED
    if MEASURED.is_file():
        measured = "**Measured abilities** of both checkpoints (`python -m training.evaluate`): "
        measured += MEASURED.read_text(encoding="utf-8")
    card = CARD.format(
        name=folder.name, parameters=millions(model), codebooks=nano.CODEBOOKS, size=nano.CODEBOOK_SIZE,
        melody=", conditioned on a melody's chroma too" if melody else "", text=millions(model.text_encoder),
        text_layers=nano.TEXT_LAYERS, text_width=nano.TEXT_WIDTH, decoder=millions(model.decoder), layers=nano.LAYERS,
        width=nano.WIDTH, codec=millions(model.audio_encoder), filters=nano.CODEC_FILTERS,
        follows="; it follows the tune of a clip" if melody else "", measured=measured.rstrip() + "\n",
    )  # fmt: skip
    (folder / "README.md").write_text(card, encoding="utf-8")


def weights_of(model) -> dict[str, torch.Tensor]:
    """Tensors by the names of Meta's files; what only training uses of the quantizer is set to rest.

    float16, but for the codec's decoder: its straight ELUs rest on sums that cancel out (training.oscillator_bank), and
    in float16 what is left of them is a buzz 18 dB below the music.
    """
    weights = {}
    for name, value in published(model.state_dict()).items():
        if name.endswith((".cluster_size", ".inited")):
            value = torch.ones_like(value)
        if name.endswith(".embed_avg"):
            value = model.state_dict()[name.removesuffix("_avg")]
        dtype = torch.float32 if name.startswith(f"{CODEC}decoder.") else torch.float16
        value = value.detach().to(dtype)
        assert torch.isfinite(value).all(), name
        weights[name] = value.clone().contiguous()
    return weights


def bundled_codes(folder: Path) -> bool:
    """Whether what was trained here has the codebooks of a bundled checkpoint, if any: then only its sound is new."""
    if not CODEC_FILE.is_file():
        return True
    own, bundled = load_file(CODEC_FILE), load_file(folder / "model.safetensors")
    return all(
        torch.equal(value.half(), bundled[CODEC + name].half())
        for name, value in own.items()
        if name.endswith("codebook.embed")
    )


def export(folder: Path, melody: bool) -> int:
    """Writes one checkpoint; returns its size in bytes. What wasn't trained here stays as it is bundled.

    SystemExit where a part is missing: an encoder and a language model belong to one codec's codes.
    """
    trained = (CODEC_FILE, ENCODER_FILE, LANGUAGE_MODEL_FILES[melody])
    missing = [path.name for path in trained if not path.is_file()]
    model = make_model(melody)
    own, fit = len(published(model.state_dict())), 0
    if missing and is_trained(FOLDERS[melody]) and bundled_codes(FOLDERS[melody]):
        fit = load_weights(model, FOLDERS[melody] / "model.safetensors")
    elif missing:
        raise SystemExit(f"{', '.join(missing)} missing: nothing to export")
    for part, path in zip((model.audio_encoder, model.audio_encoder.encoder, model), trained, strict=True):
        fit += load_weights(part, path) if path.is_file() else 0
    if fit < own:
        raise SystemExit(f"only {fit} of {own} tensors fit: the files are of other sizes than nano.py's")
    folder.mkdir(parents=True, exist_ok=True)
    clip_settings = nano.CHROMA if melody else nano.CLIP
    for name, content in (
        ("config.json", nano.config(melody)),
        ("generation_config.json", nano.GENERATION_CONFIG),
        ("preprocessor_config.json", clip_settings),
    ):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    make_tokenizer()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        made = next(path / name for path in (TOKENIZER, FOLDERS[melody]) if (path / name).is_file())
        if made != folder / name:
            shutil.copy(made, folder / name)
    save_file(weights_of(model), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # not for its writer alone
    write_card(folder, model, melody)
    return sum(path.stat().st_size for path in folder.iterdir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, default=ASSETS, help="another folder, to try a checkpoint out")
    parser.add_argument("--only", choices=("nano", "nano-melody"), help="one of both checkpoints")
    options = parser.parse_args()
    total = 0
    if options.assets == ASSETS and STATE.is_file():
        save_weights(load_state(torch.device("cpu"))[1], ANALYSIS_FILE, torch.float16)
    for melody, folder in FOLDERS.items():
        if options.only in (None, folder.name.removeprefix("musicgen-")):
            size = export(options.assets / folder.name, melody)
            total += size
            print(f"{folder.name}: {size / 1e6:.1f} MB")
    if total > MEGABYTES * 1e6:
        raise SystemExit(f"{total / 1e6:.1f} MB in all: more than {MEGABYTES}")


if __name__ == "__main__":
    main()
