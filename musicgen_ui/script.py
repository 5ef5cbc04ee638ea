"""A take's code: a short script on MindNLP's own classes that makes it again, sample by sample.

What they lack or get wrong on the way, the script imports from this package by name. What the model can't hold at once
is made in a loop, window by window, as windows.py plans it. tests/engine/test_script.py runs the script for every mode
and holds it to the engine `mindnlp`.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from musicgen_ui.checkpoints import MENU
from musicgen_ui.chroma import CHUNK_SECONDS
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.sections import text_at
from musicgen_ui.windows import held, overlap

_MAX_TEXT_TOKENS = 512
_OF_SAMPLING = ("temperature", "top_k", "top_p")


def script_of(record: Mapping[str, Any], info: ModelInfo, parts: Sequence[tuple[int, str]]) -> str:
    """The script for the take that `record` tells of, made by `info`'s checkpoint. Its clip lies beside the script.

    parts: (first frame, text) of each section of its prompt, in the batch's frames.
    """
    sections = _sections(record, info, parts)
    windows = len(sections) > 1 or not _held(record, info)
    null = not record.get("prompt") and not info.melody  # melody checkpoints have no null inputs: theirs is masked text
    paragraphs = [_imports(record["mode"], info, windows), _checkpoint(info, windows)]
    if null:
        paragraphs.append("null = model.get_unconditional_inputs(num_samples=1)")
    elif not windows:
        prompt = sections[0][1]
        paragraphs.append("\n".join([f"prompt = {_literal(prompt)}", *_text(record, info, prompt)]))
    if record["mode"] in ("continue", "melody"):
        paragraphs.append("\n".join(_clip(record, info, windows)))
    if windows:
        paragraphs += [_loop(record, info, sections, null), _sound(record, info)]
    else:
        paragraphs.append(_generate(record, info, null))
    return "\n\n".join(paragraphs) + "\n"


def _given(record: Mapping[str, Any]) -> int:
    """Frames of the clip that is continued."""
    return record["shapes"].get("clip_encoder", (0, 0))[1]


def _held(record: Mapping[str, Any], info: ModelInfo) -> bool:
    """Whether the model holds clip and new music at once."""
    return held(info, _given(record), record["max_new_tokens"])


def _sections(record: Mapping[str, Any], info: ModelInfo, parts: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """(frame at which it ends, text) of all that is new; those of the batch's other prompts end a section too."""
    given = _given(record)
    end = given + max(1, record["max_new_tokens"] - (info.codebooks - 1))
    borders = [border for border in record["section_frames"] if given < border < end]
    return [(stop, text_at(parts, start)) for start, stop in pairwise([given, *borders, end])]


def _imports(mode: str, info: ModelInfo, windows: bool) -> str:
    classes = "AutoTokenizer" if info.melody else "MusicgenForConditionalGeneration, MusicgenProcessor"
    clip = mode in ("continue", "melody")
    audio = {"continue": "read_clip, resampled, with_channels, ", "melody": "read_clip, "}.get(mode, "")
    codec = "decode_in_streams"
    if windows:
        codec = f"StreamingCodec, {'encode, ' if mode == 'continue' else ''}hand_out_codes"
    lines = [
        "from pathlib import Path",
        "",
        "import numpy as np",
        "",
        "from musicgen_ui import cures",
        f"from mindnlp.transformers import {classes}",
        "from mindtorch import tensor" if mode == "melody" or windows else "",
        f"from musicgen_ui.audio import {audio}write_audio",
        f"from musicgen_ui.chroma import chroma_features, {'from_second, ' if windows else ''}tune"
        if mode == "melody"
        else "",
        f"from musicgen_ui.decoding.codec import {codec}",
        "from musicgen_ui.limits import Limits" if clip else "",
    ]
    return "\n".join(line for number, line in enumerate(lines) if line or number in (1, 3))


