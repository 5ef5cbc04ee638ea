"""A take's code: a short script on MindNLP's own classes that makes it again, sample by sample.

What they lack or get wrong on the way, the script imports from this package by name. tests/engine/test_script.py runs
it for every mode and holds it to the engine `mindnlp`.
"""

from collections.abc import Mapping
from typing import Any

from musicgen_ui.checkpoints import MENU
from musicgen_ui.model_info import ModelInfo

_MAX_TEXT_TOKENS = 512
_SETTINGS = ("max_new_tokens", "guidance_scale", "do_sample")
_OF_SAMPLING = ("temperature", "top_k", "top_p")


def script_of(record: Mapping[str, Any], info: ModelInfo) -> str:
    """The script for the take that `record` tells of, made by `info`'s checkpoint. Its clip lies beside the script."""
    null = not record.get("prompt") and not info.melody  # melody checkpoints have no null inputs: theirs is masked text
    paragraphs = [
        _imports(record["mode"], info),
        _checkpoint(info),
        *(["null = model.get_unconditional_inputs(num_samples=1)"] if null else [_text(record, info)]),
        *(["\n".join(_clip(record, info))] if record["mode"] in ("continue", "melody") else []),
        _generate(record, info, null),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _imports(mode: str, info: ModelInfo) -> str:
    classes = "AutoTokenizer" if info.melody else "MusicgenForConditionalGeneration, MusicgenProcessor"
    clip = mode in ("continue", "melody")
    audio = {"continue": "read_clip, resampled, with_channels, ", "melody": "read_clip, "}.get(mode, "")
    lines = [
        "from pathlib import Path",
        "",
        "import numpy as np",
        "",
        "from musicgen_ui import cures",
        f"from mindnlp.transformers import {classes}",
        "from mindtorch import tensor" if mode == "melody" else "",
        f"from musicgen_ui.audio import {audio}write_audio",
        "from musicgen_ui.chroma import chroma_features, tune" if mode == "melody" else "",
        "from musicgen_ui.decoding.codec import decode_in_streams",
        "from musicgen_ui.limits import Limits" if clip else "",
    ]
    return "\n".join(line for number, line in enumerate(lines) if line or number in (1, 3))


def _checkpoint(info: ModelInfo) -> str:
    place = info.name
    if place in MENU:
        place = MENU[place].hub_id or f"assets/musicgen-{place}"
    if info.melody:
        reader, model = "tokenizer = AutoTokenizer", "cures.MelodyModel"
    else:
        reader, model = "processor = MusicgenProcessor", "MusicgenForConditionalGeneration"
    return f"""\
cures.apply()
checkpoint = {_literal(place)}
{reader}.from_pretrained(checkpoint)
model = {model}.from_pretrained(checkpoint, use_safetensors=True).eval()
cures.point_lstms_at_their_weights(model)
decode_in_streams(model)
rate = model.config.audio_encoder.sampling_rate"""


def _text(record: Mapping[str, Any], info: ModelInfo) -> str:
    prompt, padded = record.get("prompt") or "", record.get("padded_tokens")
    tokenizer = "tokenizer" if info.melody else "processor.tokenizer"
    padding = f'"max_length", max_length={padded}' if padded else f"True, max_length={_MAX_TEXT_TOKENS}"
    lines = [
        f"prompt = {_literal(prompt)}",
        f'text = {tokenizer}([prompt], padding={padding}, truncation=True, return_tensors="pt")',
    ]
    if not prompt:
        lines.append('text["attention_mask"] *= 0')
    return "\n".join(lines)


def _clip(record: Mapping[str, Any], info: ModelInfo) -> list[str]:
    """What makes `sound`, a clip to go on from, or `melody`, one to follow; padded where a longer one was beside it."""
    padded = _padded(record, info)
    lines = [f"clip = read_clip({_literal(record.get('clip') or 'clip.wav')}, Limits())"]
    if record["mode"] == "melody":
        drums = ", without_drums=True" if record.get("without_drums") else ""
        melody = f"np.pad(samples, (0, {padded} - len(samples)))" if padded else "samples"
        lines.append(f"samples = tune(clip, rate{drums})")
        return [*lines, f"melody = tensor(chroma_features([{melody}], rate))"]
    lines.append(f"samples = with_channels(resampled(clip.samples, clip.sampling_rate, rate), {info.channels})")
    padding = f'"max_length", max_length={padded}' if padded else "True"
    return [
        *lines,
        "sound = processor.feature_extractor(",
        f"    {'samples' if info.channels > 1 else 'samples[0]'}, sampling_rate=rate,",
        f'    padding={padding}, return_tensors="pt",',
        ")",
    ]


def _generate(record: Mapping[str, Any], info: ModelInfo, null: bool) -> str:
    inputs = ["**null" if null else "**text"]
    inputs += {"continue": ["**sound"], "melody": ["input_features=melody"]}.get(record["mode"], [])
    settings = [f"{name}={record[name]!r}" for name in _SETTINGS if not (null and name == "guidance_scale")]
    if record["do_sample"]:
        sampling = [f"        {', '.join(f'{name}={record[name]!r}' for name in _OF_SAMPLING)},"]
    else:
        sampling = []
    lines = [
        f"with cures.drawing_from([np.random.default_rng({record['seed']})]):",
        "    audio = model.generate(",
        f"        {', '.join(inputs)},",
        f"        {', '.join(settings)},",
        *sampling,
        "    )",
    ]
    padded = _padded(record, info) if record["mode"] == "continue" else 0
    if padded and info.channels == 1:
        lines += [
            "takes = processor.batch_decode(audio.numpy(), padding_mask=sound.padding_mask.numpy())",
            "take = takes[0].astype(np.float32)",
        ]
    elif padded:  # `batch_decode` can't do stereo
        lines.append(f"take = audio[0].numpy()[:, {padded} - samples.shape[1] :]")
    else:
        lines.append("take = audio[0].numpy()")
    return "\n".join([*lines, 'write_audio(Path("musicgen_out.wav"), take, rate)'])


def _padded(record: Mapping[str, Any], info: ModelInfo) -> int:
    """Samples that the clip was padded to; 0 where it was alone."""
    return round((record.get("padded_seconds") or 0.0) * info.sampling_rate)


def _literal(text: str) -> str:
    """`text` as Python writes it, in double quotes where that needs no backslash more."""
    return repr(text) if '"' in text else '"' + repr("'" + text)[2:]
