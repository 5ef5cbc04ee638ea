"""An engine without a model, for layout tests: a set delay per token, a plucked tone instead of music.

While that is made, a sine sweep is to be heard: every moment of it differs from every other.
"""

import threading
import time
from collections.abc import Iterator

import numpy as np

from musicgen_ui.errors import AppError, InputError, MachineError
from musicgen_ui.events import Decoding, Event, Finished, Generating, Loaded, Loading, Queued, Ready, Sound, Starting
from musicgen_ui.journal import Health, Journal, Times
from musicgen_ui.limits import Limits
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.request import Request, checked, checked_for_model
from musicgen_ui.script import script_of
from musicgen_ui.take import Take, TextToken, TextTokens

SAMPLING_RATE = 32_000  # Hz
FRAME_RATE = 50.0  # Hz
CODEBOOKS = 4
PIECE = SAMPLING_RATE // 2
"""samples; the sound is handed over in pieces of that size"""
MODELS = ("nano", "nano-melody", "small", "medium", "large", "melody", "melody-large", "stereo-small")


class FakeEngine:
    def __init__(
        self,
        limits: Limits,
        seconds_per_token: float = 0.002,
        warm_up: float = 1.0,
        stall: float = 0.0,
        journal: Journal | None = None,
    ) -> None:
        """`stall`: seconds that it stands still after half of the tokens."""
        self.limits = limits
        self.journal = journal or Journal()
        self.draining = False
        self.delay = seconds_per_token
        self.stall = stall
        self._ready = time.monotonic() + warm_up
        self._turn = threading.Lock()
        self._jobs: list[FakeJob] = []

    def status(self) -> Event | None:
        return Starting() if time.monotonic() < self._ready else Ready()

    def info(self, model: str) -> ModelInfo:
        if model not in MODELS:
            raise InputError("error.checkpoint_broken", model=model, file="config.json")
        return ModelInfo(
            name=model,
            sampling_rate=SAMPLING_RATE,
            frame_rate=FRAME_RATE,
            codebooks=CODEBOOKS,
            channels=2 if model.startswith("stereo") else 1,
            melody="melody" in model,
            generation_config={"do_sample": True, "guidance_scale": 3.0, "max_length": 1500, "pad_token_id": 2048},
        )

    def seconds_per_token(self, model: str, rows: int = 1, guided: bool = True) -> float | None:
        return self.delay if model.startswith("nano") else None

    def submit(self, request: Request, owner: str = "", address: str = "") -> "FakeJob":
        try:
            return self._submit(request, owner, address)
        except AppError as fault:
            self.journal.ended(None, request, Times(), fault, stopping=False)
            raise

    def health(self) -> Health:
        waiting = sum(not job.ended for job in self._jobs)
        state = "starting" if time.monotonic() < self._ready else "working" if waiting else "ready"
        return Health("stopping" if self.draining else state, waiting)

    def drain(self) -> None:
        self.draining = True

    def stop_running(self) -> None:
        for job in self._jobs:
            job.stop()

    def _submit(self, request: Request, owner: str, address: str) -> "FakeJob":
        if self.draining:
            raise MachineError("error.engine_stopping")
        request = checked_for_model(checked(request, self.limits), self.info(request.model))
        waiting = [job for job in self._jobs if not job.ended]
        if len(waiting) >= self.limits.queue:
            raise MachineError("error.queue_full", limit=self.limits.queue)
        if address and sum(job.address == address for job in waiting) >= self.limits.queue_per_address:
            raise MachineError("error.queue_full_for_address", limit=self.limits.queue_per_address)
        job = FakeJob(self, request, owner, address, len(waiting))
        self._jobs = [*waiting, job]
        return job

    def forget(self, owner: str) -> None:
        for job in self._jobs:
            if job.owner == owner:
                job.abandon()

    def wait_until_ready(self) -> None:
        time.sleep(max(0.0, self._ready - time.monotonic()))


