"""The decoder on packed weights against the same decoder in plain numpy float32, on small random shapes."""

import numpy as np
import pytest
from scipy.special import erf

from musicgen_ui.decoding import packed
from musicgen_ui.decoding.folding import fold, pays
from musicgen_ui.decoding.kernels import available_instructions
from musicgen_ui.decoding.packed import PackedDecoder
from musicgen_ui.decoding.packing import pack, pack_decoder, unpack
from musicgen_ui.decoding.weights import DecoderWeights, LayerWeights

HEADS, WIDTH, FFN, CODEBOOKS, VOCABULARY, CAPACITY = 5, 320, 830, 4, 100, 64  # ffn and vocabulary fill no block
LARGEST_ERROR = {32: 2e-6, 8: 0.02, 4: 0.18}  # of logits, relative L2


def weights(layers: int = 2, crossed: bool = True, seed: int = 0) -> DecoderWeights:
    """Random, scaled so that each block adds about as much as it gets."""
    random = np.random.default_rng(seed)

    def matrix(outputs, inputs):
        return (random.standard_normal((outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)

    def norm():
        return np.stack([1 + 0.1 * random.standard_normal(WIDTH), 0.1 * random.standard_normal(WIDTH)]).astype(
            np.float32
        )

    def layer():
        cross = [matrix(WIDTH, WIDTH) if crossed else None for _ in range(4)]
        return LayerWeights(
            *(matrix(3 * WIDTH, WIDTH), matrix(WIDTH, WIDTH), *cross, matrix(FFN, WIDTH), matrix(WIDTH, FFN)),
            *(norm(), norm() if crossed else None, norm()),
        )

    return DecoderWeights(
        [layer() for _ in range(layers)], norm(), matrix(CODEBOOKS * VOCABULARY, WIDTH), HEADS, CODEBOOKS
    )


def layer_norm(x, norm):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * norm[0] + norm[1]


def attention(query, key, value, seen):
    """(rows, steps, width) each; seen: (rows or 1, 1, steps or 1, positions)"""

    def split(x):
        return x.reshape(*x.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)

    scores = np.where(seen, split(query) @ split(key).transpose(0, 1, 3, 2) / 8, -np.inf)
    powers = np.exp(scores - np.maximum(scores.max(-1, keepdims=True), -1e9))
    shares = powers / np.maximum(powers.sum(-1, keepdims=True), 1e-30)
    return (shares @ split(value)).transpose(0, 2, 1, 3).reshape(query.shape)


def reference(decoder: DecoderWeights, x, states=None, mask=None):
    """Logits (rows, steps, codebooks, vocabulary)"""
    causal = np.tril(np.ones((x.shape[1],) * 2, bool))[None, None]
    for layer in decoder.layers:
        query, key, value = np.split(layer_norm(x, layer.attention_norm) @ layer.qkv.T, 3, axis=-1)
        x = x + attention(query, key, value, causal) @ layer.attention_out.T
        if layer.cross_query is not None:
            query = layer_norm(x, layer.cross_norm) @ layer.cross_query.T
            key, value = states @ layer.cross_key.T, states @ layer.cross_value.T
            x = x + attention(query, key, value, mask[:, None, None]) @ layer.cross_out.T
        hidden = layer_norm(x, layer.final_norm) @ layer.fc1.T
        x = x + (hidden / 2 * (1 + erf(hidden / np.sqrt(2)))) @ layer.fc2.T
    return (layer_norm(x, decoder.norm) @ decoder.heads.T).reshape(*x.shape[:2], CODEBOOKS, VOCABULARY)


def error(logits, expected):
    return np.linalg.norm(logits - expected) / np.linalg.norm(expected)


@pytest.fixture(scope="module")
def float32():
    return weights()


@pytest.fixture(scope="module")
def stored(float32):
    return {bits: pack_decoder(float32, bits) for bits in LARGEST_ERROR}


@pytest.fixture(scope="module")
def song():
    """Inputs (rows, steps, width), states and a mask: one row hears all, one a part, one nothing."""
    random = np.random.default_rng(1)
    inputs = random.standard_normal((3, 40, WIDTH)).astype(np.float32)
    states = random.standard_normal((3, 7, WIDTH)).astype(np.float32)
    mask = np.arange(7) < np.array([7, 4, 0])[:, None]
    return inputs, states * mask[..., None], mask


@pytest.fixture(scope="module")
def long_song():
    """Rows that hear more places than are folded, few, nothing, and again many."""
    random = np.random.default_rng(2)
    inputs = random.standard_normal((4, 40, WIDTH)).astype(np.float32)
    states = random.standard_normal((4, 70, WIDTH)).astype(np.float32)
    mask = np.arange(70) < np.array([70, 5, 0, 66])[:, None]
    return inputs, states * mask[..., None], mask


def fed(decoder, inputs, states=None, mask=None, steps=1):
    """Logits after every `steps` steps"""
    decoder.begin(len(inputs), CAPACITY, states, mask)
    return np.stack([decoder.feed(inputs[:, i : i + steps]) for i in range(0, inputs.shape[1], steps)], axis=1)


@pytest.mark.parametrize("bits", LARGEST_ERROR)
@pytest.mark.parametrize("instructions", available_instructions())
def test_logits_are_those_of_float32_with_any_instructions(instructions, bits, float32, stored, song):
    logits = fed(PackedDecoder(stored[bits], bits, instructions=instructions), *song)
    expected = reference(float32, *song)
    assert max(error(logits[:, i], expected[:, i]) for i in range(40)) < LARGEST_ERROR[bits]


def test_a_wrong_weight_would_be_seen(float32, stored, song):
    broken = stored[8] | {"1.fc2": stored[8]["1.fc2"][::-1].copy()}
    assert error(fed(PackedDecoder(broken, 8), *song), reference(float32, *song)) > 0.2


@pytest.mark.parametrize("bits", LARGEST_ERROR)
def test_instructions_agree_to_the_bit(bits, stored, song):
    logits = [fed(PackedDecoder(stored[bits], bits, instructions=n), *song) for n in available_instructions()]
    for others in logits[1:]:
        np.testing.assert_array_equal(others, logits[0])


@pytest.mark.parametrize("bits", [32, 8])
def test_a_row_does_not_depend_on_its_batch(bits, stored, song):
    """Eleven rows go through the kernels for 8, 2 and 1 rows."""
    inputs, states, mask = (np.concatenate([part] * 4)[:11] for part in song)
    decoder = PackedDecoder(stored[bits], bits)
    together = fed(decoder, inputs, states, mask)
    for row in (0, 9, 10):
        alone = fed(decoder, inputs[row : row + 1], states[row : row + 1], mask[row : row + 1])
        np.testing.assert_array_equal(alone[0], together[row])


@pytest.mark.parametrize("bits", LARGEST_ERROR)
def test_threads_change_nothing(bits, stored, song):
    one, three = (fed(PackedDecoder(stored[bits], bits, threads), *song) for threads in (1, 3))
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("bits", [32, 8])
def test_a_prompt_at_once_is_the_prompt_step_by_step(bits, stored, song, monkeypatch):
    """Also where it's cut into chunks that the last one doesn't fill."""
    monkeypatch.setattr("musicgen_ui.decoding.packed._CHUNK", 48)
    decoder = PackedDecoder(stored[bits], bits)
    stepwise, at_once = fed(decoder, *song), fed(decoder, *song, steps=40)
    np.testing.assert_allclose(at_once[:, -1], stepwise[:, -1], atol=1e-5)
    assert decoder.position == 40


def test_masked_places_are_not_heard(stored, song):
    inputs, states, mask = song
    decoder = PackedDecoder(stored[8], 8)
    noise = np.where(mask[..., None], states, 100.0).astype(np.float32)
    np.testing.assert_array_equal(fed(decoder, inputs, noise, mask), fed(decoder, inputs, states, mask))
    everything = fed(decoder, inputs, states, np.ones_like(mask))
    assert error(everything[1], fed(decoder, inputs, states, mask)[1]) > 0.01


@pytest.mark.parametrize("bits", LARGEST_ERROR)
def test_places_too_many_to_fold_are_heard_beside_few(bits, float32, stored, long_song):
    folded = [pays(int(count), bits) for count in long_song[2].sum(1)]
    assert folded == [False] * 4 if bits == 32 else [False, True, True, False]
    decoder = PackedDecoder(stored[bits], bits)
    together = fed(decoder, *long_song)
    assert error(together, reference(float32, *long_song)) < LARGEST_ERROR[bits]
    for row in range(4):
        alone = fed(decoder, *(part[row : row + 1] for part in long_song))
        np.testing.assert_array_equal(alone[0], together[row])


@pytest.mark.parametrize("bits", [8, 4])
def test_folded_weights_are_the_products_of_those_they_stand_for(bits, stored):
    keys, values = np.random.default_rng(3).standard_normal((2, 7, WIDTH)).astype(np.float32)
    places, scores, scores_scales, mixing, mixing_scales = fold(stored[bits], 1, bits, keys, values)
    query, out = (
        unpack(stored[bits][f"1.{name}"], stored[bits][f"1.{name}.scales"], bits)
        for name in ("cross_query", "cross_out")
    )
    by_head = [x.reshape(7, HEADS, 64) for x in (keys, values)]
    asked = np.einsum("phd,hdi->hpi", by_head[0], query.reshape(HEADS, 64, WIDTH)).reshape(-1, WIDTH) / 8
    mixed = np.einsum("ohd,phd->ohp", out.reshape(WIDTH, HEADS, 64), by_head[1]).reshape(WIDTH, -1)
    assert places == 7
    assert error(unpack(scores, scores_scales, 8)[: HEADS * 7], asked) < 0.007
    assert error(unpack(mixing, mixing_scales, 8)[:, : HEADS * 7], mixed) < 0.007


def test_the_same_text_is_folded_once_and_another_anew(stored, song, monkeypatch):
    inputs, states, mask = song
    folds = []
    monkeypatch.setattr(packed, "fold", lambda *told: folds.append(told[1]) or fold(*told))
    decoder = PackedDecoder(stored[8], 8)
    first = fed(decoder, *song)
    assert sorted(folds) == [0, 0, 1, 1]  # two layers, two texts
    np.testing.assert_array_equal(fed(decoder, *song), first)
    assert len(folds) == 4
    other = fed(decoder, inputs, states[::-1].copy() * 0.5, mask[::-1])
    assert len(folds) == 8
    np.testing.assert_array_equal(fed(PackedDecoder(stored[8], 8), inputs, states[::-1] * 0.5, mask[::-1]), other)


def test_without_cross_attention(song):
    inputs = song[0]
    decoder = weights(crossed=False)
    logits = fed(PackedDecoder(decoder, 8), inputs)
    assert error(logits, reference(decoder, inputs)) < LARGEST_ERROR[8]
    assert error(fed(PackedDecoder(decoder, 32), inputs), reference(decoder, inputs)) < LARGEST_ERROR[32]


@pytest.mark.parametrize(("bits", "largest"), [(8, 0.006), (4, 0.1)])
def test_packing_round_trip(bits, largest):
    matrix = np.random.default_rng(0).standard_normal((100, 200)).astype(np.float32)
    matrix[3] = 0
    back = unpack(*pack(matrix, bits), bits)
    assert error(back[:100, :200], matrix) < largest
    assert not back[100:].any()
    assert not back[:, 200:].any()
    assert not back[3].any()


def test_packing_keeps_what_fits():
    """Multiples of one scale, the extremes among them, come back as they were."""
    levels = np.random.default_rng(0).integers(-8, 8, (64, 64)).astype(np.float32)
    levels[:, ::32] = -8
    np.testing.assert_array_equal(unpack(*pack(levels / 4, 4), 4), levels / 4)


def test_stored_arrays_may_be_mapped(stored, song, tmp_path):
    for name, array in stored[8].items():
        np.save(tmp_path / f"{name}.npy", array)
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in stored[8]}
    np.testing.assert_array_equal(fed(PackedDecoder(mapped, 8), *song), fed(PackedDecoder(stored[8], 8), *song))


def test_what_does_not_fit_is_said(stored, song):
    inputs, states, mask = song
    decoder = PackedDecoder(stored[8], 8)
    with pytest.raises(ValueError, match="states"):
        decoder.begin(3, CAPACITY)
    with pytest.raises(ValueError, match="8 bits"):
        PackedDecoder(stored[4], 8)
    decoder.begin(3, 2, states, mask)
    with pytest.raises(ValueError, match="at most 2 steps"):
        decoder.feed(inputs[:, :3])
    with pytest.raises(ValueError, match="inputs"):
        decoder.feed(inputs[:2, :1])
