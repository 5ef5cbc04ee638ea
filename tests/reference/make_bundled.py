"""What plain torch + transformers makes of the bundled checkpoints: bundled.npz. Run it after every training.export:

python -m tests.reference.make_bundled, in the environment of README.md.
"""

from pathlib import Path

import numpy as np
import torch

from tests.reference import make_reference as plain
from tests.reference.cases import CASES, Case

BUNDLED = {  # name: (checkpoint, call)
    "text": ("musicgen-nano", Case("mono", ("slow bells in D minor", "轻快的钢琴曲，有鼓"))),
    "clip": ("musicgen-nano", CASES["clip"]),
    "melody": ("musicgen-nano-melody", Case("melody", ("flute waltz, no drums",), clips=CASES["melody-clip"].clips)),
}


def main() -> None:
    torch.set_grad_enabled(False)
    assets = Path(__file__).parents[2] / "assets"
    values = {}
    for name, (checkpoint, case) in BUNDLED.items():
        melody = case.kind == "melody"
        folder = assets / checkpoint
        model = (plain.Melody if melody else plain.MusicgenForConditionalGeneration).from_pretrained(folder).float()
        extractor = plain.MusicgenMelodyFeatureExtractor if melody else plain.EncodecFeatureExtractor
        tokenizer = plain.AutoTokenizer.from_pretrained(folder)
        result = plain.reference(case, model.eval(), tokenizer, extractor.from_pretrained(folder))
        values |= {f"{name}/{part}": value for part, value in result.items()}
        print(name, result["codes"].shape, "distinct codes", len(np.unique(result["codes"])))
    out = Path(__file__).with_name("bundled.npz")
    np.savez_compressed(out, **values)
    print(out.name, out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