class FakeJob:
    def __init__(self, engine: FakeEngine, request: Request, owner: str, address: str, ahead: int) -> None:
        self.engine, self.request, self.owner, self.address, self.ahead = engine, request, owner, address, ahead
        self.ended = False
        self.times = Times()
        self._stopped = threading.Event()
        self._abandoned = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def abandon(self) -> None:
        self._abandoned.set()
        self._stopped.set()

    def __iter__(self) -> Iterator[Event]:
        try:
            if self.ahead:
                yield Queued(self.ahead)
            with self.engine._turn:
                if self.engine.draining:
                    raise MachineError("error.engine_stopping")
                self.times.begun = time.monotonic()
                for event in self._work():
                    if isinstance(event, Finished):
                        stopping = self._stopped.is_set()
                        self.engine.journal.ended(1, self.request, self.times, event, stopping)
                    yield event
        finally:
            self.ended = True

    def _work(self) -> Iterator[Event]:
        if isinstance(self.engine.status(), Starting):
            yield Starting()
            self.engine.wait_until_ready()
        yield Loading(self.request.model)
        info = self.engine.info(self.request.model)
        yield Loaded(info)
        total = self.request.settings.max_new_tokens or info.max_length
        begin = time.monotonic()
        done = heard = 0
        yield Generating(0, total, 0.0)
        while done < total and not self._stopped.is_set():
            time.sleep(self.engine.delay)
            done += 1
            yield Generating(done, total, (time.monotonic() - begin) / done)
            made = round(info.seconds(done) * SAMPLING_RATE)
            if made - heard >= PIECE or (done == total and made > heard):
                yield Sound(sweep(heard, made, info.channels), heard, SAMPLING_RATE, info.seconds(total))
                heard = made
            if self.engine.stall and done == total // 2:
                time.sleep(self.engine.stall)
        if self._abandoned.is_set():
            return
        yield Decoding()
        conditions = max(len(self.request.prompts), len(self.request.clips), 1)
        takes = [
            self._take(info, condition, take, done, done == total)
            for condition in range(conditions)
            for take in range(self.request.takes)
        ]
        yield Finished(tuple(takes) if info.seconds(done) else ())

    def _take(self, info: ModelInfo, condition: int, take: int, tokens: int, complete: bool) -> Take:
        request = self.request
        seed = (request.seed or 0) + take
        draw = np.random.default_rng(seed + 1000 * condition)
        frames = max(0, tokens - info.codebooks + 1)
        samples = _plucks(draw, int(frames / info.frame_rate * info.sampling_rate), info.channels)
        prompts = request.prompts
        record = {
            "mode": request.mode,
            "prompt": (prompts[condition] if len(prompts) > 1 else prompts[0]) if prompts else "",
            "model": request.model,
            "engine": "fake",
            "seed": seed,
            **vars(request.settings.superseding(info.generation_config)),
            "max_new_tokens": tokens,
            "section_frames": [],
            "generation_config": dict(request.generation_config),
            **({"without_drums": request.without_drums} if request.mode == "melody" else {}),
            "versions": {"mindnlp": "0.5.1"},
            "stages": {"text_encoder": 0.02, "decoder": tokens * self.engine.delay, "codec": 0.4},
        }
        if not record["prompt"] and not info.melody:
            record["guidance_scale"] = 1.0
        codes = draw.integers(0, 2048, (info.codebooks * info.channels, frames)).astype(np.int16)
        read = _read(str(record["prompt"]))
        width = max([len(read.read), *(len(_read(other).read) for other in prompts)])
        record["shapes"] = {"text_encoder": [width or 1, 768], "decoder": [*codes.shape], "codec": [*samples.shape]}
        if request.clips:
            clip = request.clips[condition % len(request.clips)]
            record |= {"clip": clip.name, "clip_seconds": round(clip.seconds, 3), "clip_digest": clip.digest}
        if request.mode == "continue":
            record["shapes"]["clip_encoder"] = [len(codes), 10]  # type: ignore[index]
        if request.mode == "melody":
            record["stages"]["chroma"] = 0.1  # type: ignore[index]
        record["script"] = script_of(record, info, [(0, str(record["prompt"]))])
        return Take(samples, info.sampling_rate, codes, record, complete, read)


def _read(prompt: str) -> TextTokens:
    """A word is a token, of which 24 are taken."""
    words = [TextToken("▁" + word, 100 + len(word), False) for word in prompt.split()]
    return TextTokens((*words[:23], TextToken("</s>", 1, True)) if words else (), max(0, len(words) - 23))


def sweep(start: int, stop: int, channels: int = 1) -> np.ndarray:
    """(channels, samples) int16: samples `start` to `stop` of a tone that rises from 110 Hz by 200 Hz a second.

    A second channel is the first one turned over.
    """
    time_axis = np.arange(start, stop) / SAMPLING_RATE
    wave = np.sin(2 * np.pi * (110 + 100 * time_axis) * time_axis)
    return np.round(8000 * np.array([wave, -wave][:channels])).astype(np.int16)


def _plucks(draw: np.random.Generator, count: int, channels: int) -> np.ndarray:
    """(channels, count) float32: a pentatonic line of decaying harmonics, each note of 2.4 s (by then at −60 dB)."""
    note = np.arange(round(2.4 * SAMPLING_RATE)) / SAMPLING_RATE
    wave = np.zeros(count)
    for start in range(0, count, round(0.4 * SAMPLING_RATE)):
        pitch = 220 * 2 ** (draw.choice([0, 3, 5, 7, 10, 12]) / 12)
        since = note[: count - start]
        tone = sum(np.sin(2 * np.pi * pitch * k * since) * np.exp(-since * 3 * k) / k for k in range(1, 7))
        wave[start : start + len(since)] += tone * 0.2
    return np.repeat(wave[None], channels, axis=0).astype(np.float32)
