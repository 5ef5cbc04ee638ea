"""A checkpoint of musicgen-small's true configuration with seeded random weights, float32 in one file as Meta's.

2.4 GB, written tensor by tensor, so that building takes no more memory than the largest of them. Speed does
not depend on what the weights are; size, shapes and file layout do count, and those are the published ones.

python -m benchmarks.checkpoint      (in the app's environment: MindNLP gives the names and shapes)
"""

import json
import math
import shutil
from pathlib import Path

from musicgen_ui.paths import ASSETS
from tests import meta_configs

SEED = 1
NAME = "small"
FOLDER = Path(__file__).with_name("out") / f"musicgen-{NAME}-seed-{SEED}"


def main() -> None:
    import mindnlp  # noqa: F401  (before transformers, which it makes run without torch)

    from training.random_weights import published_name, weight, weight_shapes

    unfinished = FOLDER.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    config = meta_configs.config(NAME)
    for name, content in (
        ("config.json", config),
        ("generation_config.json", meta_configs.GENERATION_CONFIG),
        ("preprocessor_config.json", meta_configs.clip_settings(NAME)),
    ):
        (unfinished / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json"):  # nano's: fewer pieces than T5's, but words all the same
        shutil.copy(ASSETS / "musicgen-nano" / name, unfinished)

    shapes = weight_shapes(config)
    with (unfinished / "model.safetensors").open("wb") as file:
        file.write(safetensors_header({published_name(name): shape for name, shape in shapes.items()}))
        for name in shapes:
            file.write(weight(name, shapes, SEED).tobytes())
    unfinished.rename(FOLDER)


def safetensors_header(shapes: dict[str, tuple[int, ...]]) -> bytes:
    """What a safetensors file of float32 weights begins with: the header's length, the header, padded to 8 bytes."""
    header: dict = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded


if __name__ == "__main__":
    main()
