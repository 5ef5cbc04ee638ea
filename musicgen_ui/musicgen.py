"""One MusicGen checkpoint: four verbs, one path through the three stages.

Text encoder → one Transformer decoder over codebooks in delay pattern → EnCodec (Copet et al. 2023,
"Simple and Controllable Music Generation"). Text encoder and codec are MindNLP's; the decoder's steps are run by one
of the engines: `mindnlp` is MindNLP's own `generate`, the reference, to which the others are held.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from musicgen_ui import cures  # MindNLP first: it stands in for torch when transformers is imported

# isort: split
from transformers import AutoTokenizer, EncodecFeatureExtractor, GenerationConfig

from musicgen_ui.audio import resampled, with_channels
from musicgen_ui.chroma import CHUNK_SECONDS, chroma_features, from_second, tune
from musicgen_ui.decoding.codec import StreamingCodec, encode, load_codec
from musicgen_ui.decoding.conditioning import MAX_TEXT_TOKENS, Conditioner
from musicgen_ui.decoding.graph import GraphDecoder
from musicgen_ui.decoding.packed import PackedDecoder
from musicgen_ui.decoding.packing import can_pack
from musicgen_ui.decoding.piece import Piece, Progress, Stopped, never, no_progress
from musicgen_ui.decoding.reference import Reference
from musicgen_ui.decoding.sounds import Heard, Sounds, unheard
from musicgen_ui.decoding.store import quantized_weights
from musicgen_ui.decoding.tokens import (
    AfterStep,
    Conditions,
    Decoder,
    DelayPattern,
    Embeddings,
    generate_tokens,
)
from musicgen_ui.decoding.weights import Tensors, decoder_weights
from musicgen_ui.errors import InputError
from musicgen_ui.memory import read_speed
from musicgen_ui.model_info import ModelInfo, read_model_info
from musicgen_ui.request import Clip, Settings
from musicgen_ui.script import script_of
from musicgen_ui.sections import sections, text_at
from musicgen_ui.take import Take
from musicgen_ui.windows import Window, held, plan

_BITS = {"float32": 32, "int8": 8, "int4": 4}
_KEEPS_UP = 0.6  # share of real time that reading the weights may take: the rest is attention, codec


class MusicGen:
    """A loaded checkpoint. Not thread-safe (MindNLP isn't): `Pipeline` sees to one call at a time.

    Text encoder and codec are loaded at once, the decoder for each engine when it is first asked for.
    """

    def __init__(self, name: str, folder: Path) -> None:
        """Loads `folder`, a checkpoint in the hub's layout. Raises InputError where it is broken or of another kind."""
        self.info: ModelInfo = read_model_info(name, folder)
        self._folder = folder
        self._decoders: dict[str, Decoder] = {}
        self._reference: Reference | None = None
        file = "config.json"
        try:
            self._config = json.loads((folder / file).read_text(encoding="utf-8"))
            file = "tokenizer.json"
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            if not self.info.melody:  # a melody goes through musicgen_ui.chroma instead
                file = "preprocessor_config.json"
                self.feature_extractor = EncodecFeatureExtractor.from_pretrained(folder)
            file = "model.safetensors"
            self.tensors = Tensors(folder)
            self.embeddings = Embeddings(self.tensors, self._config["decoder"])
            self._conditioner = Conditioner(self.tensors, self._config, tokenizer)
            self.weights = decoder_weights(self.tensors, self._config["decoder"])
            self._codec = load_codec(self.tensors, self._config["audio_encoder"])
            self._streaming = StreamingCodec(self._codec)
            del self._codec.decoder  # the streams have its weights
            if (folder / "generation_config.json").is_file():
                file = "generation_config.json"
                config = GenerationConfig.from_pretrained(folder).to_diff_dict()
                self.info = replace(self.info, generation_config=_plain(config))
        except MemoryError:
            raise
        except Exception as fault:  # safetensors, tokenizers and transformers each have their own kinds
            raise InputError("error.checkpoint_broken", model=name, file=file) from fault

    @property
    def reference(self) -> Reference:
        """The whole checkpoint as MindNLP runs it, loaded when it is first asked for."""
        if self._reference is None:
            self._reference = Reference(self._folder, self.info.melody, self._conditioner)
        return self._reference

    def prepare(self, engine: str = "auto") -> None:
        """Makes `engine` ready, as the first call would otherwise. InputError where this checkpoint can't have it."""
        engine = self.engine_for(engine)
        if engine == "mindnlp":
            self.reference  # noqa: B018  (loads it)
        else:
            self.decoder(engine)
        self.tensors.release()

    @property
    def start_token(self) -> int:
        """What every row starts with, and what stands where the delay leaves no code."""
        start = self.info.generation_config.get("decoder_start_token_id")
        return int(self._config["decoder"]["pad_token_id"] if start is None else start)

    def conditions(
        self, texts: Sequence[str], guided: bool, padded_tokens: int = 0, chroma: np.ndarray | None = None
    ) -> Conditions:
        """What the decoder is told of one text (and melody) per row; as many null rows follow if `guided`."""
        return self._conditioner(texts, padded_tokens, chroma, guided)

    def decoder(self, engine: str) -> Decoder:
        """The engine's decoder on this checkpoint's weights, made when it is first asked for."""
        if engine not in self._decoders:
            for other in _BITS.keys() & self._decoders.keys():  # of MindSpore's memory nothing comes back
                del self._decoders[other]
            if engine == "graph":
                self._decoders[engine] = GraphDecoder(self.weights)
            else:
                bits = _BITS[engine]
                try:
                    weights = self.weights if bits == 32 else quantized_weights(self.weights, self.tensors, bits)
                    self._decoders[engine] = PackedDecoder(weights, bits)
                except ValueError as fault:
                    raise InputError("error.engine_model", engine=engine, model=self.info.name) from fault
        return self._decoders[engine]

    @property
    def sampling_rate(self) -> int:
        """Samples per second of the codec (Hz)."""
        return self.info.sampling_rate

    @property
    def frame_rate(self) -> float:
        """Roughly the number of decoding steps per second of music (Hz)."""
        return self.info.frame_rate

    def generate_unconditional(
        self, settings: Settings = Settings(), seeds: Sequence[int] = (0,), **control
    ) -> list[Take]:
        """Music without any description, one take per seed.

        The reference's null inputs: a text state of zeros that is masked out, and no guidance.
        """
        return self._run({"mode": "unconditional"}, [""], [], settings, seeds, **control)

    def generate(
        self, prompts: Sequence[str], settings: Settings = Settings(), seeds: Sequence[int] = (0,), **control
    ) -> list[Take]:
        """Music from descriptions, padded into one batch: for each prompt one take per seed."""
        return self._run({"mode": "text"}, prompts, [], settings, seeds, **control)

    def generate_continuation(
        self,
        clips: Sequence[Clip],
        prompts: Sequence[str] = ("",),
        padded_seconds: float = 0.0,
        settings: Settings = Settings(),
        seeds: Sequence[int] = (0,),
        **control,
    ) -> list[Take]:
        """Clips and how they go on. Clips of different lengths are padded on the left into one batch, the
        padding is removed from the takes; `padded_seconds` asks for more of it than the longest clip needs.

        One prompt serves all clips, one clip all prompts; otherwise there must be as many (ValueError).
        """
        if self.info.melody:
            raise InputError("error.model_cannot_continue", model=self.info.name)
        started = time.perf_counter()
        prepared = [
            with_channels(resampled(clip.samples, clip.sampling_rate, self.sampling_rate), self.info.channels)
            for clip in clips
        ]
        longest = max(round(padded_seconds * self.sampling_rate), *(samples.shape[-1] for samples in prepared))
        inputs = self.feature_extractor(
            [samples if len(samples) > 1 else samples[0] for samples in prepared],
            sampling_rate=self.sampling_rate, padding="max_length", max_length=longest, return_tensors="np",
        )  # fmt: skip
        samples, mask = inputs["input_values"], inputs["padding_mask"]
        codes = encode(self._codec, samples.reshape(len(clips), self.info.channels, -1), mask)
        record = {
            "mode": "continue",
            "padded_seconds": longest / self.sampling_rate if len(clips) > 1 or padded_seconds else 0.0,
            "stages": {"clip_encoder": time.perf_counter() - started},
        }
        padding = [longest - samples.shape[-1] for samples in prepared]
        return self._run(record, prompts, clips, settings, seeds, prompt_codes=codes, padding=padding, **control)

    def generate_with_chroma(
        self,
        clips: Sequence[Clip],
        prompts: Sequence[str] = ("",),
        padded_seconds: float = 0.0,
        without_drums: bool = False,
        settings: Settings = Settings(),
        seeds: Sequence[int] = (0,),
        **control,
    ) -> list[Take]:
        """Music that follows the clips' melodies: their strongest pitch class, frame by frame.

        Clips of different lengths are padded on the right with silence; `padded_seconds` asks for more of it.
        `without_drums`: their hits are taken out first.
        """
        if not self.info.melody:
            raise InputError("error.model_cannot_follow", model=self.info.name)
        started = time.perf_counter()
        # What one window holds is told of 30 s, as the reference is; a longer piece of the whole melody.
        single = held(self.info, 0, settings.max_new_tokens or 0)
        seconds = CHUNK_SECONDS if single else max(CHUNK_SECONDS, *(clip.seconds for clip in clips))
        prepared = [tune(clip, self.sampling_rate, without_drums, seconds) for clip in clips]
        longest = max(round(padded_seconds * self.sampling_rate), *(len(samples) for samples in prepared))
        features = np.concatenate(
            [
                chroma_features(
                    [np.pad(samples, (0, longest - len(samples)))],
                    self.sampling_rate,
                    n_chroma=self._config["num_chroma"],
                    chunk_seconds=CHUNK_SECONDS if single else math.ceil(longest / self.sampling_rate),
                )
                for samples in prepared
            ]
        )
        record = {
            "mode": "melody",
            "without_drums": without_drums,
            "padded_seconds": longest / self.sampling_rate if len(clips) > 1 or padded_seconds else 0.0,
            "stages": {"chroma": time.perf_counter() - started},
        }
        return self._run(record, prompts, clips, settings, seeds, chroma=features, **control)

    def _run(
        self,
        record: dict,
        prompts: Sequence[str],
        clips: Sequence[Clip],
        settings: Settings,
        seeds: Sequence[int],
        prompt_codes: np.ndarray | None = None,
        padding: Sequence[int] = (),
        chroma: np.ndarray | None = None,
        padded_tokens: int = 0,
        section_frames: Sequence[int] = (),
        engine: str = "auto",
        generation_config: Mapping[str, Any] = MappingProxyType({}),
        progress: Progress = no_progress,
        stopped: Stopped = never,
        heard: Heard = unheard,
    ) -> list[Take]:
        """The path of all verbs: prepare the conditioning, generate tokens, decode them, one row per take.

        What the model can't hold at once is made in windows (windows.py); each of a prompt's sections begins one.
        prompt_codes: (clips, codebooks, frames); padding: samples on the left of each clip;
        chroma: (clips, frames, 12); padded_tokens: pads the text to so many tokens, if it has fewer;
        section_frames: where windows begin besides; record: what the verb has to say about the takes.
        """
        conditions = max(len(prompts), len(clips))
        if len(prompts) not in (1, conditions) or (clips and len(clips) not in (1, conditions)):
            raise ValueError(f"Expected as many prompts as clips, or one of either, got {len(prompts)}, {len(clips)}")
        rows = [
            _Row(prompts[condition % len(prompts)], condition % max(len(clips), 1), seed)
            for condition in range(conditions)
            for seed in seeds
        ]
        clip_of_row = [row.clip for row in rows]
        if prompt_codes is not None:
            prompt_codes = prompt_codes[clip_of_row]
        if chroma is not None:
            chroma = chroma[clip_of_row]
        config = {**self.info.generation_config, **generation_config}
        settings = settings.superseding(config)
        if chroma is None and not any(row.prompt for row in rows):
            settings = replace(settings, guidance_scale=1.0)  # nothing to guide towards: both halves would be the same
        cut = [padding[row.clip] for row in rows] if padding else [0] * len(rows)
        parts = [self._sections(row.prompt, samples) for row, samples in zip(rows, cut, strict=True)]
        if padded_tokens or len(prompts) > 1 or len({tuple(row[1:]) for row in parts}) > 1:  # not all told the same
            texts = [text for row in parts for _, text in row]
            padded_tokens = min(MAX_TEXT_TOKENS, max(padded_tokens, self._conditioner.tokens(texts)))
        engine = self.engine_for(engine)
        new_tokens = settings.max_new_tokens or self.info.max_new_tokens
        if prompt_codes is None:
            prompt_codes = np.empty((len(rows), self.weights.codebooks, 0), np.int64)
        given = prompt_codes.shape[-1]
        section_frames = sorted({*section_frames, *(frame for row in parts for frame, _ in row[1:])})
        windows = plan(self.info, given, new_tokens, section_frames)
        sounds = Sounds(self._streaming, len(rows), self.info.channels, cut, heard)
        piece = Piece(prompt_codes, self.info.channels, new_tokens, sounds, progress, stopped)
        generators = [np.random.default_rng(row.seed) for row in rows]
        started = time.perf_counter()
        self._generate_windows(engine, piece, windows, parts, padded_tokens, settings, config, chroma, generators)
        stages = {**record.get("stages", {}), "text_encoder": piece.told_seconds}
        stages["decoder"] = time.perf_counter() - started - piece.told_seconds - sounds.seconds
        if piece.frames <= given:
            return []  # stopped before the first whole frame
        piece.end()
        stages["codec"] = sounds.seconds
        complete = piece.tokens == new_tokens

        common = {
            "model": self.info.name,
            "engine": engine,
            **vars(settings),
            "max_new_tokens": new_tokens,
            "padded_tokens": padded_tokens,
            "section_frames": section_frames,
            "windows": len(windows),
            "tokens": piece.tokens,
            "complete": complete,
            "stages": {stage: round(seconds, 3) for stage, seconds in stages.items()},
            "versions": {name: version(name) for name in ("mindspore", "mindnlp", "transformers")},
        }
        takes = []
        for number, (row, code) in enumerate(zip(rows, piece.codes(), strict=True)):
            sound = sounds.samples(number)
            first = parts[number][0][1]  # section's text
            text_tokens = padded_tokens or self._conditioner.tokens([first])
            shapes = {"text_encoder": [text_tokens, self._conditioner.state_width]}
            if given:
                shapes["clip_encoder"] = list(prompt_codes.shape[1:])
            if chroma is not None:
                shapes["chroma"] = list(chroma.shape[1:])
            told = {
                **record,
                "prompt": row.prompt,
                "clip": clips[row.clip].name if clips else None,
                "clip_seconds": round(clips[row.clip].seconds, 3) if clips else None,
                "clip_digest": clips[row.clip].digest if clips else None,
                "seed": row.seed,
                "seconds": round(sound.shape[-1] / self.sampling_rate, 3),
                **common,
                "shapes": {**shapes, "decoder": list(code.shape), "codec": list(sound.shape)},
            }
            takes.append(
                Take(
                    samples=sound,
                    sampling_rate=self.sampling_rate,
                    codes=code.astype(np.int16),
                    complete=complete,
                    record={**told, "script": script_of(told, self.info, parts[number])},
                    text=self._conditioner.read(first),
                )
            )
        return takes

    def _sections(self, prompt: str, padding: int) -> list[tuple[int, str]]:
        """(first frame, text) of each section of `prompt`, whose piece begins behind `padding` samples of the batch."""
        begin = padding / self.sampling_rate
        return [(round((begin + section.start) * self.frame_rate), section.text) for section in sections(prompt)]

    def engine_for(self, engine: str) -> str:
        """The engine that `auto` stands for on this machine; any other is itself.

        An exact one, `float32`, wherever it keeps up with the music, else `int8`; `graph` where our kernels don't know
        the decoder's shape; MindNLP's own on an accelerator.
        """
        if engine != "auto":
            return engine
        if not cures.on_cpu():
            return "mindnlp"
        if not can_pack(self.weights):
            return "graph"
        seconds = self.weights.step_bytes / read_speed()
        return "float32" if seconds * self.frame_rate <= _KEEPS_UP else "int8"

    def _generate_windows(
        self,
        engine: str,
        piece: Piece,
        windows: Sequence[Window],
        parts: Sequence[Sequence[tuple[int, str]]],
        padded_tokens: int,
        settings: Settings,
        config: Mapping[str, Any],
        chroma: np.ndarray | None,
        generators: Sequence[np.random.Generator],
    ) -> None:
        """Fills `piece`, window by window, until it is whole or stopped. Generators go on over the windows.

        The melody goes on too, as in audiocraft: each window is told of it from where its prompt begins, so that what
        it hears of the music and of the melody belong together; a melody that is over begins again.
        """
        room = max(1 + window.prompt + window.tokens for window in windows)
        for window in windows:
            texts = [text_at(row, window.start) for row in parts]
            melody = chroma
            if chroma is not None:
                begin = (window.start - window.prompt) / self.frame_rate
                melody = from_second(chroma, begin, self.sampling_rate)
            told = replace(settings, max_new_tokens=window.tokens)
            self._generate_tokens(
                engine, texts, padded_tokens, told, config, piece.begin(window), melody, generators,
                piece.after_step, room,
            )  # fmt: skip
            if piece.stopped:
                return

    def _generate_tokens(
        self,
        engine: str,
        texts: Sequence[str],
        padded_tokens: int,
        settings: Settings,
        config: Mapping[str, Any],
        prompt_codes: np.ndarray | None,
        chroma: np.ndarray | None,
        generators: Sequence[np.random.Generator],
        after_step: AfterStep,
        room: int,
    ) -> np.ndarray:
        """Columns (rows, codebooks, steps): all, or what `after_step` allows.

        Texts, codes, chroma and generators come one per row; `room` is as in `generate_tokens`.
        """
        if engine == "mindnlp":
            width = padded_tokens or self._conditioner.tokens(texts)
            return self.reference.generate_tokens(
                texts, width, chroma, prompt_codes, settings, config, generators, after_step
            )
        guided = (settings.guidance_scale or 1.0) > 1.0
        conditions = self.conditions(texts, guided, padded_tokens, chroma)
        pattern = DelayPattern(
            len(texts),
            self.weights.codebooks,
            self.info.channels,
            self.start_token,
            settings.max_new_tokens or self.info.max_new_tokens,
            prompt_codes,
        )
        return generate_tokens(
            self.decoder(engine), self.embeddings, conditions, pattern, settings, generators, after_step, room
        )


class _Row(NamedTuple):
    """One take of a batch."""

    prompt: str
    clip: int
    """its place among the clips; 0 where there are none"""
    seed: int


def _plain(config: dict) -> dict:
    return {name: value for name, value in config.items() if isinstance(value, (bool, int, float)) and name[0] != "_"}