def _checkpoint(info: ModelInfo, windows: bool) -> str:
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
{"hand_out_codes" if windows else "decode_in_streams"}(model)
rate = model.config.audio_encoder.sampling_rate"""


def _text(record: Mapping[str, Any], info: ModelInfo, prompt: str) -> list[str]:
    """What makes `text` of `prompt`, the variable whose value it is."""
    padded = record.get("padded_tokens")
    tokenizer = "tokenizer" if info.melody else "processor.tokenizer"
    padding = f'"max_length", max_length={padded}' if padded else f"True, max_length={_MAX_TEXT_TOKENS}"
    lines = [f'text = {tokenizer}([prompt], padding={padding}, truncation=True, return_tensors="pt")']
    if not prompt:
        lines.append('text["attention_mask"] *= 0')
    return lines


def _clip(record: Mapping[str, Any], info: ModelInfo, windows: bool) -> list[str]:
    """What makes of the clip, padded where a longer one was beside it, what `generate` is told.

    To be continued: `sound`, or its `codes` for windows. To be followed: `melody`, or for windows all `chroma`.
    """
    lines = [f"clip = read_clip({_literal(record.get('clip') or 'clip.wav')}, Limits())"]
    if record["mode"] == "melody":
        return lines + _melody(record, info, windows)
    padded = _padded(record, info)
    padding = f'"max_length", max_length={padded}' if padded else "True"
    lines += [
        f"samples = with_channels(resampled(clip.samples, clip.sampling_rate, rate), {info.channels})",
        "sound = processor.feature_extractor(",
        f"    {'samples' if info.channels > 1 else 'samples[0]'}, sampling_rate=rate,",
        f'    padding={padding}, return_tensors="{"np" if windows else "pt"}",',
        ")",
    ]
    if windows:
        shape = f"{info.codebooks}, {info.channels}, -1"
        lines.append(f"codes = encode(model.audio_encoder, sound.input_values, sound.padding_mask).reshape({shape})")
    return lines


def _melody(record: Mapping[str, Any], info: ModelInfo, windows: bool) -> list[str]:
    """What one window holds is told of 30 s, a longer piece of the whole melody."""
    padded = _padded(record, info)
    samples = f"np.pad(samples, (0, {padded} - len(samples)))" if padded else "samples"
    drums = ", without_drums=True" if record.get("without_drums") else ""
    seconds = ""
    longest = max(record.get("padded_seconds") or 0.0, record.get("clip_seconds") or 0.0)
    if not _held(record, info) and longest >= CHUNK_SECONDS:
        seconds = f", chunk_seconds={int(longest) + 1}"
    chroma = f"chroma_features([{samples}], rate{seconds})"
    return [
        f"samples = tune(clip, rate{drums}{seconds})",
        f"chroma = {chroma}" if windows else f"melody = tensor({chroma})",
    ]


def _generate(record: Mapping[str, Any], info: ModelInfo, null: bool) -> str:
    inputs = ["**null" if null else "**text"]
    inputs += {"continue": ["**sound"], "melody": ["input_features=melody"]}.get(record["mode"], [])
    lines = [
        f"with cures.drawing_from([np.random.default_rng({record['seed']})]):",
        "    audio = model.generate(",
        *_indented(8, _arguments(record, inputs, record["max_new_tokens"], null)),
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


def _loop(record: Mapping[str, Any], info: ModelInfo, sections: Sequence[tuple[int, str]], null: bool) -> str:
    """What makes all `codes` as `windows.plan` has it: the sections' ends are its borders."""
    each = "end" if null else "end, prompt"
    ends = [str(end) if null else f"({end}, {_literal(text)})" for end, text in sections]
    told = "  # until which frame" if null else "  # until which frame, and its description"
    if len(ends) == 1:
        lines = [f"sections = [{ends[0]}]{told}"]
    else:
        lines = [f"sections = [{told}", *_indented(4, [f"{end}," for end in ends]), "]"]
    if record["mode"] != "continue":
        lines.append(f"codes = np.empty(({info.codebooks}, {info.channels}, 0), int)  # codebooks, channels, frames")
    lines += [
        f"with cures.drawing_from([np.random.default_rng({record['seed']})]):",
        f"    for {each} in sections:",
        *([] if null else _indented(8, _text(record, info, sections[0][1]))),
        "        while (start := codes.shape[-1]) < end:  # a window",
        f"            heard = min(start, {overlap(info)})  # frames before it",
        '            before = {"decoder_input_ids": tensor(codes[..., -heard:].reshape(-1, heard))} if heard else {}',
        f"            new = min(end - start, {info.max_length} - heard)  # frames that it adds",
    ]
    inputs = ["**null" if null else "**text", "**before"]
    if record["mode"] == "melody":
        inputs.append("input_features=melody")
        begin = f"(start - heard) / {info.frame_rate!r}"
        lines.append(f"            melody = tensor(from_second(chroma, {begin}, rate))")
    lines += [
        f"            made = model.generate(  # {info.codebooks - 1} steps more: the delay pattern",
        *_indented(16, _arguments(record, inputs, f"new + {info.codebooks - 1}", null)),
        "            )",
        "            codes = np.concatenate([codes, made.numpy()[..., -new:]], axis=-1)",
    ]
    return "\n".join(lines)


def _sound(record: Mapping[str, Any], info: ModelInfo) -> str:
    """What makes the take of `codes`, without the padding of its clip."""
    padded = _padded(record, info) if record["mode"] == "continue" else 0
    lines = [
        "codec = StreamingCodec(model.audio_encoder)",
        "take = np.stack([codec.decode(side) for side in codes.swapaxes(0, 1)])",
        *([f"take = take[:, {padded} - samples.shape[1] :]"] if padded else []),
        'write_audio(Path("musicgen_out.wav"), take, rate)',
    ]
    return "\n".join(lines)


def _arguments(record: Mapping[str, Any], inputs: Sequence[str], tokens: str, null: bool) -> list[str]:
    """`generate`'s, in lines."""
    guidance = [] if null else [f"guidance_scale={record['guidance_scale']!r}"]
    lines = [inputs, [f"max_new_tokens={tokens}", *guidance, f"do_sample={record['do_sample']!r}"]]
    if record["do_sample"]:
        lines.append([f"{name}={record[name]!r}" for name in _OF_SAMPLING])
    return [", ".join(line) + "," for line in lines]


def _indented(spaces: int, lines: Sequence[str]) -> list[str]:
    return [spaces * " " + line for line in lines]


def _padded(record: Mapping[str, Any], info: ModelInfo) -> int:
    """Samples that the clip was padded to; 0 where it was alone."""
    return round((record.get("padded_seconds") or 0.0) * info.sampling_rate)


def _literal(text: str) -> str:
    """`text` as Python writes it, in double quotes where that needs no backslash more."""
    return repr(text) if '"' in text else '"' + repr("'" + text)[2:]
