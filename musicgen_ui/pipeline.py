"""The shared pipeline: the loaded checkpoints, one generation at a time."""

import gc
import secrets
import threading
from pathlib import Path
from typing import Any

from musicgen_ui import cures
from musicgen_ui.decoding.piece import Progress, Stopped, never, no_progress
from musicgen_ui.decoding.sounds import Heard, unheard
from musicgen_ui.limits import Limits
from musicgen_ui.musicgen import MusicGen
from musicgen_ui.request import MAX_SEED, Request, checked_for_model
from musicgen_ui.take import Take


class Pipeline:
    """Holds checkpoints by name. MindNLP is not thread-safe: a lock lets one load or generation run at a time."""

    def __init__(self, limits: Limits = Limits(), engine: str = "auto") -> None:
        """engine: what the process is mainly for; a graph of a large model needs more than this thread."""
        cures.apply(in_one_thread=engine != "graph")
        self._limits = limits
        self._models: dict[str, MusicGen] = {}
        self._lock = threading.Lock()

    def __contains__(self, name: str) -> bool:
        return name in self._models

    def load(self, name: str, folder: Path, engine: str = "auto") -> MusicGen:
        """The checkpoint `name`, loaded from `folder` if it isn't yet, and ready for `engine`.

        InputError where the checkpoint is broken or can't be run by this engine.
        """
        with self._lock:
            if name not in self._models:
                self._models[name] = MusicGen(name, folder)
            self._models[name].prepare(engine)
            return self._models[name]

    def unload(self, name: str) -> None:
        with self._lock:
            self._models.pop(name, None)
            gc.collect()

    def run(
        self, request: Request, progress: Progress = no_progress, stopped: Stopped = never, heard: Heard = unheard
    ) -> list[Take]:
        """`request`'s takes, on a checkpoint that `load` has loaded (KeyError otherwise).

        Raises InputError for what the checkpoint can't do. Where `stopped` turns true, the takes so far.
        """
        model = self._models[request.model]
        request = checked_for_model(request, model.info, self._limits)
        first_seed = secrets.randbelow(2**31) if request.seed is None else request.seed
        control: dict[str, Any] = {
            "settings": request.settings,
            "seeds": [(first_seed + take) % (MAX_SEED + 1) for take in range(request.takes)],
            "padded_tokens": request.padded_tokens,
            "section_frames": request.section_frames,
            "engine": request.engine,
            "generation_config": request.generation_config,
            "progress": progress,
            "stopped": stopped,
            "heard": heard,
        }
        prompts = request.prompts or ("",)
        with self._lock:
            match request.mode:
                case "unconditional":
                    return model.generate_unconditional(**control)
                case "text":
                    return model.generate(prompts, **control)
                case "continue":
                    return model.generate_continuation(request.clips, prompts, request.padded_seconds, **control)
                case _:
                    return model.generate_with_chroma(
                        request.clips, prompts, request.padded_seconds, request.without_drums, **control
                    )
