"""The checkpoints as torch models of transformers' own classes, and their weights in and out by the hub's names."""

import copy
import json
import math
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

from training import nano
from training.data import OUT, caption_clip, draw_clip
from training.random_weights import RENAMED, TIED, write_tokenizer

ASSETS = Path(__file__).parent.parent / "assets"
FOLDERS = {False: ASSETS / "musicgen-nano", True: ASSETS / "musicgen-nano-melody"}
CODEC_FILE = OUT / "codec.safetensors"
ANALYSIS_FILE = Path(__file__).parent / "analysis.safetensors"  # of the bundled codec, without which there are no codes
ENCODER_FILE = OUT / "encoder.safetensors"  # its encoder, which learns apart
TEXT_ENCODER_FILE = OUT / "text-encoder.safetensors"  # that knows captions, but no music yet
LANGUAGE_MODEL_FILES = {False: OUT / "language-model.safetensors", True: OUT / "language-model-melody.safetensors"}
TOKENIZER = OUT / "tokenizer"  # folder
TEXT_TOKENS = 48  # longer captions are cut
TOKENIZER_PIECES = 4_000  # of music whose captions the tokenizer is made of
CODEC = "audio_encoder."  # how the codec's names begin in a checkpoint
EMBEDDING_STD = 0.5  # sums of four stand beside sines and cosines in the decoder: 0.02 would drown


class MelodyModel(transformers.MusicgenMelodyForConditionalGeneration):
    """With its conditioning in the first step, which transformers 4.57 drops there (upstream #45647)."""

    def prepare_inputs_for_generation(self, decoder_input_ids, past_key_values=None, **kwargs):
        if past_key_values is None or past_key_values.get_seq_length() > 0:
            return super().prepare_inputs_for_generation(decoder_input_ids, past_key_values=past_key_values, **kwargs)
        inputs = super().prepare_inputs_for_generation(decoder_input_ids, past_key_values=None, **kwargs)
        inputs["past_key_values"] = past_key_values
        return inputs


def make_model(melody: bool) -> torch.nn.Module:
    """A whole checkpoint's model with fresh weights: text encoder, codec, decoder."""
    config = copy.deepcopy(nano.config(melody))
    if melody:
        model = MelodyModel(transformers.MusicgenMelodyConfig.from_dict(config))
    else:
        model = transformers.MusicgenForConditionalGeneration(transformers.MusicgenConfig.from_dict(config))
    model.generation_config = transformers.GenerationConfig(**nano.GENERATION_CONFIG)
    for name, parameter in model.named_parameters():
        if "decoder.embed_tokens" in name and not name.startswith(CODEC):
            torch.nn.init.normal_(parameter, std=EMBEDDING_STD)
        elif name.endswith(("encoder_attn.q_proj.weight", "encoder_attn.k_proj.weight", "encoder_attn.v_proj.weight")):
            torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)  # 0.02 would attend to all words alike
        elif name.endswith("encoder_attn.out_proj.weight"):
            torch.nn.init.zeros_(parameter)  # what is not yet understood says nothing
        elif name == "enc_to_dec_proj.weight":
            torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
        elif name.startswith("decoder.") and name.endswith(("out_proj.weight", "fc2.weight")):
            torch.nn.init.normal_(parameter, std=0.02 / (2 * nano.LAYERS) ** 0.5)  # as GPT-2: residuals add up
    return model


@torch.no_grad()
def even_out(encoder: torch.nn.Module, audio: torch.Tensor) -> None:
    """Scales fresh convolutions so that each one's output has spread 1 on audio (batch, channels, samples).

    (LSUV, Mishkin and Matas 2016.) As they are initialised music is lost among their biases.
    """

    def scale(convolution, _, output):
        spread = output.std().clamp_min(1e-6)
        convolution.parametrizations.weight.original0.div_(spread)
        return output / spread

    hooks = []
    for module in encoder.modules():
        if isinstance(module, torch.nn.Conv1d):
            module.bias.zero_()
            hooks.append(module.register_forward_hook(scale))
    encoder(audio)
    for hook in hooks:
        hook.remove()


