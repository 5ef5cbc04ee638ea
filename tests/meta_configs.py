"""The configurations of the MusicGen checkpoints that Meta published, as a table.

From transformers' convert_musicgen_transformers.py and convert_musicgen_melody_transformers.py (widths, depths, heads,
codebooks, special tokens), the config files on the hub, t5-base and facebook/encodec_32khz.
"""

import copy
from dataclasses import dataclass

SAMPLING_RATE = 32_000  # Hz
CODEBOOK_SIZE = 2_048


@dataclass(frozen=True)
class Size:
    """One row: `width`, `layers` and `heads` are the decoder's."""

    width: int
    layers: int
    heads: int
    melody: bool = False
    channels: int = 1


SIZES = {
    "small": Size(1_024, 24, 16),
    "medium": Size(1_536, 48, 24),
    "large": Size(2_048, 48, 32),
    "melody": Size(1_536, 48, 24, melody=True),
    "melody-large": Size(2_048, 48, 32, melody=True),
    "stereo-small": Size(1_024, 24, 16, channels=2),
    "stereo-medium": Size(1_536, 48, 24, channels=2),
    "stereo-large": Size(2_048, 48, 32, channels=2),
    "stereo-melody": Size(1_536, 48, 24, melody=True, channels=2),
    "stereo-melody-large": Size(2_048, 48, 32, melody=True, channels=2),
}

T5_BASE = {
    "model_type": "t5", "vocab_size": 32_128, "d_model": 768, "d_ff": 3_072, "d_kv": 64, "num_layers": 12,
    "num_decoder_layers": 12, "num_heads": 12, "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "feed_forward_proj": "relu", "dropout_rate": 0.1, "layer_norm_epsilon": 1e-6, "tie_word_embeddings": True,
    "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0,
}  # fmt: skip

ENCODEC_32KHZ = {
    "model_type": "encodec", "sampling_rate": SAMPLING_RATE, "audio_channels": 1, "normalize": False,
    "upsampling_ratios": [8, 5, 4, 4], "num_filters": 64, "num_residual_layers": 1, "hidden_size": 128,
    "codebook_size": CODEBOOK_SIZE, "codebook_dim": 128, "num_lstm_layers": 2, "target_bandwidths": [2.2],
    "kernel_size": 7, "last_kernel_size": 7, "residual_kernel_size": 3, "dilation_growth_rate": 2, "compress": 2,
    "trim_right_ratio": 1.0, "use_causal_conv": False, "pad_mode": "reflect", "norm_type": "weight_norm",
    "use_conv_shortcut": False, "chunk_length_s": None, "overlap": None,
}  # fmt: skip

GENERATION_CONFIG = {
    "do_sample": True, "guidance_scale": 3.0, "max_length": 1_500,
    "bos_token_id": CODEBOOK_SIZE, "decoder_start_token_id": CODEBOOK_SIZE, "pad_token_id": CODEBOOK_SIZE,
}  # fmt: skip

CLIP = {
    "feature_extractor_type": "EncodecFeatureExtractor", "sampling_rate": SAMPLING_RATE, "padding_side": "left",
    "padding_value": 0.0, "chunk_length_s": None, "overlap": None, "return_attention_mask": True,
}  # fmt: skip
CHROMA = {
    "feature_extractor_type": "MusicgenMelodyFeatureExtractor", "feature_size": 12, "num_chroma": 12, "n_fft": 16_384,
    "hop_length": 4_096, "chunk_length": 30, "n_samples": 30 * SAMPLING_RATE, "sampling_rate": SAMPLING_RATE,
    "padding_side": "right", "padding_value": 0.0, "return_attention_mask": False, "stem_indices": [3, 2],
}  # fmt: skip


def config(name: str, layers: int | None = None) -> dict:
    """config.json of the checkpoint `name`; with `layers` its decoder and text encoder have only so many."""
    size = SIZES[name]
    kind = "musicgen_melody" if size.melody else "musicgen"
    decoder = {
        "model_type": f"{kind}_decoder", "vocab_size": CODEBOOK_SIZE, "hidden_size": size.width,
        "ffn_dim": 4 * size.width,
        "num_hidden_layers": layers or size.layers, "num_attention_heads": size.heads,
        "num_codebooks": 4 * size.channels,
        "audio_channels": size.channels, "max_position_embeddings": 2_048, "activation_function": "gelu",
        "scale_embedding": False, "layerdrop": 0.0, "dropout": 0.1, "pad_token_id": CODEBOOK_SIZE,
        "bos_token_id": CODEBOOK_SIZE, "eos_token_id": None, "tie_word_embeddings": False,
    }  # fmt: skip
    text_encoder = T5_BASE | ({"num_layers": layers, "num_decoder_layers": layers} if layers else {})
    top = {"model_type": kind, "text_encoder": text_encoder, "audio_encoder": ENCODEC_32KHZ, "decoder": decoder}
    if size.melody:
        top |= {"num_chroma": 12, "chroma_length": 235}
    return copy.deepcopy(top)  # transformers takes entries out of what it is given


def clip_settings(name: str) -> dict:
    """preprocessor_config.json of the checkpoint `name`."""
    size = SIZES[name]
    return CHROMA if size.melody else CLIP | {"feature_size": size.channels}
