"""One MusicGen checkpoint on MindNLP: four verbs, one path through the three stages.

Text encoder → one Transformer decoder over codebooks in delay pattern → EnCodec (Copet et al. 2023,
"Simple and Controllable Music Generation"). This is the reference: MindNLP's own classes and `generate`.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from musicgen_ui import cures  # MindNLP first: it stands in for torch when transformers is imported

# isort: split
import mindtorch as torch
import numpy as np
from mindnlp.transformers import MusicgenForConditionalGeneration
from transformers import AutoTokenizer, EncodecFeatureExtractor, GenerationConfig
from transformers.generation.streamers import BaseStreamer
from transformers.modeling_outputs import BaseModelOutput

from musicgen_ui.audio import resampled, with_channels
from musicgen_ui.chroma import chroma_features
from musicgen_ui.errors import InputError
from musicgen_ui.model_info import ModelInfo, read_model_info
from musicgen_ui.request import Clip, Settings
from musicgen_ui.take import Take

MAX_TEXT_TOKENS = 512

Progress = Callable[[str, int, int], None]
"""called as (stage, done, total): "tokens" at every decoding step, "codec" when the decoding of sound begins"""
Stopped = Callable[[], bool]


def no_progress(stage: str, done: int, total: int) -> None:
    pass


def never() -> bool:
    return False


class MusicGen:
    """A loaded checkpoint. Not thread-safe (MindNLP isn't): `Pipeline` sees to one call at a time."""

    def __init__(self, name: str, folder: Path) -> None:
        """Loads `folder`, a checkpoint in the hub's layout. Raises InputError where it is broken or of another kind."""
        self.info: ModelInfo = read_model_info(name, folder)
        model_class = cures.MelodyModel if self.info.melody else MusicgenForConditionalGeneration
        file = "tokenizer.json"
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder)
            if not self.info.melody:  # a melody goes through musicgen_ui.chroma instead
                file = "preprocessor_config.json"
                self.feature_extractor = EncodecFeatureExtractor.from_pretrained(folder)
            file = "model.safetensors"
            self.model, loading = model_class.from_pretrained(
                folder, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
        except MemoryError:
            raise
        except Exception as fault:  # safetensors, tokenizers and transformers each have their own kinds
            raise InputError("error.checkpoint_broken", model=name, file=file) from fault
        if loading["missing_keys"] or loading["mismatched_keys"]:
            raise InputError("error.checkpoint_broken", model=name, file="model.safetensors")
        self.model.eval()
        cures.point_lstms_at_their_weights(self.model)
        self.info = replace(self.info, generation_config=_plain(self.model.generation_config.to_diff_dict()))

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
        with torch.no_grad():
            encoded = self.model._prepare_audio_encoder_kwargs_for_generation(
                torch.tensor(inputs["input_values"]), {"padding_mask": torch.tensor(inputs["padding_mask"])}
            )
        codebooks = self.model.decoder.num_codebooks
        codes = encoded["decoder_input_ids"].numpy().reshape(len(clips), codebooks, -1)
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
        settings: Settings = Settings(),
        seeds: Sequence[int] = (0,),
        **control,
    ) -> list[Take]:
        """Music that follows the clips' melodies: their strongest pitch class, frame by frame.

        Clips of different lengths are padded on the right with silence; `padded_seconds` asks for more of it.
        """
        if not self.info.melody:
            raise InputError("error.model_cannot_follow", model=self.info.name)
        started = time.perf_counter()
        prepared = [
            with_channels(resampled(clip.samples, clip.sampling_rate, self.sampling_rate), 1)[0] for clip in clips
        ]
        longest = max(round(padded_seconds * self.sampling_rate), *(len(samples) for samples in prepared))
        features = chroma_features(
            [np.pad(samples, (0, longest - len(samples))) for samples in prepared],
            self.sampling_rate,
            n_chroma=self.model.config.num_chroma,
        )
        record = {
            "mode": "melody",
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
        generation_config: Mapping[str, Any] = MappingProxyType({}),
        progress: Progress = no_progress,
        stopped: Stopped = never,
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
            padded_tokens = min(MAX_TEXT_TOKENS, max(padded_tokens, self._text_tokens(prompts)))
        tokens = _TokenStreamer(len(rows), settings.max_new_tokens or self.info.max_new_tokens, progress, stopped)
        started = time.perf_counter()
        self._generate_tokens(rows, padded_tokens, settings, config, prompt_codes, chroma, tokens)
        stages = {**record.get("stages", {}), "text_encoder": tokens.started - started}
        stages["decoder"] = time.perf_counter() - tokens.started

        codes = undelayed(tokens.columns(self.model.decoder.num_codebooks), self.info.channels, prompt_codes)
        if codes.shape[-1] <= (0 if prompt_codes is None else prompt_codes.shape[-1]):
            return []  # stopped before the first whole frame
        progress("codec", tokens.done, tokens.total)
        started = time.perf_counter()
        samples = [self._decode(codes[row]) for row in range(len(rows))]
        stages["codec"] = time.perf_counter() - started
        if padding:
            samples = [sound[:, padding[row.clip] :] for sound, row in zip(samples, rows, strict=True)]

        common = {
            "model": self.info.name,
            "engine": "mindnlp",
            **vars(settings),
            "padded_tokens": padded_tokens,
            "tokens": tokens.done,
            "complete": tokens.complete,
            "stages": {stage: round(seconds, 3) for stage, seconds in stages.items()},
            "versions": {name: version(name) for name in ("mindspore", "mindnlp", "transformers")},
        }
        return [
            Take(
                samples=sound,
                sampling_rate=self.sampling_rate,
                codes=code.astype(np.int16),
                complete=tokens.complete,
                record={
                    **record,
                    "prompt": row.prompt,
                    "clip": clips[row.clip].name if clips else None,
                    "clip_seconds": round(clips[row.clip].seconds, 3) if clips else None,
                    "seed": row.seed,
                    "seconds": round(sound.shape[-1] / self.sampling_rate, 3),
                    **common,
                },
            )
            for row, sound, code in zip(rows, samples, codes, strict=True)
        ]

    def _generate_tokens(
        self,
        rows: Sequence["_Row"],
        padded_tokens: int,
        settings: Settings,
        config: Mapping[str, Any],
        prompt_codes: np.ndarray | None,
        chroma: np.ndarray | None,
        tokens: "_TokenStreamer",
    ) -> None:
        """Runs `generate` until `tokens` has them all or is stopped. Codes and chroma come one per row."""
        inputs = self._conditioning([row.prompt for row in rows], padded_tokens, chroma)
        if prompt_codes is not None:
            inputs["decoder_input_ids"] = torch.tensor(prompt_codes.reshape(-1, prompt_codes.shape[-1]))
        generation_config = GenerationConfig.from_dict({**self.model.generation_config.to_dict(), **config})
        generators = [np.random.default_rng(row.seed) for row in rows]
        with contextlib.suppress(_TokensEnded), torch.no_grad(), cures.drawing_from(generators):
            self.model.generate(**inputs, generation_config=generation_config, streamer=tokens, **vars(settings))

    def _text_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens the longest text has."""
        encoded = self.tokenizer(list(texts), truncation=True, max_length=MAX_TEXT_TOKENS)
        return max(len(ids) for ids in encoded["input_ids"])

    def _conditioning(self, texts: Sequence[str], padded_tokens: int, chroma: np.ndarray | None) -> dict:
        """`generate`'s inputs for one text per row; a row without text is masked out, as the null condition is."""
        if not any(texts) and not self.info.melody:
            null = self.model.get_unconditional_inputs(len(texts))
            return {
                "encoder_outputs": BaseModelOutput(last_hidden_state=null.encoder_outputs[0]),
                "attention_mask": null.attention_mask,
            }
        width = padded_tokens or self._text_tokens(texts)
        tokens = self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=width, return_tensors="np"
        )
        mask = tokens["attention_mask"] * np.array([[bool(text)] for text in texts])
        inputs = {
            "input_ids": torch.tensor(tokens["input_ids"].astype(np.int64)),
            "attention_mask": torch.tensor(mask.astype(np.int64)),
        }
        if chroma is not None:
            inputs["input_features"] = torch.tensor(chroma)
        return inputs

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        """codes (codebooks, frames) → (channels, samples) float32. One take: its sound is its batch's in no way."""
        sides = []
        with torch.no_grad():
            for channel in range(self.info.channels):  # stereo: left and right codebooks alternate
                side = torch.tensor(codes[None, None, channel :: self.info.channels].astype(np.int64))
                sides.append(self.model.audio_encoder.decode(side, [None]).audio_values.numpy()[0])
        return np.concatenate(sides).astype(np.float32)


