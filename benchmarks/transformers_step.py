"""One decoding step of the reference classes, at some positions, on a filled cache.

The same code for four subjects: what differs is who answers `import torch`.

    torch-f32, torch-bf16   torch itself (run it with the interpreter of an environment that has torch)
    mindnlp                 MindNLP with our cures
    as-installed            MindNLP without them

A step is one call of the model as its `generate` makes it, for one take with guidance: a batch of 2, codes in,
logits out as a numpy array. Sampling is not in it.

python -m benchmarks.transformers_step torch-bf16 FOLDER --steps 7
"""

import argparse
import json
import sys
import time
from importlib.metadata import version

ROWS = 2  # one take: with its description, and without
TEXT_TOKENS = 16

parser = argparse.ArgumentParser()
parser.add_argument("subject", choices=["torch-f32", "torch-bf16", "mindnlp", "as-installed"])
parser.add_argument("folder")
parser.add_argument("--positions", type=int, nargs="+", default=[16, 250, 490])
parser.add_argument("--steps", type=int, default=7, help="timed ones at each position")
parser.add_argument("--warm-up", type=int, default=2, help="steps before those, at each position")
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()

if options.subject == "mindnlp":
    from musicgen_ui import cures

    cures.apply()
elif options.subject == "as-installed":
    import mindnlp  # noqa: F401  (MindNLP first: it stands in for torch when transformers is imported)

# isort: split
import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers import DynamicCache, EncoderDecoderCache, MusicgenForConditionalGeneration  # noqa: E402
from transformers.modeling_outputs import BaseModelOutput  # noqa: E402

dtype = torch.bfloat16 if options.subject == "torch-bf16" else torch.float32
if options.subject.startswith("torch"):
    torch.set_num_threads(options.threads)
model = MusicgenForConditionalGeneration.from_pretrained(options.folder, dtype=dtype, local_files_only=True).eval()

decoder = model.config.decoder
heads, head_width = decoder.num_attention_heads, decoder.hidden_size // decoder.num_attention_heads
rng = np.random.default_rng(1)


def noise(*shape):
    return torch.tensor(rng.standard_normal(shape, dtype=np.float32)).to(dtype)


# What guidance makes of one description: its states, and zeros that are masked out.
states = noise(ROWS, TEXT_TOKENS, model.config.text_encoder.d_model)
states[1] = 0
mask = torch.tensor(np.array([[1] * TEXT_TOKENS, [0] * TEXT_TOKENS]))
codes = torch.tensor(rng.integers(0, decoder.vocab_size, (ROWS * decoder.num_codebooks, 1)))

positions = {}
with torch.no_grad():
    for position in options.positions:
        first = position - (options.warm_up + options.steps) // 2  # so that the steps lie around the position
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        for layer in range(decoder.num_hidden_layers):
            keys, values = noise(ROWS, heads, first, head_width), noise(ROWS, heads, first, head_width)
            cache.self_attention_cache.update(keys, values, layer)
        seconds = []
        for _ in range(options.warm_up + options.steps):
            started = time.perf_counter()
            output = model(
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                attention_mask=mask,
                decoder_input_ids=codes,
                past_key_values=cache,
                use_cache=True,
            )
            logits = output.logits.float().numpy()
            seconds.append(time.perf_counter() - started)
            cache = output.past_key_values
        assert logits.shape == (ROWS * decoder.num_codebooks, 1, decoder.vocab_size)
        assert np.isfinite(logits).all()
        positions[position] = [1e3 * each for each in seconds[options.warm_up :]]
        print(options.subject, position, [round(each) for each in positions[position]], file=sys.stderr)

packages = ("torch",) if options.subject.startswith("torch") else ("mindspore", "mindnlp")
versions = {name: version(name) for name in (*packages, "transformers", "numpy")}
print(json.dumps({"positions_ms": positions, "versions": versions}))
