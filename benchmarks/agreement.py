"""How near the quantised engines are to the exact one, on a checkpoint whose weights mean something.

Teacher-forced: the exact engine makes takes, then each engine is fed their tokens and asked at every step what comes
next. Told are the share of steps and codebooks in which the likeliest token is the same, and the mean Kullback-Leibler
divergence of the engine's distribution from the exact one, in nats. Weights and cache are rounded, so both matter.

python -m benchmarks.agreement [FOLDER]      (default: the bundled nano)
"""

import argparse
import json
from pathlib import Path

import numpy as np

from musicgen_ui.decoding.tokens import DelayPattern, generate_tokens
from musicgen_ui.musicgen import MusicGen
from musicgen_ui.paths import ASSETS
from musicgen_ui.pipeline import Pipeline
from musicgen_ui.request import Settings

ENGINES = ("int8", "int4")
PROMPTS = (
    "slow piano in A minor", "upbeat chiptune with drums", "a calm flute waltz", "funky electric piano, 100 bpm, drums",
    "dark techno in D minor with synth bass", "gentle acoustic guitar, no drums", "慢速的钢琴曲，没有鼓",
    "epic strings and brass",
)  # fmt: skip
STEPS = 250


def agreement(model: MusicGen, steps: int = STEPS) -> dict[str, dict[str, float]]:
    """{engine: {"top1": share, "kl_nats": mean}}, over PROMPTS, codebooks and steps."""
    rows, codebooks = len(PROMPTS), model.weights.codebooks
    conditions = model.conditions(PROMPTS, guided=False)
    pattern = DelayPattern(rows, codebooks, model.info.channels, model.start_token, steps, None)
    settings = Settings(steps, guidance_scale=1.0).superseding(model.info.generation_config)
    generators = [np.random.default_rng(row) for row in range(rows)]
    columns = generate_tokens(
        model.decoder("graph"), model.embeddings, conditions, pattern, settings, generators, lambda columns: True
    )
    exact = _log_probabilities(model, "graph", conditions, columns)
    told = {}
    for engine in ENGINES:
        rounded = _log_probabilities(model, engine, conditions, columns)
        same = (rounded.argmax(-1) == exact.argmax(-1)).mean()
        apart = (np.exp(exact) * (exact - rounded)).sum(-1).mean()
        told[engine] = {"top1": float(same), "kl_nats": float(apart)}
    return told


def _log_probabilities(model: MusicGen, engine: str, conditions, columns: np.ndarray) -> np.ndarray:
    """(steps, rows, codebooks, vocabulary) float64: what `engine` expects behind each of the columns."""
    decoder = model.decoder(engine)
    decoder.begin(len(columns), columns.shape[-1], conditions.states, conditions.mask)
    logits = np.stack(
        [decoder.feed(model.embeddings(columns[..., step : step + 1], step)) for step in range(columns.shape[-1] - 1)]
    ).astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?", default=ASSETS / "musicgen-nano")
    print(json.dumps(agreement(Pipeline().load("checkpoint", parser.parse_args().folder, "graph"))))
