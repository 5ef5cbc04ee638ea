"""Writes assets/musicgen-nano and assets/musicgen-nano-melody with random weights of the sizes in nano.py.

The first bundled ones were made so, at smaller sizes; today's are trained (training.export), and this would overwrite
them with noise. Training doesn't need it.

python -m training.initialise        (in the app's own environment: MindNLP gives the names and shapes)
"""

import json

import numpy as np

import mindnlp  # noqa: F401  isort: skip  (before transformers, which it makes run without torch)

from musicgen_ui.paths import ASSETS
from training import nano
from training.attributes import draw_attributes
from training.captions import write_captions
from training.random_weights import random_weights, write_checkpoint

SEED = 1
PIECES = 3_000  # of music that the tokenizer's captions describe
CAPTIONS = 4  # of each piece

CARD = """\
---
license: apache-2.0
tags: [musicgen, text-to-audio]
---
# {name}

MusicGen's architecture, small: a T5 text encoder, a Transformer decoder over {codebooks} codebooks in delay
pattern{melody}, and EnCodec at 32 kHz, {parameters:.1f} M parameters in all. **Its weights are still random**: what it
makes is noise. It is here so that the whole app works without a network; training is described in `training/`.

Made by `python -m training.initialise` (seed {seed}). Licence: Apache-2.0.
"""


def main() -> None:
    rng = np.random.default_rng(SEED)
    captions = [caption for _ in range(PIECES) for caption in write_captions(draw_attributes(rng), rng, CAPTIONS)]
    for name, melody in (("musicgen-nano", False), ("musicgen-nano-melody", True)):
        folder, config = ASSETS / name, nano.config(melody)
        clip_settings = nano.CHROMA if melody else nano.CLIP
        write_checkpoint(folder, config, nano.GENERATION_CONFIG, clip_settings, captions, SEED, np.float16)
        parameters = sum(value.size for value in random_weights(config, SEED).values())
        card = CARD.format(
            name=name, codebooks=nano.CODEBOOKS, seed=SEED, parameters=parameters / 1e6,
            melody=", conditioned on a melody's chroma too" if melody else "",
        )  # fmt: skip
        (folder / "README.md").write_text(card, encoding="utf-8")
        print(json.dumps({"folder": name, "parameters": parameters}))


if __name__ == "__main__":
    main()
