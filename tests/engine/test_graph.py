"""The exact engine's decoder by itself, of a width at which MatMul rounds by the number of rows."""

import numpy as np
import pytest

from musicgen_ui.decoding.graph import GraphDecoder
from musicgen_ui.decoding.weights import DecoderWeights, LayerWeights

WIDTH, WORDS, PROMPT, STEPS = 512, 12, 9, 4


@pytest.fixture(scope="module")
def decoder():
    generator = np.random.default_rng(0)

    def matrix(out, into=WIDTH):
        return generator.normal(0, 0.05, (out, into)).astype(np.float32)

    def norm():
        return np.stack([1 + matrix(1)[0], matrix(1)[0]])

    layer = LayerWeights(
        qkv=matrix(3 * WIDTH), attention_out=matrix(WIDTH), fc1=matrix(4 * WIDTH), fc2=matrix(WIDTH, 4 * WIDTH),
        cross_query=matrix(WIDTH), cross_key=matrix(WIDTH), cross_value=matrix(WIDTH), cross_out=matrix(WIDTH),
        attention_norm=norm(), cross_norm=norm(), final_norm=norm(),
    )  # fmt: skip
    return GraphDecoder(DecoderWeights([layer], norm(), matrix(1024), attention_heads=8, codebooks=4))


@pytest.mark.parametrize("rows", [4, 7, 8, 16])
def test_a_sequence_has_the_same_logits_alone_and_among_others(decoder, rows):
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(rows, PROMPT + STEPS, WIDTH)).astype(np.float32)
    states = generator.normal(size=(rows, WORDS, WIDTH)).astype(np.float32)

    def logits(count):
        decoder.begin(count, 64, states[:count], np.ones((count, WORDS), np.int64))
        pieces = np.split(inputs[:count], range(PROMPT, PROMPT + STEPS), axis=1)
        return np.stack([decoder.feed(piece) for piece in pieces])

    np.testing.assert_array_equal(logits(rows)[:, :1], logits(1))
