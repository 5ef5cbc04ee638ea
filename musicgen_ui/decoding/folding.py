"""Cross-attention to a few places with its weights multiplied out.

What is attended to doesn't change during a take. A head's score of place p is (W_q x) · k_p = x · (W_qᵀ k_p), and what
it adds to the stream is W_o Σ a_p v_p = Σ a_p (W_o v_p). With both products made once, a step reads two matrices of
heads · places by width where it read two of width by width: a quarter for a prompt of 16 tokens. Exact but for
rounding. (DeepSeek-AI 2024, "DeepSeek-V2", absorb projections into each other likewise, there for all takes alike.)
"""

from collections.abc import Mapping
from typing import NamedTuple

import numba
import numpy as np

from musicgen_ui.decoding.kernels import FORMATS, HEAD, LANES
from musicgen_ui.decoding.packing import float32_scales, pack, unpack_tile

FORM = FORMATS[8]
"""the format of folded matrices"""


class Folded(NamedTuple):
    """A layer's cross-attention to so many places: matrices as `pack` gives them, padded to multiples of HEAD.

    scores: (heads · places, width), head by head. mixing: (width, heads · places).
    """

    places: int
    scores: np.ndarray
    scores_scales: np.ndarray
    mixing: np.ndarray
    mixing_scales: np.ndarray


def pays(places: int, bits: int) -> bool:
    """Whether folded weights are fewer bytes than those of `bits` that they stand for, and rounded as those are."""
    return FORMATS[bits].is_rounded and places * FORM.bits < HEAD * bits


@numba.njit(nogil=True, cache=True, fastmath=True)
def _scores(packed, factors, bits, block, zero, keys, out):
    """out (heads · places, inputs), zeros before, ← keys (heads, places, HEAD) times the rows of their heads."""
    places = keys.shape[1]
    weights = np.empty((LANES, out.shape[1]), np.float32)
    for tile in range(packed.shape[0]):
        unpack_tile(packed[tile], factors[tile], bits, block, zero, weights)
        head, first = divmod(tile * LANES, HEAD)
        for place in range(places):
            row = out[head * places + place]
            for lane in range(LANES):
                key = keys[head, place, first + lane]
                for i in range(len(row)):
                    row[i] += key * weights[lane, i]


@numba.njit(nogil=True, cache=True, fastmath=True)
def _mixing(packed, factors, bits, block, zero, values, out):
    """out (outputs, heads · places) ← the columns of each head times its values (heads, places, HEAD)."""
    heads, places = values.shape[:2]
    weights = np.empty((LANES, heads * HEAD), np.float32)
    for tile in range(packed.shape[0]):
        unpack_tile(packed[tile], factors[tile], bits, block, zero, weights)
        for lane in range(LANES):
            for head in range(heads):
                row = weights[lane, head * HEAD : (head + 1) * HEAD]
                for place in range(places):
                    value = values[head, place]
                    total = np.float32(0)
                    for i in range(HEAD):
                        total += row[i] * value[i]
                    out[tile * LANES + lane, head * places + place] = total


def fold(arrays: Mapping[str, np.ndarray], layer: int, bits: int, keys: np.ndarray, values: np.ndarray) -> Folded:
    """A layer of `arrays`, as `pack_decoder` makes them, for keys and values (places, width) float32."""
    places, width = keys.shape
    heads, form = width // HEAD, FORMATS[bits]
    query, out = f"{layer}.cross_query", f"{layer}.cross_out"

    def by_head(x: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(x.reshape(places, heads, HEAD).transpose(1, 0, 2))

    factors = {name: float32_scales(arrays[f"{name}.scales"]) for name in (query, out)}
    asking = by_head(keys * np.float32(HEAD**-0.5))
    scores, mixing = np.zeros((heads * places, width), np.float32), np.empty((width, heads * places), np.float32)
    _scores(arrays[query], factors[query], bits, form.block, form.zero, asking, scores)
    _mixing(arrays[out], factors[out], bits, form.block, form.zero, by_head(values), mixing)
    return Folded(places, *pack(scores, FORM.bits), *pack(mixing, FORM.bits))
