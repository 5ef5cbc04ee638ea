"""Weights as they are or rounded to 8 or 4 bits, block by block, in the order in which `kernels.py` reads them.

A block is so many inputs of one output, with one scale. 4-bit scales are searched for the smallest squared error, as
rounding to the largest weight wastes levels on it.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from musicgen_ui.decoding.kernels import FORMATS, HEAD, LANES
from musicgen_ui.decoding.weights import DecoderWeights


@numba.njit(nogil=True, cache=True, fastmath=True)
def _pack(matrix, bits, block, zero, packed, scales):
    """Rounds `matrix` (outputs, inputs) into packed (tiles, bytes) and bfloat16 scales (tiles, blocks, LANES).

    A block's scale is the one of a few around (largest weight / highest level) with the smallest squared error.
    """
    outputs, inputs = matrix.shape
    levels = 2 ** (bits - 1)
    tries = 1 if bits == 8 else 16
    values = np.zeros(block, np.float32)
    bits_of = np.zeros(1, np.float32)
    as_int = bits_of.view(np.uint32)
    for output in range(packed.shape[0] * LANES):
        tile, lane = divmod(output, LANES)
        for b in range(scales.shape[1]):
            values[:] = 0
            largest = np.float32(0)
            if output < outputs:
                for i in range(min(block, inputs - b * block)):
                    values[i] = matrix[output, b * block + i]
                    if abs(values[i]) > abs(largest):
                        largest = values[i]
            best, best_error, best_word = np.float32(0), np.float32(np.inf), np.uint16(0)
            for t in range(tries):
                # 4 bits reach to -8 but to 7 only: the largest weight takes the side of -8
                highest = np.float32(127) if bits == 8 else np.float32(-levels) + np.float32(0.2) * (t - 3)
                bits_of[0] = largest / highest
                word = np.uint16((as_int[0] + np.uint32(0x8000)) >> np.uint32(16))
                as_int[0] = np.uint32(word) << np.uint32(16)
                scale = bits_of[0]
                inverse = np.float32(1) / scale if scale != 0 else np.float32(0)
                error = np.float32(0)
                for i in range(block):
                    level = min(max(np.rint(values[i] * inverse), np.float32(-levels)), np.float32(levels - 1))
                    error += (values[i] - level * scale) ** 2
                if error < best_error:
                    best, best_error, best_word = inverse, error, word
            scales[tile, b, lane] = best_word
            for i in range(block):
                level = (
                    np.int32(min(max(np.rint(values[i] * best), np.float32(-levels)), np.float32(levels - 1))) + zero
                )
                four, part = divmod(b * block + i, 4)
                if bits == 8:
                    packed[tile, (four * LANES + lane) * 4 + part] = level
                else:
                    packed[tile, (four // 2 * LANES + lane) * 4 + part] |= level << (4 * (four % 2))


def pack(matrix: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """`matrix` (outputs, inputs) as uint8 (tiles, bytes in a tile) and bfloat16 scales, uint16 (tiles, blocks, LANES).

    Outputs and inputs are padded to multiples of HEAD. With 32 bits the bytes are the float32 themselves, and blocks
    have no scales.
    """
    form = FORMATS[bits]
    outputs, inputs = matrix.shape
    tiles, padded = -(-outputs // HEAD) * HEAD // LANES, -(-inputs // HEAD) * HEAD
    if not form.is_rounded:
        whole = np.zeros((tiles, LANES, padded), np.float32)
        whole.reshape(-1, padded)[:outputs, :inputs] = matrix
        packed = np.ascontiguousarray(whole.swapaxes(1, 2)).view(np.uint8).reshape(tiles, -1)
        return packed, np.zeros((tiles, padded // form.block, 0), np.uint16)
    packed = np.zeros((tiles, LANES * padded * bits // 8), np.uint8)
    scales = np.zeros((tiles, padded // form.block, LANES), np.uint16)
    _pack(np.ascontiguousarray(matrix, np.float32), bits, form.block, form.zero, packed, scales)
    return packed, scales


@numba.njit(nogil=True, cache=True)
def unpack_tile(packed, factors, bits, block, zero, matrix):
    """matrix (LANES, inputs) ← a tile (bytes,) with float32 scales (blocks, LANES)."""
    for four in range(matrix.shape[1] // 4):
        for lane in range(LANES):
            factor = factors[four * 4 // block, lane]
            for part in range(4):
                if bits == 8:
                    level = np.int32(packed[(four * LANES + lane) * 4 + part])
                else:
                    level = np.int32(packed[(four // 2 * LANES + lane) * 4 + part] >> 4 * (four % 2)) & 15
                matrix[lane, four * 4 + part] = np.float32(level - zero) * factor


def float32_scales(scales: np.ndarray) -> np.ndarray:
    """`pack`'s scales, of bfloat16."""
    return (scales.astype(np.uint32) << 16).view(np.float32)


def unpack(packed: np.ndarray, scales: np.ndarray, bits: int) -> np.ndarray:
    """The float32 matrix (outputs, inputs), padding included, that `pack`'s arrays stand for."""
    form, factors = FORMATS[bits], float32_scales(scales)
    matrix = np.empty((len(packed) * LANES, scales.shape[1] * form.block), np.float32)
    for tile in range(len(packed)):
        rows = matrix[tile * LANES : (tile + 1) * LANES]
        unpack_tile(packed[tile], factors[tile], bits, form.block, form.zero, rows)
    return matrix


def can_pack(weights: DecoderWeights) -> bool:
    """Whether the kernels know its shape: heads of HEAD dimensions, as all of Meta's checkpoints have."""
    return weights.norm.shape[1] == weights.attention_heads * HEAD


def pack_decoder(weights: DecoderWeights, bits: int) -> dict[str, np.ndarray]:
    """`weights` in `bits` (8 or 4; 32 is as they are), as plain arrays that may be stored.

    The heads and the cross-attention's keys and values have no less than 8 bits. Raises ValueError for heads that
    haven't HEAD dimensions.
    """
    if not can_pack(weights):
        raise ValueError(f"Expected heads of {HEAD} dimensions")
    kinds = {"qkv": bits, "attention_out": bits, "fc1": bits, "fc2": bits}
    fine = max(bits, 8)
    kinds |= {"cross_query": bits, "cross_key": fine, "cross_value": fine, "cross_out": bits}
    arrays: dict[str, np.ndarray] = {}
    norms = []

    def put(name: str, matrix: np.ndarray, kind: int) -> None:
        arrays[name], arrays[f"{name}.scales"] = pack(matrix, kind)

    def put_layer(i: int) -> None:
        layer = weights.layers[i]  # here, so that no more layers are in memory than are being packed
        for name, kind in kinds.items():
            if (matrix := getattr(layer, name)) is not None:
                put(f"{i}.{name}", matrix, kind)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(put_layer, range(len(weights.layers))))
    put("heads", weights.heads, fine)
    for layer in weights.layers:
        norms += [n for n in (layer.attention_norm, layer.cross_norm, layer.final_norm) if n is not None]
    arrays["norms"] = np.stack([*norms, weights.norm]).astype(np.float32)
    vocabulary = len(weights.heads) // weights.codebooks
    arrays["shape"] = np.array(
        [len(weights.layers), weights.attention_heads, weights.codebooks, vocabulary, bits], np.int64
    )
    return arrays
