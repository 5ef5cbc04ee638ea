"""The architecture of musicgen-nano and musicgen-nano-melody: MusicGen's own, small.

Text encoder: T5 (Raffel et al. 2020). Decoder: MusicGen's (Copet et al. 2023). Codec: EnCodec 32 kHz
(Défossez et al. 2022). Both checkpoints hold codec and text encoder: these sizes make 62 MB in all, float16 but for the
codec's decoder.
"""

SAMPLING_RATE = 32_000  # Hz
HOP_RATIOS = [8, 5, 4, 4]  # of the codec's decoder, the encoder's backwards; product 640: 50 frames per second
CODEBOOKS = 4
CODEBOOK_SIZE = 1_024
CODEC_FILTERS = 16
CODEC_WIDTH = 48  # dimension of the codes; in many, few codes come into use
TEXT_VOCABULARY = 2_048
TEXT_WIDTH, TEXT_LAYERS, TEXT_HEADS, TEXT_INNER = 192, 3, 4, 384
WIDTH, LAYERS, HEADS, INNER = 320, 4, 5, 1_280  # of the decoder: few layers, for the time of a step goes into calls
MAX_LENGTH = 1_500  # tokens: 30 s
MAX_NEW_TOKENS = 503  # where a call names no number: 10 s

# Melody: one pitch class of 12 every 4,096 samples, for 30 s (as in Meta's melody checkpoints)
CHROMA_LENGTH = 235
CHROMA = {
    "feature_extractor_type": "MusicgenMelodyFeatureExtractor",
    "feature_size": 12, "num_chroma": 12, "n_fft": 16_384, "hop_length": 4_096, "chunk_length": 30,
    "n_samples": 30 * SAMPLING_RATE, "sampling_rate": SAMPLING_RATE, "padding_side": "right", "padding_value": 0.0,
    "return_attention_mask": False, "stem_indices": [3, 2],
}  # fmt: skip

# As in Meta's files: mono, no chunks, padded on the left, so that a batch of prompts ends together
CLIP = {
    "feature_extractor_type": "EncodecFeatureExtractor",
    "feature_size": 1, "sampling_rate": SAMPLING_RATE, "padding_side": "left", "padding_value": 0.0,
    "chunk_length_s": None, "overlap": None, "return_attention_mask": True,
}  # fmt: skip


def config(melody: bool) -> dict:
    """config.json of the checkpoint."""
    kind = "musicgen_melody" if melody else "musicgen"
    top = {
        "architectures": ["MusicgenMelodyForConditionalGeneration" if melody else "MusicgenForConditionalGeneration"],
        "model_type": kind,
        "text_encoder": {
            "model_type": "t5", "vocab_size": TEXT_VOCABULARY, "d_model": TEXT_WIDTH, "d_ff": TEXT_INNER,
            "d_kv": TEXT_WIDTH // TEXT_HEADS, "num_layers": TEXT_LAYERS, "num_decoder_layers": TEXT_LAYERS,
            "num_heads": TEXT_HEADS, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0,
            "dropout_rate": 0.0,
        },
        "audio_encoder": {
            "model_type": "encodec", "sampling_rate": SAMPLING_RATE, "audio_channels": 1, "normalize": False,
            "upsampling_ratios": HOP_RATIOS, "num_filters": CODEC_FILTERS, "hidden_size": CODEC_WIDTH,
            "codebook_size": CODEBOOK_SIZE, "codebook_dim": CODEC_WIDTH, "num_lstm_layers": 2,
            "target_bandwidths": [CODEBOOKS * (CODEBOOK_SIZE.bit_length() - 1) * SAMPLING_RATE / 640 / 1000],
            "use_causal_conv": False, "pad_mode": "reflect", "norm_type": "weight_norm", "chunk_length_s": None,
            "overlap": None, "use_conv_shortcut": False,
        },
        "decoder": {
            "model_type": f"{kind}_decoder", "vocab_size": CODEBOOK_SIZE, "hidden_size": WIDTH, "ffn_dim": INNER,
            "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_codebooks": CODEBOOKS,
            "audio_channels": 1, "max_position_embeddings": 2_048, "pad_token_id": CODEBOOK_SIZE,
            "bos_token_id": CODEBOOK_SIZE, "eos_token_id": None, "tie_word_embeddings": False,
            "dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "layerdrop": 0.0,
        },
    }  # fmt: skip
    return top | {"num_chroma": 12, "chroma_length": CHROMA_LENGTH} if melody else top


GENERATION_CONFIG = {
    "do_sample": True, "guidance_scale": 3.0, "max_length": MAX_LENGTH, "max_new_tokens": MAX_NEW_TOKENS,
    "bos_token_id": CODEBOOK_SIZE, "decoder_start_token_id": CODEBOOK_SIZE, "pad_token_id": CODEBOOK_SIZE,
}  # fmt: skip
