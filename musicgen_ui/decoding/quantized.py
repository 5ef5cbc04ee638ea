"""MusicGen's decoder with weights of 8 or 4 bits, for processors.

Decoding reads every weight for every token, so its speed is that of the memory, and smaller weights are faster. Weights are rounded block by
block with a scale each; activations are rounded to 8 bits as they come (a scale per row and block), multiplied as bytes and summed as
integers; keys and values are kept in 8 bits with a scale per head and position. All else is float32.

The pre-norm decoder of Copet et al. 2023, "Simple and Controllable Music Generation": x += out(attend(LN x)); x += cross_out(cross(LN x));
x += fc2(gelu(fc1(LN x))); then a LayerNorm and a linear head per codebook; no biases.

A step is a program: a list of operations, each cut into units that any thread may take. A thread that has no unit left to take waits for
the operation to be finished, and goes on with the next. Whoever computes a unit, its numbers are the same, so results depend neither on the number of
threads nor on what else is in the batch.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from musicgen_ui.decoding.kernels import FORMATS, HEAD, LANES, Kernels, WeightFormat

_CHUNK = 256  # rows of activations that are fed at once


@dataclass(frozen=True)
class LayerWeights:
    """A layer in float32; matrices are (outputs, inputs), norms (2, width): weight and bias."""

    qkv: np.ndarray
    attention_out: np.ndarray
    cross_query: np.ndarray | None
    cross_key: np.ndarray | None
    cross_value: np.ndarray | None
    cross_out: np.ndarray | None
    fc1: np.ndarray
    fc2: np.ndarray
    attention_norm: np.ndarray
    cross_norm: np.ndarray | None
    final_norm: np.ndarray


@dataclass(frozen=True)
class DecoderWeights:
    """A decoder in float32; `heads` is (codebooks · vocabulary, width)."""

    layers: Sequence[LayerWeights]
    norm: np.ndarray
    heads: np.ndarray
    attention_heads: int
    codebooks: int


# Quantising


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
                level = np.int32(min(max(np.rint(values[i] * best), np.float32(-levels)), np.float32(levels - 1))) + zero
                four, part = divmod(b * block + i, 4)
                if bits == 8:
                    packed[tile, (four * LANES + lane) * 4 + part] = level
                else:
                    packed[tile, (four // 2 * LANES + lane) * 4 + part] |= level << (4 * (four % 2))


def pack(matrix: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """`matrix` (outputs, inputs) as bytes (tiles, bytes in a tile) uint8 and scales (tiles, blocks, LANES), the upper half of a float32 each.

    Outputs and inputs are padded to multiples of HEAD.
    """
    form = FORMATS[bits]
    outputs, inputs = matrix.shape
    tiles, padded = -(-outputs // HEAD) * HEAD // LANES, -(-inputs // HEAD) * HEAD
    packed = np.zeros((tiles, LANES * padded * bits // 8), np.uint8)
    scales = np.zeros((tiles, padded // form.block, LANES), np.uint16)
    _pack(np.ascontiguousarray(matrix, np.float32), bits, form.block, form.zero, packed, scales)
    return packed, scales


def unpack(packed: np.ndarray, scales: np.ndarray, bits: int) -> np.ndarray:
    """The float32 matrix (outputs, inputs), padding included, that `pack`'s arrays stand for."""
    form = FORMATS[bits]
    tiles = len(packed)
    if bits == 4:
        packed = np.stack([packed.reshape(tiles, -1, 4 * LANES) & 15, packed.reshape(tiles, -1, 4 * LANES) >> 4], axis=2)
    levels = packed.reshape(tiles, -1, LANES, 4).transpose(0, 2, 1, 3).reshape(tiles, LANES, -1, form.block)
    factors = (scales.astype(np.uint32) << 16).view(np.float32).transpose(0, 2, 1)[..., None]
    return ((levels.astype(np.float32) - form.zero) * factors).reshape(tiles * LANES, -1)


