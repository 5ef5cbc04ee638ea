"""Tiny checkpoints and the calls made on them, by transformers (make_reference.py) and by us (tests/engine).

Sizes are the smallest that keep everything of MusicGen's: three stages, the delay pattern, 32 kHz, left padding.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from training.random_weights import write_checkpoint

SAMPLING_RATE = 32_000  # Hz
HOP_LENGTH = 640  # samples per frame
CODEBOOK_SIZE = 64
CHROMA_LENGTH = 20  # frames; Meta's have 235
TOKENS = 12  # new ones in every case
STRIDE = 7  # of the audio every seventh sample is stored: prime to the codec's hop, so every phase is seen

WORDS = [
    "slow",
    "fast",
    "warm",
    "bright",
    "piano",
    "guitar",
    "drums",
    "bass",
    "pads",
    "strings",
    "calm",
    "happy",
    "song",
    "loop",
    "in",
    "minor",
    "major",
    "with",
    "and",
]
TOKENIZER = Path(__file__).with_name("tokenizer.json")  # kept: the unigram trainer's pieces differ from run to run
PROMPTS = ("slow piano", "bright drums with a fast bass and warm pads in minor")


def config(melody: bool, channels: int, **decoder: int) -> dict:
    """config.json of a tiny checkpoint; `decoder` are other sizes of that part."""
    kind = "musicgen_melody" if melody else "musicgen"
    top = {
        "model_type": kind,
        "text_encoder": {
            "model_type": "t5", "vocab_size": 128, "d_model": 24, "d_ff": 48, "d_kv": 12, "num_layers": 2,
            "num_decoder_layers": 2, "num_heads": 2, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0,
            "dropout_rate": 0.0,
        },
        "audio_encoder": {
            "model_type": "encodec", "sampling_rate": SAMPLING_RATE, "audio_channels": 1, "normalize": False,
            "upsampling_ratios": [8, 5, 4, 4], "num_filters": 4, "hidden_size": 16, "codebook_size": CODEBOOK_SIZE,
            "codebook_dim": 16, "num_lstm_layers": 2, "target_bandwidths": [1.2], "use_causal_conv": False,
            "pad_mode": "reflect", "norm_type": "weight_norm", "chunk_length_s": None, "overlap": None,
            "use_conv_shortcut": False,
        },
        "decoder": {
            "model_type": f"{kind}_decoder", "vocab_size": CODEBOOK_SIZE, "hidden_size": 32, "ffn_dim": 64,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_codebooks": 4 * channels, "audio_channels": channels,
            "max_position_embeddings": 2_048, "pad_token_id": CODEBOOK_SIZE, "bos_token_id": CODEBOOK_SIZE,
            "eos_token_id": None, "tie_word_embeddings": False, "dropout": 0.0, "attention_dropout": 0.0,
            "activation_dropout": 0.0, "layerdrop": 0.0, **decoder,
        },
    }  # fmt: skip
    return top | {"num_chroma": 12, "chroma_length": CHROMA_LENGTH} if melody else top


GENERATION_CONFIG = {
    "do_sample": True, "guidance_scale": 3.0, "max_length": 100,
    "bos_token_id": CODEBOOK_SIZE, "decoder_start_token_id": CODEBOOK_SIZE, "pad_token_id": CODEBOOK_SIZE,
}  # fmt: skip


def clip_settings(melody: bool, channels: int) -> dict:
    """preprocessor_config.json of a tiny checkpoint: the values in Meta's files."""
    if melody:
        return {
            "feature_extractor_type": "MusicgenMelodyFeatureExtractor", "feature_size": 12, "num_chroma": 12,
            "n_fft": 16_384, "hop_length": 4_096, "chunk_length": 30, "n_samples": 30 * SAMPLING_RATE,
            "sampling_rate": SAMPLING_RATE, "padding_side": "right", "padding_value": 0.0,
            "return_attention_mask": False, "stem_indices": [3, 2],
        }  # fmt: skip
    return {
        "feature_extractor_type": "EncodecFeatureExtractor", "feature_size": channels, "sampling_rate": SAMPLING_RATE,
        "padding_side": "left", "padding_value": 0.0, "chunk_length_s": None, "overlap": None,
        "return_attention_mask": True,
    }  # fmt: skip


KINDS = {  # name: (melody, channels)
    "mono": (False, 1),
    "stereo": (False, 2),
    "melody": (True, 1),
    "stereo-melody": (True, 2),
}


def captions() -> list[str]:
    """What the tiny tokenizers are trained on."""
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, 6)) for _ in range(200)] + list(PROMPTS)