def make_codec() -> transformers.EncodecModel:
    """The codec alone, with fresh weights."""
    config = {name: value for name, value in nano.config(False)["audio_encoder"].items() if name != "model_type"}
    return transformers.EncodecModel(transformers.EncodecConfig(**config))


def published(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict by the names of Meta's files."""
    for torch_name, name in RENAMED:
        state = {key.replace(torch_name, name): value for key, value in state.items()}
    return {name: value for name, value in state.items() if name != TIED}


def save_weights(model: torch.nn.Module, path: Path, dtype: torch.dtype = torch.float16, leave: str = "/") -> None:
    """Writes a model's weights whole or not at all, without those whose names begin with `leave`."""
    state = {
        name: value.detach().to(dtype).cpu().contiguous()
        for name, value in published(model.state_dict()).items()
        if not name.startswith(leave)
    }
    partial = path.with_suffix(".part")
    save_file(state, partial, metadata={"format": "pt"})
    partial.rename(path)


def load_weights(model: torch.nn.Module, path: Path, prefix: str = "") -> int:
    """Loads what fits by name (behind `prefix` in the file) and shape; returns the number of tensors loaded.

    So a smaller or older checkpoint, or one of the other kind, still gives what it has: a warm start.
    """
    given = {name[len(prefix) :]: value for name, value in load_file(path).items() if name.startswith(prefix)}
    for torch_name, name in RENAMED:
        given = {
            key.replace(name, torch_name) if key.endswith(name) else key: value.float() for key, value in given.items()
        }
    own = model.state_dict()
    fits = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(fits, strict=False)
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    return len(fits)


def is_trained(folder: Path) -> bool:
    """Whether a bundled checkpoint holds more than random weights, and has today's sizes."""
    card, config = folder / "README.md", folder / "config.json"
    if not (card.is_file() and config.is_file()) or "still random" in card.read_text(encoding="utf-8"):
        return False
    given = json.loads(config.read_text(encoding="utf-8"))
    return all(given[part] == nano.config("num_chroma" in given)[part] for part in ("audio_encoder", "decoder"))


def make_tokenizer():
    """The tokenizer of both checkpoints, made once of captions, and kept: its pieces differ from run to run."""
    from transformers import AutoTokenizer

    if not (TOKENIZER / "tokenizer.json").is_file():
        if all(is_trained(folder) for folder in FOLDERS.values()):
            return AutoTokenizer.from_pretrained(FOLDERS[False])
        TOKENIZER.mkdir(parents=True, exist_ok=True)
        texts = [text for seed in range(TOKENIZER_PIECES) for text in caption_clip(draw_clip(seed), seed)]
        write_tokenizer(TOKENIZER, texts, nano.TEXT_VOCABULARY)
    return AutoTokenizer.from_pretrained(TOKENIZER)


def warm_codec(model: torch.nn.Module) -> str:
    """Gives the codec trained weights if there are any: training's own, else the bundled. Returns where from, or ""."""
    if CODEC_FILE.is_file() and load_weights(model, CODEC_FILE):
        if ENCODER_FILE.is_file():
            load_weights(model.encoder, ENCODER_FILE)
        return CODEC_FILE.name
    bundled = FOLDERS[False] / "model.safetensors"
    if bundled.is_file() and is_trained(FOLDERS[False]) and load_weights(model, bundled, CODEC):
        return bundled.parent.name
    return ""


def share_of_rate(steps: int, warm_up: int, progress: float) -> float:
    """Of the learning rate: rises over the first steps, then falls as a cosine, while progress goes from 0 to 1."""
    return min(1, (steps + 1) / warm_up) * (0.02 + 0.49 * (1 + math.cos(math.pi * min(1, progress))))


def device_and_dtype() -> tuple[torch.device, torch.dtype]:
    """Where to train, and the type of its products: bfloat16, which has float32's range, where it is the faster.

    On a CPU that is one with AMX. With AVX-512's bfloat16 alone (one core) a step of the language model takes 1.6
    times as long as in float32, one of the codec 1.2 times.
    """
    if torch.cuda.is_available():
        return torch.device("cuda"), torch.bfloat16
    return torch.device("cpu"), torch.bfloat16 if torch.cpu._is_amx_tile_supported() else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Products in `dtype`; in float32 nothing is cast."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