def quantize(weights: DecoderWeights, bits: int) -> dict[str, np.ndarray]:
    """`weights` in `bits` (8 or 4), as plain arrays to be stored; the heads and the cross-attention's keys and values stay at 8."""
    layers = weights.layers
    width = weights.norm.shape[1]
    if width != weights.attention_heads * HEAD:
        raise ValueError(f"Expected heads of {HEAD} dimensions, got width {width} with {weights.attention_heads} heads")
    matrices = {"qkv": bits, "attention_out": bits, "fc1": bits, "fc2": bits}
    crossed = layers[0].cross_query is not None
    if crossed:
        matrices |= {"cross_query": bits, "cross_key": 8, "cross_value": 8, "cross_out": bits}
    jobs = [(f"{i}.{name}", getattr(layer, name), kind) for i, layer in enumerate(layers) for name, kind in matrices.items()]
    jobs.append(("heads", weights.heads, 8))
    with ThreadPoolExecutor(numba.config.NUMBA_NUM_THREADS) as pool:
        packed = list(pool.map(lambda job: pack(*job[1:]), jobs))
    arrays = {}
    for (name, _, _), (values, scales) in zip(jobs, packed, strict=True):
        arrays |= {name: values, f"{name}.scales": scales}
    norms = [n for layer in layers for n in (layer.attention_norm, layer.cross_norm, layer.final_norm) if n is not None]
    arrays["norms"] = np.stack([*norms, weights.norm]).astype(np.float32)
    vocabulary = len(weights.heads) // weights.codebooks
    arrays["shape"] = np.array([len(layers), weights.attention_heads, weights.codebooks, vocabulary, bits], np.int64)
    return arrays


# The program

_NORM, _LAST_NORM, _ROUND, _ATTEND, _CROSS, _KEEP, _PROJECT, _ADD, _GELU, _LOGITS = range(10)

_OPERATION = np.dtype(
    [
        (name, np.int64)
        for name in (
            "kind",
            "index",  # of the norm or of the layer
            "weights",  # addresses of the packed matrix
            "scales",
            "tiles",
            "span",  # tiles in a unit
            "inputs",
            "bits",
            "block",  # how activations are rounded: those of the matrix, or those that the operation puts out
            "zero",
            "column",  # of `projected` where products go
            "wide",  # 1 where the activations are fc1's
            "next_weights",  # of the next matrix: address, units, bytes of a unit
            "next_units",
            "next_bytes",
        )
    ]
)


class _Cache(NamedTuple):
    """Keys (layers, rows, heads, tiles, HEAD · LANES) and values (layers, rows, heads, positions · HEAD), int8, and float32 scales (…, positions)."""

    keys: np.ndarray
    key_scales: np.ndarray
    values: np.ndarray
    value_scales: np.ndarray


def _cache(layers: int, rows: int, heads: int, positions: int) -> _Cache:
    tiles = -(-positions // LANES)
    shape = (layers, rows, heads)
    return _Cache(
        np.zeros((*shape, tiles * HEAD * LANES), np.int8),
        np.zeros((*shape, tiles * LANES), np.float32),
        np.zeros((*shape, tiles * LANES * HEAD), np.int8),
        np.zeros((*shape, tiles * LANES), np.float32),
    )


class _Rounded(NamedTuple):
    """Activations as the kernels read them: int8 values (rows · inputs), per block a scale and the integer that its sum starts from."""

    values: np.ndarray
    scales: np.ndarray
    starts: np.ndarray


def _rounded(rows: int, inputs: int) -> _Rounded:
    blocks = rows * inputs // min(form.block for form in FORMATS.values())
    return _Rounded(np.zeros(rows * inputs, np.int8), np.zeros(blocks, np.float32), np.zeros(blocks, np.int32))


class _Buffers(NamedTuple):
    """What one operation leaves for the next."""

    x: np.ndarray  # (rows · steps, width), the residual stream
    projected: np.ndarray  # (rows · steps, 3 · width)
    narrow: _Rounded  # (rows · steps, width)
    wide: _Rounded  # (rows · steps, ffn)
    logits: np.ndarray  # (rows, codebooks · vocabulary)
    outputs: np.ndarray  # (threads, 8, HEAD), of the kernels
    row: np.ndarray  # (threads, width)
    scores: np.ndarray  # (threads, capacity)


@intrinsic
def _call(typing, address, arguments):
    """Calls a kernel, by its address, with a tuple of integers."""

    def generate(context, builder, signature, values):
        address, arguments = values
        integer = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [integer] * signature.args[1].count)
        parts = [builder.extract_value(arguments, i) for i in range(signature.args[1].count)]
        builder.call(builder.inttoptr(address, kind.as_pointer()), parts)
        return context.get_dummy_value()

    return types.void(types.int64, types.UniTuple(types.int64, len(arguments))), generate