def undelayed(columns: np.ndarray, channels: int, prompt_codes: np.ndarray | None) -> np.ndarray:
    """The whole frames in `columns` (rows, codebooks, steps), whose first is the start token's.

    Delay pattern: in step s, counted from that first one, codebook k of a channel holds frame s − 1 − k.
    Frames of a prompt (rows, codebooks, frames) stand as they were given.
    Returns (rows, codebooks, frames) int64.
    """
    rows, codebooks, steps = columns.shape
    frames = max(0, steps - codebooks // channels)
    codes = np.empty((rows, codebooks, frames), np.int64)
    for codebook in range(codebooks):
        first = 1 + codebook // channels
        codes[:, codebook] = columns[:, codebook, first : first + frames]
    if prompt_codes is not None:
        given = prompt_codes[..., :frames]
        codes[..., : given.shape[-1]] = given
    return codes


class _Row(NamedTuple):
    """One take of a batch."""

    prompt: str
    clip: int
    """its place among the clips; 0 where there are none"""
    seed: int


class _TokensEnded(Exception):
    """All tokens are here, or the user pressed Stop: leaves `generate` before it decodes, which is done row by row."""


class _TokenStreamer(BaseStreamer):
    """Collects what `generate` hands out: once the start (rows · codebooks, steps), then (rows · codebooks,) a step."""

    def __init__(self, rows: int, total: int, progress: Progress, stopped: Stopped) -> None:
        self.rows, self.total, self.progress, self.stopped = rows, total, progress, stopped
        self.done = 0
        self.complete = False
        self.started = 0.0
        self._columns: list[np.ndarray] = []

    def put(self, value) -> None:
        tokens = value.numpy()
        if tokens.ndim == 2:
            self.started = time.perf_counter()
            self._columns.extend(tokens.T)
        else:
            self._columns.append(tokens)
            self.done += 1
        self.progress("tokens", self.done, self.total)
        if self.stopped() and self.done < self.total:
            raise _TokensEnded

    def end(self) -> None:
        self.complete = True
        raise _TokensEnded

    def columns(self, codebooks: int) -> np.ndarray:
        """(rows, codebooks, steps)"""
        return np.stack(self._columns, axis=-1).reshape(self.rows, codebooks, -1)


def _plain(config: dict) -> dict:
    return {name: value for name, value in config.items() if isinstance(value, (bool, int, float)) and name[0] != "_"}
