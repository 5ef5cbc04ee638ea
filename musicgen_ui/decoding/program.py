"""A step of decoding as a program: operations one after another, each cut into units that any thread may take.

A thread that finds no unit left waits for the operation to be finished, and goes on to the next. One that comes late,
or never, leaves its units to the others, so more threads than processors do little harm. Whoever computes a unit, its
numbers are the same: results depend neither on the number of threads nor on what else is in the batch.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from musicgen_ui.decoding.kernels import FORMATS, HEAD, LANES

NORM, LAST_NORM, ROUND, ATTEND, CROSS, KEEP, SHARES, PROJECT, ADD, GELU, LOGITS = range(11)

OPERATION = np.dtype(
    [
        (name, np.int64)
        for name in (
            "kind",
            "first",  # of the sequences that it is about
            "rows",  # how many they are; 0: all
            "index",  # of the norm or of the layer
            "places",  # of folded cross-attention
            "weights",  # addresses of the packed matrix
            "scales",
            "tiles",
            "span",  # tiles in a unit
            "inputs",
            "bits",
            "kernel",  # the column in `kernels` of those that multiply by the matrix
            "round",  # how activations are rounded: those of the matrix, or those that the operation puts out
            "block",
            "zero",
            "column",  # of `projected` where products go
            "wide",  # 1 where the activations are fc1's
            "next_weights",  # of the next matrix: address, units, bytes of a unit
            "next_units",
            "next_bytes",
        )
    ]
)


class Cache(NamedTuple):
    """Keys and values of so many layers, rows and heads, int8 or float32, with a float32 scale per position.

    keys (…, tiles · HEAD · LANES), values (…, positions · HEAD), scales (…, positions); positions fill whole tiles.
    """

    keys: np.ndarray
    key_scales: np.ndarray
    values: np.ndarray
    value_scales: np.ndarray


def empty_cache(layers: int, rows: int, heads: int, positions: int, kind: type) -> Cache:
    tiles = -(-positions // LANES)
    shape = (layers, rows, heads)
    return Cache(
        np.zeros((*shape, tiles * HEAD * LANES), kind),
        np.zeros((*shape, tiles * LANES), np.float32),
        np.zeros((*shape, tiles * LANES * HEAD), kind),
        np.zeros((*shape, tiles * LANES), np.float32),
    )


class Rounded(NamedTuple):
    """Activations as the kernels read them: (rows · inputs), int8 or float32.

    int8 has per block a scale and what its sum starts from.
    """

    values: np.ndarray
    scales: np.ndarray
    starts: np.ndarray


def empty_rounded(rows: int, inputs: int, kind: type) -> Rounded:
    blocks = rows * inputs // min(form.block for form in FORMATS.values())
    return Rounded(np.zeros(rows * inputs, kind), np.zeros(blocks, np.float32), np.zeros(blocks, np.int32))


class Buffers(NamedTuple):
    """What one operation leaves for the next."""

    x: np.ndarray  # (rows · steps, width), the residual stream
    projected: np.ndarray  # (rows · steps, 3 · width)
    narrow: Rounded  # (rows · steps, width)
    wide: Rounded  # (rows · steps, ffn)
    logits: np.ndarray  # (rows, codebooks · vocabulary)
    outputs: np.ndarray  # (threads, 8, HEAD), of the kernels
    row: np.ndarray  # (threads, width)
    scores: np.ndarray  # (threads, capacity)


def _calling(typing, address, arguments):
    """Calls a kernel, by its address, with a tuple of integers."""

    def generate(context, builder, signature, values):
        address, arguments = values
        integer = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [integer] * signature.args[1].count)
        parts = [builder.extract_value(arguments, i) for i in range(signature.args[1].count)]
        builder.call(builder.inttoptr(address, kind.as_pointer()), parts)
        return context.get_dummy_value()

    return types.void(types.int64, types.UniTuple(types.int64, len(arguments))), generate


_call: Any = intrinsic(_calling)


def _fetch_adding(typing, address, amount):
    """Atomically adds `amount` to the int64 at `address`; returns what it was."""

    def generate(context, builder, signature, values):
        pointer = builder.inttoptr(values[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, values[1], "acq_rel")

    return types.int64(types.int64, types.int64), generate


_fetch_add: Any = intrinsic(_fetch_adding)


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
def _round(floats, count, rounded, first, operation):
    """Puts floats[:count] at rounded.values[first:], as the operation's matrix wants it."""
    block = operation.block
    _call(
        operation.round,
        (
            floats.ctypes.data,
            rounded.values.ctypes.data + first * rounded.values.itemsize,
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
    """Puts a key and a value (HEAD,) into the cache, rounded where that is int8."""
    exact = cache.keys.itemsize == 4
    largest_key, largest_value = np.float32(1e-30), np.float32(1e-30)
    for i in range(HEAD):
        largest_key = max(largest_key, abs(key[i]))
        largest_value = max(largest_value, abs(value[i]))
    tile, lane = divmod(position, LANES)
    keys = cache.keys[layer, row, head]
    values = cache.values[layer, row, head, position * HEAD : (position + 1) * HEAD]
    for i in range(HEAD):
        place = (tile * HEAD + i) * LANES + lane
        if exact:
            keys[place], values[i] = key[i], value[i]
        else:
            keys[place] = np.rint(key[i] * (np.float32(127) / largest_key))
            values[i] = np.rint(value[i] * (np.float32(127) / largest_value))
    cache.key_scales[layer, row, head, position] = np.float32(1) if exact else largest_key / np.float32(127)
    cache.value_scales[layer, row, head, position] = np.float32(1) if exact else largest_value / np.float32(127)


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


@numba.njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def _share(scores, heads, places):
    """Softmax of each head's scores (heads · places, …), in their place."""
    for head in range(heads):
        of_head = scores[head * places : (head + 1) * places]
        highest = of_head.max()
        mass = np.float32(0)
        for i in range(places):
            of_head[i] = np.exp(of_head[i] - highest)
            mass += of_head[i]
        for i in range(places):
            of_head[i] /= mass


@numba.njit(nogil=True, cache=True)
def _multiply(worker, unit, operation, row, end_row, kernels, gelu, buffers):
    """`span` tiles of a matrix times activations row … end_row, and what is to be done with the products."""
    kind = operation.kind
    inputs, block = operation.inputs, operation.block
    blocks = inputs // block
    source = buffers.wide if operation.wide else buffers.narrow
    first = unit * operation.span
    tiles = min(operation.span, operation.tiles - first)
    bytes_ = LANES * inputs * operation.bits // 8
    products = buffers.outputs[worker]
    while row < end_row:
        choice = 0
        while kernels[choice, 0] > end_row - row:
            choice += 1
        group = kernels[choice, 0]
        _call(
            kernels[choice, operation.kernel],
            (
                products.ctypes.data,
                operation.weights + first * bytes_,
                operation.scales + first * blocks * LANES * 2,
                source.values.ctypes.data + row * inputs * source.values.itemsize,
                source.scales.ctypes.data + row * blocks * 4,
                source.starts.ctypes.data + row * blocks * 4,
                blocks,
                tiles,
            ),
        )
        start = first * LANES
        for r in range(group):
            product = products[r]
            if kind == GELU:
                _call(gelu, (product.ctypes.data, tiles))
                end = buffers.wide.values.size // buffers.x.shape[0]
                _round(product, HEAD, buffers.wide, (row + r) * end + start, operation)
            else:
                if kind == PROJECT:
                    target = buffers.projected[row + r, operation.column :]
                elif kind == LOGITS:
                    target = buffers.logits[row + r]
                else:
                    target = buffers.x[row + r]
                end = min(len(target), start + tiles * LANES)
                if kind == ADD:
                    for i in range(start, end):
                        target[i] += product[i - start]
                else:
                    for i in range(start, end):
                        target[i] = product[i - start]
        row += group


class Shape(NamedTuple):
    """Of a feed: so many sequences, steps of each, and steps fed before."""

    rows: int
    steps: int
    position: int
    row: int  # of cross-attention's cache that is being filled


@numba.njit(nogil=True, cache=True)
def run(worker, workers, program, counters, shape, kernels, others, norms, places, cache, cross, buffers):
    """Takes part in running `program`.

    counters (operations, 1 + workers, 8): how many units are done, and how many each worker's stretch has had taken.
    kernels (groups, 1 + formats): rows, and each format's kernel for so many.
    others: the kernels attend, gelu, wait.
    places (rows,): how many positions each row's cross-attention has.
    """
    attend, gelu, wait = others
    heads = cache.keys.shape[2]
    width = heads * HEAD
    fed, steps, position, kept_row = shape
    out = buffers.outputs[worker, 0]
    for index in range(len(program)):
        operation = program[index]
        kind = operation.kind
        first, rows = operation.first, operation.rows if operation.rows else fed
        if kind in (NORM, ROUND, SHARES):
            units = rows * steps
        elif kind == LAST_NORM:
            units = rows
        elif kind in (ATTEND, CROSS, KEEP):
            units = rows * heads
        else:
            units = -(-operation.tiles // operation.span)
        counter = counters.ctypes.data + index * counters.strides[0]
        mine = operation.next_weights + worker * operation.next_units // workers * operation.next_bytes
        done = 0
        unit = _take(counter + 64, worker, workers, units)
        while unit >= 0:
            if kind == NORM:
                r = first * steps + unit
                _normalise(buffers.x[r], norms[operation.index], buffers.row[worker])
                _round(buffers.row[worker], width, buffers.narrow, r * width, operation)
            elif kind == LAST_NORM:
                _normalise(buffers.x[unit * steps + steps - 1], norms[operation.index], buffers.row[worker])
                _round(buffers.row[worker], width, buffers.narrow, unit * width, operation)
            elif kind == ROUND:
                _round(buffers.x[unit], width, buffers.narrow, unit * width, operation)
            elif kind == SHARES:
                r, inputs = first * steps + unit, operation.inputs
                _share(buffers.projected[r], heads, operation.places)
                _round(buffers.projected[r], inputs, buffers.narrow, r * inputs, operation)
            elif kind in (ATTEND, CROSS, KEEP):
                row, head = first + unit // heads, unit % heads
                q, k, v = head * HEAD, width + head * HEAD, 2 * width + head * HEAD
                for step in range(steps):
                    r = row * steps + step
                    projected = buffers.projected[r]
                    if kind == ATTEND:
                        _keep(
                            cache,
                            operation.index,
                            row,
                            head,
                            position + step,
                            projected[k : k + HEAD],
                            projected[v : v + HEAD],
                        )
                        count = position + step + 1
                        _attend(
                            attend, cache, operation.index, row, head, count, projected[q:], out, buffers.scores[worker]
                        )
                    elif kind == CROSS:
                        _attend(
                            attend,
                            cross,
                            operation.index,
                            row,
                            head,
                            places[row],
                            projected[q:],
                            out,
                            buffers.scores[worker],
                        )
                    else:
                        _keep(
                            cross,
                            operation.index,
                            kept_row,
                            head,
                            position + step,
                            projected[q : q + HEAD],
                            projected[k : k + HEAD],
                        )
                    if kind != KEEP:
                        _round(out, HEAD, buffers.narrow, r * width + q, operation)
            else:
                each = 1 if kind == LOGITS else steps
                row, end_row = first * each, (first + rows) * each
                _multiply(worker, unit, operation, row, end_row, kernels, gelu, buffers)
            done += 1
            unit = _take(counter + 64, worker, workers, units)
        if done:
            _fetch_add(counter, done)
        _call(wait, (counter, units, mine))