@intrinsic
def _fetch_add(typing, address, amount):
    """Atomically adds `amount` to the int64 at `address`; returns what it was."""

    def generate(context, builder, signature, values):
        pointer = builder.inttoptr(values[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, values[1], "acq_rel")

    return types.int64(types.int64, types.int64), generate


@numba.njit(nogil=True, cache=True)
def _take(counters, worker, workers, units):
    """A unit that nobody has taken, or -1: first of this worker's own stretch, then of the others'.

    counters: the address of a counter per worker, 64 bytes apart.
    """
    for i in range(workers):
        owner = (worker + i) % workers
        first, end = owner * units // workers, (owner + 1) * units // workers
        unit = first + _fetch_add(counters + 64 * owner, 1)
        if unit < end:
            return unit
    return -1


@numba.njit(nogil=True, cache=True)
def _round(rounding, floats, count, rounded, first, operation):
    """Rounds floats[:count] to int8 at rounded.values[first:], as the operation's matrix wants it."""
    block = operation.block
    _call(
        rounding[block // 64],
        (
            floats.ctypes.data,
            rounded.values.ctypes.data + first,
            rounded.scales.ctypes.data + first // block * 4,
            rounded.starts.ctypes.data + first // block * 4,
            count // block,
            operation.zero,
        ),
    )


@numba.njit(nogil=True, cache=True, fastmath=True)
def _normalise(x, norm, out):
    """LayerNorm of x (width,)"""
    width = len(x)
    mean = np.float32(0)
    for i in range(width):
        mean += x[i]
    mean /= np.float32(width)
    variance = np.float32(0)
    for i in range(width):
        variance += (x[i] - mean) ** 2
    factor = np.float32(1) / np.sqrt(variance / np.float32(width) + np.float32(1e-5))
    for i in range(width):
        out[i] = (x[i] - mean) * factor * norm[0, i] + norm[1, i]


@numba.njit(nogil=True, cache=True, fastmath=True)
def _keep(cache, layer, row, head, position, key, value):
    """Puts a key and a value (HEAD,) into the cache, rounded."""
    largest_key, largest_value = np.float32(1e-30), np.float32(1e-30)
    for i in range(HEAD):
        largest_key = max(largest_key, abs(key[i]))
        largest_value = max(largest_value, abs(value[i]))
    tile, lane = divmod(position, LANES)
    keys = cache.keys[layer, row, head]
    values = cache.values[layer, row, head, position * HEAD : (position + 1) * HEAD]
    for i in range(HEAD):
        keys[(tile * HEAD + i) * LANES + lane] = np.int8(np.rint(key[i] * (np.float32(127) / largest_key)))
        values[i] = np.int8(np.rint(value[i] * (np.float32(127) / largest_value)))
    cache.key_scales[layer, row, head, position] = largest_key / np.float32(127)
    cache.value_scales[layer, row, head, position] = largest_value / np.float32(127)


@numba.njit(nogil=True, cache=True)
def _attend(attend, cache, layer, row, head, count, query, out, scores):
    """out (HEAD,) ← attention of query (HEAD,) to the first `count` positions."""
    if count == 0:
        out[:] = 0
        return
    for i in range(HEAD):
        query[i] *= np.float32(HEAD**-0.5)
    _call(
        attend,
        (
            out.ctypes.data,
            query.ctypes.data,
            cache.keys[layer, row, head].ctypes.data,
            cache.key_scales[layer, row, head].ctypes.data,
            cache.values[layer, row, head].ctypes.data,
            cache.value_scales[layer, row, head].ctypes.data,
            scores.ctypes.data,
            count,
        ),
    )


@numba.njit(nogil=True, cache=True)
def _multiply(worker, unit, operation, rows, kernels, gelu, rounding, buffers):
    """`span` tiles of a matrix times all rows of activations, and what is to be done with the products."""
    kind = operation.kind
    inputs, block = operation.inputs, operation.block
    blocks = inputs // block
    source = buffers.wide if operation.wide else buffers.narrow
    first = unit * operation.span
    tiles = min(operation.span, operation.tiles - first)
    bytes_ = LANES * inputs * operation.bits // 8
    products = buffers.outputs[worker]
    row = 0
    while row < rows:
        choice = 0
        while kernels[choice, 0] > rows - row:
            choice += 1
        group = kernels[choice, 0]
        _call(
            kernels[choice, operation.bits // 4],
            (
                products.ctypes.data,
                operation.weights + first * bytes_,
                operation.scales + first * blocks * LANES * 2,
                source.values.ctypes.data + row * inputs,
                source.scales.ctypes.data + row * blocks * 4,
                source.starts.ctypes.data + row * blocks * 4,
                blocks,
                tiles,
            ),
        )
        start = first * LANES
        for r in range(group):
            product = products[r]
            if kind == _GELU:
                _call(gelu, (product.ctypes.data, tiles))
                end = buffers.wide.values.size // buffers.x.shape[0]
                _round(rounding, product, HEAD, buffers.wide, (row + r) * end + start, operation)
            else:
                if kind == _PROJECT:
                    target = buffers.projected[row + r, operation.column :]
                elif kind == _LOGITS:
                    target = buffers.logits[row + r]
                else:
                    target = buffers.x[row + r]
                end = min(len(target), start + tiles * LANES)
                if kind == _ADD:
                    for i in range(start, end):
                        target[i] += product[i - start]
                else:
                    for i in range(start, end):
                        target[i] = product[i - start]
        row += group


class _Shape(NamedTuple):
    """Of a feed: so many sequences, steps of each, and steps fed before."""

    rows: int
    steps: int
    position: int
    row: int  # the first


@numba.njit(nogil=True, cache=True)
def _run(worker, workers, program, counters, shape, kernels, others, norms, places, cache, cross, buffers):
    """Takes part in running `program`.

    counters (operations, 1 + workers, 8): how many units are done, and how many each worker's stretch has had taken.
    kernels (groups, 3): rows, the 4-bit and the 8-bit kernel for so many; others: attend, gelu, wait, rounding by 32 and by 64.
    places (rows,): how many positions each row's cross-attention has.
    """
    attend, gelu, wait = others[:3]
    rounding = others[3:]
    heads = cache.keys.shape[2]
    width = heads * HEAD
    rows, steps, position, first = shape
    out = buffers.outputs[worker, 0]
    for index in range(len(program)):
        operation = program[index]
        kind = operation.kind
        if kind == _NORM or kind == _ROUND:
            units = rows * steps
        elif kind == _LAST_NORM:
            units = rows
        elif kind == _ATTEND or kind == _CROSS or kind == _KEEP:
            units = rows * heads
        else:
            units = -(-operation.tiles // operation.span)
        counter = counters.ctypes.data + index * counters.strides[0]
        mine = operation.next_weights + worker * operation.next_units // workers * operation.next_bytes
        done = 0
        unit = _take(counter + 64, worker, workers, units)
        while unit >= 0:
            if kind == _NORM:
                _normalise(buffers.x[unit], norms[operation.index], buffers.row[worker])
                _round(rounding, buffers.row[worker], width, buffers.narrow, unit * width, operation)
            elif kind == _LAST_NORM:
                _normalise(buffers.x[unit * steps + steps - 1], norms[operation.index], buffers.row[worker])
                _round(rounding, buffers.row[worker], width, buffers.narrow, unit * width, operation)
            elif kind == _ROUND:
                _round(rounding, buffers.x[unit], width, buffers.narrow, unit * width, operation)
            elif kind == _ATTEND or kind == _CROSS or kind == _KEEP:
                row, head = divmod(unit, heads)
                q, k, v = head * HEAD, width + head * HEAD, 2 * width + head * HEAD
                for step in range(steps):
                    r = row * steps + step
                    projected = buffers.projected[r]
                    if kind == _ATTEND:
                        _keep(
                            cache, operation.index, row, head, position + step, projected[k : k + HEAD], projected[v : v + HEAD]
                        )
                        count = position + step + 1
                        _attend(attend, cache, operation.index, row, head, count, projected[q:], out, buffers.scores[worker])
                    elif kind == _CROSS:
                        _attend(attend, cross, operation.index, row, head, places[row], projected[q:], out, buffers.scores[worker])
                    else:
                        _keep(cross, operation.index, first + row, head, position + step, projected[q : q + HEAD], projected[k : k + HEAD])
                    if kind != _KEEP:
                        _round(rounding, out, HEAD, buffers.narrow, r * width + q, operation)
            else:
                _multiply(worker, unit, operation, rows if kind == _LOGITS else rows * steps, kernels, gelu, rounding, buffers)
            done += 1
            unit = _take(counter + 64, worker, workers, units)
        if done:
            _fetch_add(counter, done)
        _call(wait, (counter, units, mine))


class QuantizedDecoder:
    """A decoder that is fed embeddings and gives logits; it keeps the sequences' keys and values.

    weights: float32, or the arrays of `quantize`, which may be memory-mapped.
    instructions: one of `kernels.INSTRUCTIONS`; by default the best that this processor has.
    """

    def __init__(
        self,
        weights: DecoderWeights | Mapping[str, np.ndarray],
        bits: int,
        threads: int | None = None,
        instructions: str | None = None,
    ):
        self._arrays = quantize(weights, bits) if isinstance(weights, DecoderWeights) else weights
        self._layers, self._heads, self.codebooks, self.vocabulary, stored = (int(n) for n in self._arrays["shape"])
        if stored != bits:
            raise ValueError(f"Expected weights of {bits} bits, got {stored}")
        self._width = self._heads * HEAD
        self._crossed = "0.cross_query" in self._arrays
        self._norms = np.array(self._arrays["norms"])
        self._kernels = Kernels(instructions)
        self._groups = np.array(
            [[rows, *(self._kernels.address[f"multiply_{bits}_{rows}"] for bits in (4, 8))] for rows in self._kernels.groups]
        )
        self._others = tuple(self._kernels.address[name] for name in ("attend", "gelu", "wait", "round_32", "round_64"))
        self._threads = threads or numba.config.NUMBA_NUM_THREADS
        self._pool = ThreadPoolExecutor(max(1, self._threads - 1), "decoder")
        self._form = FORMATS[bits]
        self._decoding = self._decoding_program()
        self._crossing = self._crossing_program() if self._crossed else None
        self._ffn = self._arrays["0.fc1"].shape[0] * LANES
        self.position = self._rows = 0

    # Programs

    def _matrix(self, kind: int, name: str, form: WeightFormat, **others: int) -> dict[str, int]:
        packed, scales = self._arrays[name], self._arrays[f"{name}.scales"]
        for array in (packed, scales):
            if not array.flags.c_contiguous or array.ctypes.data % 4:
                raise ValueError(f"{name} is not one aligned stretch of memory")
        return {
            "kind": kind,
            "weights": packed.ctypes.data,
            "scales": scales.ctypes.data,
            "tiles": len(packed),
            "span": HEAD // LANES,
            "inputs": scales.shape[1] * form.block,
            "bits": form.bits,
            "block": form.block,
            "zero": self._kernels.instructions.zero(form.bits),
        } | others

    def _program(self, operations: list[dict[str, int]]) -> np.ndarray:
        program = np.zeros(len(operations), _OPERATION)
        following: dict[str, int] = {}
        for operation in reversed(operations):
            operation |= following
            if "weights" in operation:
                following = {
                    "next_weights": operation["weights"],
                    "next_units": operation["tiles"] // operation["span"],
                    "next_bytes": operation["span"] * LANES * operation["inputs"] * operation["bits"] // 8,
                }
        for operation, values in zip(program, operations, strict=True):
            for name, value in values.items():
                operation[name] = value
        return program

    def _decoding_program(self) -> np.ndarray:
        form, last = self._form, FORMATS[8]
        rounding = {"block": form.block, "zero": self._kernels.instructions.zero(form.bits)}
        operations: list[dict[str, int]] = []
        norm = 0
        for i in range(self._layers):
            operations += [
                {"kind": _NORM, "index": norm, **rounding},
                self._matrix(_PROJECT, f"{i}.qkv", form),
                {"kind": _ATTEND, "index": i, **rounding},
                self._matrix(_ADD, f"{i}.attention_out", form),
            ]
            norm += 1
            if self._crossed:
                operations += [
                    {"kind": _NORM, "index": norm, **rounding},
                    self._matrix(_PROJECT, f"{i}.cross_query", form),
                    {"kind": _CROSS, "index": i, **rounding},
                    self._matrix(_ADD, f"{i}.cross_out", form),
                ]
                norm += 1
            operations += [
                {"kind": _NORM, "index": norm, **rounding},
                self._matrix(_GELU, f"{i}.fc1", form),
                self._matrix(_ADD, f"{i}.fc2", form, wide=1),
            ]
            norm += 1
        operations += [
            {"kind": _LAST_NORM, "index": norm, "block": last.block, "zero": self._kernels.instructions.zero(8)},
            self._matrix(_LOGITS, "heads", last),
        ]
        return self._program(operations)

    def _crossing_program(self) -> np.ndarray:
        form = FORMATS[8]
        zero = self._kernels.instructions.zero(8)
        operations: list[dict[str, int]] = [{"kind": _ROUND, "block": form.block, "zero": zero}]
        for i in range(self._layers):
            operations += [
                self._matrix(_PROJECT, f"{i}.cross_key", form),
                self._matrix(_PROJECT, f"{i}.cross_value", form, column=self._width),
                {"kind": _KEEP, "index": i},
            ]
        return self._program(operations)

    def _execute(self, program: np.ndarray, shape: _Shape) -> None:
        counters = self._counters[: len(program)]
        counters[:] = 0
        parts = (
            *(self._threads, program, counters, shape, self._groups, self._others, self._norms),
            *(self._places, self._cache, self._cross, self._buffers),
        )
        helpers = [self._pool.submit(_run, worker, *parts) for worker in range(1, self._threads)]
        _run(0, *parts)
        for helper in helpers:
            if not helper.cancel():
                helper.result()

    # Decoding

    def begin(self, rows: int, capacity: int, states: np.ndarray | None = None, mask: np.ndarray | None = None) -> None:
        """Starts `rows` new sequences of at most `capacity` steps.

        states (rows, places, width) float32 are what cross-attention attends to, where mask (rows, places) is true;
        a row that is masked out altogether gets zeros from it.
        """
        if self._crossed != (states is not None):
            raise ValueError("Expected states for cross-attention" if self._crossed else "Expected no states")
        self._rows, self._capacity, self.position = rows, capacity, 0
        self._chunk = max(1, _CHUNK // rows)  # steps
        activations, width, threads = max(_CHUNK, rows), self._width, self._threads
        self._buffers = _Buffers(
            x=np.zeros((activations, width), np.float32),
            projected=np.zeros((activations, 3 * width), np.float32),
            narrow=_rounded(activations, width),
            wide=_rounded(activations, self._ffn),
            logits=np.zeros((rows, self.codebooks * self.vocabulary), np.float32),
            outputs=np.zeros((threads, 8, HEAD), np.float32),
            row=np.zeros((threads, width), np.float32),
            scores=np.zeros((threads, max(capacity, 0 if states is None else states.shape[1]) + LANES), np.float32),
        )
        self._counters = np.zeros((12 * self._layers + 2, 1 + threads, 8), np.int64)
        self._cache = _cache(self._layers, rows, self._heads, capacity)
        self._places = np.zeros(rows, np.int64)
        self._cross = _cache(self._layers, rows, self._heads, 0 if states is None else states.shape[1])
        if states is None:
            return
        if states.shape[0] != rows or states.shape[2] != width:
            raise ValueError(f"Expected states ({rows}, places, {width}), got {states.shape}")
        for row in range(rows):
            heard = states[row] if mask is None else states[row][mask[row].astype(bool)]
            self._places[row] = len(heard)
            for first in range(0, len(heard), _CHUNK):
                part = heard[first : first + _CHUNK]
                self._buffers.x[: len(part)] = part
                self._execute(self._crossing, _Shape(1, len(part), first, row))

    def feed(self, inputs: np.ndarray) -> np.ndarray:
        """Appends inputs (rows, steps, width) to the sequences; logits (rows, codebooks, vocabulary) of the last step."""
        rows, steps, width = inputs.shape
        if rows != self._rows or width != self._width:
            raise ValueError(f"Expected inputs ({self._rows}, steps, {self._width}), got {inputs.shape}")
        if self.position + steps > self._capacity:
            raise ValueError(f"Expected at most {self._capacity} steps, got {self.position + steps}")
        for first in range(0, steps, self._chunk):
            part = inputs[:, first : first + self._chunk]
            count = part.shape[1]
            self._buffers.x[: rows * count] = part.reshape(rows * count, width)
            self._execute(self._decoding, _Shape(rows, count, self.position, 0))
            self.position += count
        return self._buffers.logits.reshape(rows, self.codebooks, self.vocabulary).copy()