def write(
    folder: Path,
    kind: str,
    generation_config: Mapping = GENERATION_CONFIG,
    decoder: Mapping[str, int] = MappingProxyType({}),
    **layout,
) -> Path:
    """Writes the tiny checkpoint `kind` into `folder`, by the names of Meta's files (weight_g, weight_v).

    `decoder` are other sizes of that part than `config`'s.
    """
    melody, channels = KINDS[kind]
    write_checkpoint(
        folder,
        config(melody, channels, **decoder),
        generation_config,
        clip_settings(melody, channels),
        captions(),
        seed=1,
        **layout,
    )
    shutil.copy(TOKENIZER, folder / "tokenizer.json")
    return folder


def tune(notes: str, seconds: float, channels: int = 1) -> np.ndarray:
    """(channels, samples) float32 at 32 kHz: `notes` (c to b) one after the other, plucked, over soft noise."""
    pitches = {"c": 60, "d": 62, "e": 64, "f": 65, "g": 67, "a": 69, "b": 71}
    count = round(seconds * SAMPLING_RATE)
    time = np.arange(count) / SAMPLING_RATE
    each = seconds / len(notes)
    index = np.minimum((time / each).astype(int), len(notes) - 1)
    frequency = 440 * 2 ** ((np.array([pitches[note] for note in notes])[index] - 69) / 12)  # Hz
    pluck = np.exp(-4 * (time % each) / each)
    sound = 0.3 * pluck * (np.sin(2 * np.pi * frequency * time) + 0.3 * np.sin(4 * np.pi * frequency * time))
    noise = np.random.default_rng(len(notes)).standard_normal((channels, count))
    pan = np.linspace(1, 0.6, channels)[:, None]
    return (pan * sound + 0.01 * noise).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """One greedy call of `TOKENS` new tokens. A melody checkpoint follows its clips, the others continue them."""

    kind: str
    prompts: tuple[str, ...] = ("",)
    guidance_scale: float = 3.0
    clips: tuple[tuple[str, float], ...] = ()  # (notes, seconds)

    @property
    def sounds(self) -> list[np.ndarray]:
        melody, channels = KINDS[self.kind]
        return [tune(notes, seconds, 1 if melody else channels) for notes, seconds in self.clips]


SHORT, LONG = ("ceg", 0.31), ("gfedc", 0.475)  # neither is a whole number of frames
MELODIES = (("cegcaf", 1.7), ("baged", 0.4))  # the second is shorter than one window of the transform

CASES = {
    "unconditional": Case("mono"),
    "text": Case("mono", PROMPTS),
    "text-unguided": Case("mono", PROMPTS, 1.0),
    "clip": Case("mono", clips=(LONG,)),
    "clips": Case("mono", clips=(SHORT, LONG)),
    "clip-text": Case("mono", PROMPTS[:1], clips=(SHORT,)),
    "clips-text": Case("mono", PROMPTS, clips=(SHORT, LONG)),
    "clips-text-unguided": Case("mono", PROMPTS, 1.0, clips=(LONG, SHORT)),
    "stereo-unconditional": Case("stereo"),
    "stereo-text": Case("stereo", PROMPTS),
    "stereo-clip-text": Case("stereo", PROMPTS[:1], clips=(LONG,)),
    "stereo-clips-text": Case("stereo", PROMPTS, clips=(SHORT, LONG)),
    "melody-unconditional": Case("melody"),
    "melody-text": Case("melody", PROMPTS),
    "melody-clip": Case("melody", clips=MELODIES[:1]),
    "melody-clip-text": Case("melody", PROMPTS[:1], clips=MELODIES[:1]),
    "melody-clips-text": Case("melody", PROMPTS, clips=MELODIES),
    "melody-clips-text-unguided": Case("melody", PROMPTS, 1.0, clips=MELODIES),
    "stereo-melody-clip-text": Case("stereo-melody", PROMPTS[:1], clips=MELODIES[:1]),
}

CHROMA_CLIPS = {  # what the melody's features are compared on: lists of mono clips, one batch each
    "tune": [tune("cdefgabagfed", 4.0)[0]],
    "batch": [tune("cegcaf", 2.0)[0], tune("bag", 1.1)[0]],
    "short": [tune("ce", 0.3)[0]],
    "silent half": [np.concatenate([tune("ga", 1.0)[0], np.zeros(48_000, np.float32)])],
    "chord": [(tune("c", 1.5) + tune("e", 1.5) + tune("g", 1.5))[0]],
    "noise": [0.1 * np.random.default_rng(5).standard_normal(3 * SAMPLING_RATE).astype(np.float32)],
    "longer than 30 s": [np.tile(tune("cfgc", 4.0)[0], 8)],
}
