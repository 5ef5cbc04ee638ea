"""What plain torch + transformers makes of tests/reference/cases.py: reference.npz. README.md says how to run it.

Nothing of ours generates here. Three things are not as installed, since they do not work so:

- The melody checkpoint's `prepare_inputs_for_generation` in transformers 4.57 drops text, melody and guidance, because
  the cache exists before the first step (upstream #45647, mended by #48679). `Melody` puts that right, in torch.
- The melody feature extractor needs torchaudio for one transform. `Spectrogram` is that transform by `torch.stft`
  (hann window, centre padding by reflection, power 2, `normalized` = divided by the window's norm).
- `MusicgenProcessor.batch_decode(padding_mask=)` is not able to do stereo. Stereo clips are trimmed here.
"""

import shutil
import sys
import tempfile
import types
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from transformers.utils import import_utils


class Spectrogram(torch.nn.Module):
    """torchaudio.transforms.Spectrogram as far as the feature extractor uses it."""

    def __init__(self, n_fft, win_length, hop_length, power, center, pad, normalized):
        super().__init__()
        assert win_length == n_fft
        assert power == 2
        assert center
        assert pad == 0
        assert normalized is True
        self.n_fft, self.hop_length, self.window = n_fft, hop_length, torch.hann_window(n_fft)

    def forward(self, waveform):
        spectrum = torch.stft(
            waveform,
            self.n_fft,
            self.hop_length,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        return (spectrum / self.window.pow(2).sum().sqrt()).abs() ** 2


torchaudio = types.ModuleType("torchaudio")
torchaudio.__spec__ = ModuleSpec("torchaudio", None)
torchaudio.transforms = types.SimpleNamespace(Spectrogram=Spectrogram)
sys.modules["torchaudio"] = torchaudio
import_utils._torchaudio_available = True

from transformers import (  # noqa: E402
    AutoTokenizer,
    EncodecFeatureExtractor,
    MusicgenForConditionalGeneration,
    MusicgenMelodyForConditionalGeneration,
    MusicgenProcessor,
)  # fmt: skip
from transformers.modeling_outputs import BaseModelOutput  # noqa: E402
from transformers.models.musicgen_melody.feature_extraction_musicgen_melody import (  # noqa: E402
    MusicgenMelodyFeatureExtractor,
)

from tests.reference.cases import (  # noqa: E402
    CASES,
    CHROMA_CLIPS,
    KINDS,
    SAMPLING_RATE,
    STRIDE,
    TOKENIZER,
    TOKENS,
    Case,
    captions,
    config,
    write,
)  # fmt: skip
from training.random_weights import write_tokenizer  # noqa: E402


class Melody(MusicgenMelodyForConditionalGeneration):
    def prepare_inputs_for_generation(self, decoder_input_ids, past_key_values=None, **kwargs):
        if past_key_values is None or past_key_values.get_seq_length() > 0:
            return super().prepare_inputs_for_generation(decoder_input_ids, past_key_values=past_key_values, **kwargs)
        inputs = super().prepare_inputs_for_generation(decoder_input_ids, past_key_values=None, **kwargs)
        inputs["past_key_values"] = past_key_values
        return inputs


def reference(case: Case, model, tokenizer, feature_extractor) -> dict[str, np.ndarray]:
    """codes (rows, codebooks, frames), input_ids (rows, tokens), and each row's audio, its padding removed"""
    melody, channels = KINDS[case.kind]
    rows = max(len(case.prompts), len(case.clips))
    prompts = list(case.prompts) * (rows // len(case.prompts))
    text = tokenizer(prompts, padding=True, return_tensors="pt")
    if (
        not any(prompts) and not melody
    ):  # the null condition: a state of zeros, masked out, and nothing to guide towards
        null = model.get_unconditional_inputs(rows)
        inputs = {
            "encoder_outputs": BaseModelOutput(last_hidden_state=null.encoder_outputs[0]),
            "attention_mask": null.attention_mask,
        }
    else:
        mask = text.attention_mask if any(prompts) else torch.zeros_like(text.attention_mask)
        inputs = {"input_ids": text.input_ids, "attention_mask": mask}
    guidance_scale = case.guidance_scale if any(prompts) or (melody and case.clips) else 1.0

    padding_mask = None
    if case.clips and melody:
        clips = feature_extractor(
            [sound[0] for sound in case.sounds], sampling_rate=SAMPLING_RATE, padding=True, return_tensors="pt"
        )
        inputs["input_features"] = clips.input_features
    elif case.clips:
        sounds = [sound[0] if channels == 1 else sound for sound in case.sounds]
        clips = feature_extractor(sounds, sampling_rate=SAMPLING_RATE, padding=True, return_tensors="pt")
        padding_mask = clips.padding_mask
        inputs |= {"input_values": clips.input_values, "padding_mask": padding_mask}

    decoded = []  # the codes are not in `generate`'s answer: noted where they are handed to the codec
    decode = model.audio_encoder.decode

    def noting(codes, *args, **kwargs):
        decoded.append(codes[0].numpy().copy())
        return decode(codes, *args, **kwargs)

    model.audio_encoder.decode = noting
    try:
        audio = model.generate(**inputs, do_sample=False, guidance_scale=guidance_scale, max_new_tokens=TOKENS)
    finally:
        model.audio_encoder.decode = decode
    codes = np.stack(decoded, axis=2).reshape(rows, -1, decoded[0].shape[-1])  # stereo: left and right alternate

    if padding_mask is None:
        takes = list(audio.numpy())
    elif channels == 1:
        takes = MusicgenProcessor(feature_extractor, tokenizer).batch_decode(audio, padding_mask=padding_mask)
    else:
        longest = max(sound.shape[-1] for sound in case.sounds)
        takes = [take[:, longest - sound.shape[-1] :] for take, sound in zip(audio.numpy(), case.sounds, strict=True)]
    result = {"codes": codes.astype(np.int16), "input_ids": text.input_ids.numpy().astype(np.int16)}
    for row, take in enumerate(takes):
        result[f"samples{row}"] = np.int64(take.shape[-1])
        result[f"audio{row}"] = np.asarray(take)[:, ::STRIDE].astype(np.float32)
        result[f"peak{row}"] = np.float32(np.abs(take).max())
    return result


def main() -> None:
    torch.set_grad_enabled(False)
    values = {f"version/{package}": np.array(version(package)) for package in ("torch", "transformers", "numpy")}
    with tempfile.TemporaryDirectory() as parent:
        if not TOKENIZER.exists():
            write_tokenizer(Path(parent), captions(), config(False, 1)["text_encoder"]["vocab_size"])
            shutil.copy(Path(parent) / TOKENIZER.name, TOKENIZER)
        for kind, (melody, _) in KINDS.items():
            folder = write(Path(parent) / kind, kind)
            model = (Melody if melody else MusicgenForConditionalGeneration).from_pretrained(folder).eval()
            tokenizer = AutoTokenizer.from_pretrained(folder)
            extractor = (MusicgenMelodyFeatureExtractor if melody else EncodecFeatureExtractor).from_pretrained(folder)
            for name, case in CASES.items():
                if case.kind == kind:
                    result = reference(case, model, tokenizer, extractor)
                    values |= {f"case/{name}/{part}": value for part, value in result.items()}
                    print(name, result["codes"].shape, "distinct codes", len(np.unique(result["codes"])))
            if kind == "melody":
                for name, clips in CHROMA_CLIPS.items():
                    features = extractor(clips, sampling_rate=SAMPLING_RATE, padding=True, return_tensors="np")
                    classes = features.input_features.argmax(-1)  # one-hot: the class says all
                    assert (features.input_features.sum(-1) == 1).all()
                    values[f"chroma/{name}"] = classes.astype(np.uint8)
    out = Path(__file__).with_name("reference.npz")
    np.savez_compressed(out, **values)
    print(out.name, out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
