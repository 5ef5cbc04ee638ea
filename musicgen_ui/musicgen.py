"""One MusicGen checkpoint: four verbs, one path through the three stages.

Text encoder → one Transformer decoder over codebooks in delay pattern → EnCodec (Copet et al. 2023,
"Simple and Controllable Music Generation"). Text encoder and codec are MindNLP's; the decoder's steps are run by one
of the engines: `mindnlp` is MindNLP's own `generate`, the reference, to which the others are held.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
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
from musicgen_ui.chroma import chroma_features, tune
from musicgen_ui.decoding.codec import StreamingCodec, encode, load_codec
from musicgen_ui.decoding.conditioning import MAX_TEXT_TOKENS, Conditioner
from musicgen_ui.decoding.graph import GraphDecoder, read_speed
from musicgen_ui.decoding.packing import can_quantize
from musicgen_ui.decoding.quantized import QuantizedDecoder
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
    undelayed,
)
from musicgen_ui.decoding.weights import Tensors, decoder_weights
from musicgen_ui.errors import InputError
from musicgen_ui.model_info import ModelInfo, read_model_info
from musicgen_ui.request import Clip, Settings
from musicgen_ui.script import script_of
from musicgen_ui.take import Take

Progress = Callable[[str, int, int], None]
"""called as (stage, done, total): "tokens" at every decoding step, "codec" when the last of the sound is decoded"""
Stopped = Callable[[], bool]

_KEEPS_UP = 0.6  # share of real time that the graph engine's reading of weights may take: the rest is attention, codec


def no_progress(stage: str, done: int, total: int) -> None:
    pass


def never() -> bool:
    return False


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
            tokenizer = AutoTokenizer.from_pretrained(folder)
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
            for quantized in {"int8", "int4"} & self._decoders.keys():  # of MindSpore's memory nothing comes back
                del self._decoders[quantized]
            if engine == "graph":
                self._decoders[engine] = GraphDecoder(self.weights)
            else:
                bits = {"int8": 8, "int4": 4}[engine]
                try:
                    self._decoders[engine] = QuantizedDecoder(quantized_weights(self.weights, self.tensors, bits), bits)
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
        prepared = [tune(clip, self.sampling_rate, without_drums) for clip in clips]
        longest = max(round(padded_seconds * self.sampling_rate), *(len(samples) for samples in prepared))
        features = chroma_features(
            [np.pad(samples, (0, longest - len(samples))) for samples in prepared],
            self.sampling_rate,
            n_chroma=self._config["num_chroma"],
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
        engine: str = "auto",
        generation_config: Mapping[str, Any] = MappingProxyType({}),
        progress: Progress = no_progress,
        stopped: Stopped = never,
        heard: Heard = unheard,
    ) -> list[Take]:
        """The path of all verbs: prepare the conditioning, generate tokens, decode them, one row per take.

        prompt_codes: (clips, codebooks, frames); padding: samples on the left of each clip;
        chroma: (clips, frames, 12); padded_tokens: pads the text to so many tokens, if it has fewer;
        record: what the verb has to say about the takes.
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
        if len(prompts) > 1 or padded_tokens:
            padded_tokens = min(MAX_TEXT_TOKENS, max(padded_tokens, self._conditioner.tokens(prompts)))
        engine = self.engine_for(engine)
        new_tokens = settings.max_new_tokens or self.info.max_new_tokens
        cut = [padding[row.clip] for row in rows] if padding else []
        sounds = Sounds(self._streaming, len(rows), self.info.channels, prompt_codes, cut, heard)
        start_steps = 1 + (0 if prompt_codes is None else prompt_codes.shape[-1])
        begun = 0.0

        def after_step(columns: np.ndarray) -> bool:
            nonlocal begun
            done = columns.shape[-1] - start_steps
            if not done:
                begun = time.perf_counter()
            progress("tokens", done, new_tokens)
            if stopped() and done < new_tokens:
                return False
            sounds.advance(columns)
            return True

        started = time.perf_counter()
        columns = self._generate_tokens(engine, rows, padded_tokens, settings, config, prompt_codes, chroma, after_step)
        tokens = columns.shape[-1] - start_steps
        stages = {**record.get("stages", {}), "text_encoder": begun - started}
        stages["decoder"] = time.perf_counter() - begun - sounds.seconds
        codes = undelayed(columns, self.info.channels, prompt_codes)
        if codes.shape[-1] <= (0 if prompt_codes is None else prompt_codes.shape[-1]):
            return []  # stopped before the first whole frame
        progress("codec", tokens, new_tokens)
        sounds.advance(columns, last=True)
        stages["codec"] = sounds.seconds
        complete = tokens == new_tokens

        common = {
            "model": self.info.name,
            "engine": engine,
            **vars(settings),
            "padded_tokens": padded_tokens,
            "tokens": tokens,
            "complete": complete,
            "stages": {stage: round(seconds, 3) for stage, seconds in stages.items()},
            "versions": {name: version(name) for name in ("mindspore", "mindnlp", "transformers")},
        }
        takes = []
        for number, (row, code) in enumerate(zip(rows, codes, strict=True)):
            sound = sounds.samples(number)
            text_tokens = padded_tokens or self._conditioner.tokens([row.prompt])
            shapes = {"text_encoder": [text_tokens, self._conditioner.state_width]}
            if prompt_codes is not None:
                shapes["clip_encoder"] = list(prompt_codes.shape[1:])
            if chroma is not None:
                shapes["chroma"] = list(chroma.shape[1:])
            told = {
                **record,
                "prompt": row.prompt,
                "clip": clips[row.clip].name if clips else None,
                "clip_seconds": round(clips[row.clip].seconds, 3) if clips else None,
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
                    record={**told, "script": script_of(told, self.info)},
                    text=self._conditioner.read(row.prompt),
                )
            )
        return takes

    def engine_for(self, engine: str) -> str:
        """The engine that `auto` stands for on this machine; any other is itself.

        The exact one, `graph`, wherever it keeps up with the music, else `int8`; MindNLP's own on an accelerator.
        """
        if engine != "auto":
            return engine
        if not cures.on_cpu():
            return "mindnlp"
        seconds = self.weights.step_bytes / read_speed()
        if seconds * self.frame_rate <= _KEEPS_UP or not can_quantize(self.weights):
            return "graph"
        return "int8"

    def _generate_tokens(
        self,
        engine: str,
        rows: Sequence["_Row"],
        padded_tokens: int,
        settings: Settings,
        config: Mapping[str, Any],
        prompt_codes: np.ndarray | None,
        chroma: np.ndarray | None,
        after_step: AfterStep,
    ) -> np.ndarray:
        """Columns (rows, codebooks, steps): all, or what `after_step` allows. Codes and chroma come one per row."""
        texts = [row.prompt for row in rows]
        generators = [np.random.default_rng(row.seed) for row in rows]
        if engine == "mindnlp":
            width = padded_tokens or self._conditioner.tokens(texts)
            return self.reference.generate_tokens(
                texts, width, chroma, prompt_codes, settings, config, generators, after_step
            )
        guided = (settings.guidance_scale or 1.0) > 1.0
        conditions = self.conditions(texts, guided, padded_tokens, chroma)
        pattern = DelayPattern(
            len(rows),
            self.weights.codebooks,
            self.info.channels,
            self.start_token,
            settings.max_new_tokens or self.info.max_new_tokens,
            prompt_codes,
        )
        return generate_tokens(
            self.decoder(engine), self.embeddings, conditions, pattern, settings, generators, after_step
        )


class _Row(NamedTuple):
    """One take of a batch."""

    prompt: str
    clip: int
    """its place among the clips; 0 where there are none"""
    seed: int


def _plain(config: dict) -> dict:
    return {name: value for name, value in config.items() if isinstance(value, (bool, int, float)) and name[0] != "_"}
