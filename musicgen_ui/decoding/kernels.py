"""The inner loops of our own decoding, as LLVM code made for the machine they run on.

numba brings llvmlite, and LLVM knows the dot products of bytes that every processor of today has under another
name, which no loop in Python or numba is compiled to. A kernel is a C function of 64-bit integers (addresses and
counts); `program.py` calls it from numba by its address. Vectors are written 64 bytes wide, and LLVM cuts them to
what the processor has.

Packed weights (`packing.pack`) are tiles of 16 outputs, and a 64-byte vector holds, for each of the 16, four
consecutive inputs (one, of float32). So a vector times four broadcast activations adds to 16 sums at once, nothing is
ever summed across a vector, and a tile is one stretch of memory, read once from end to end for all rows of a batch.
"""

import ctypes
import platform
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass

from llvmlite import binding, ir

LANES = 16  # outputs in a tile
HEAD = 64  # dimensions of an attention head; also the outputs of a unit of work
ROW_GROUPS = (8, 4, 2, 1)  # rows of activations that share one pass over a tile
_NEAR = 1024  # bytes: and into the innermost cache
_SPINS = 500  # looks at a counter before a waiting thread gives its turn away
_YIELD = "musicgen_ui_yield"
_AHEAD = 8192  # bytes: how far ahead weights are asked of the memory; the hardware stops at each page

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_F32 = ir.FloatType()
_FLOATS = ir.VectorType(_F32, LANES)
_INTS = ir.VectorType(_I32, LANES)
_BYTES = ir.VectorType(_I8, 4 * LANES)


@dataclass(frozen=True)
class WeightFormat:
    """How weights of `bits` are stored: unsigned, `zero` meaning 0, a bfloat16 scale per output and `block` inputs.

    32 bits are float32 as it is, without scales; `block` is then only how much is done at once.
    """

    bits: int
    block: int
    zero: int

    @property
    def is_rounded(self) -> bool:
        return self.bits < 32


FORMATS = {32: WeightFormat(32, 64, 0), 8: WeightFormat(8, 64, 128), 4: WeightFormat(4, 32, 8)}


class _Function:
    """A C function under construction: `arguments` are integers named once and read as attributes."""

    def __init__(self, module: ir.Module, name: str, arguments: str):
        names = arguments.split()
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_I64] * len(names)), name)
        self.builder = ir.IRBuilder(self.function.append_basic_block())
        self.argument = dict(zip(names, self.function.args, strict=True))

    def __getattr__(self, name: str) -> ir.Value:
        return self.argument[name]

    # Memory

    def _pointer(self, kind: ir.Type, address: ir.Value, offset: int) -> ir.Value:
        if offset:
            address = self.builder.add(address, _I64(offset))
        return self.builder.inttoptr(address, kind.as_pointer())

    def load(self, kind: ir.Type, address: ir.Value, offset: int = 0) -> ir.Value:
        return self.builder.load(self._pointer(kind, address, offset), align=1)

    def store(self, value: ir.Value, address: ir.Value, offset: int = 0) -> None:
        self.builder.store(value, self._pointer(value.type, address, offset), align=1)

    def prefetch(self, address: ir.Value, offset: int, level: int = 1) -> None:
        pointer = self._pointer(_I8, address, offset)
        read, keep, data = _I32(0), _I32(4 - level), _I32(1)
        self.call("llvm.prefetch.p0", ir.VoidType(), pointer, read, keep, data)

    def at(self, base: ir.Value, index: ir.Value | int, size: int) -> ir.Value:
        """The address of element `index`, of `size` bytes."""
        index = _I64(index) if isinstance(index, int) else index
        return self.builder.add(base, self.builder.mul(index, _I64(size)))

    # Values

    def spread(self, scalar: ir.Value, kind: ir.VectorType) -> ir.Value:
        """`scalar` in every lane."""
        vector = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, _I32(0))
        return self.builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(_I32, kind.count), None))

    def call(self, intrinsic: str, result: ir.Type, *values: ir.Value) -> ir.Value:
        module = self.builder.module
        declared = module.globals.get(intrinsic)
        if declared is None:
            declared = ir.Function(module, ir.FunctionType(result, [value.type for value in values]), intrinsic)
        return self.builder.call(declared, values)

    def math(self, name: str, *values: ir.Value) -> ir.Value:
        """fma, rint, fabs, …, lane by lane."""
        return self.call(f"llvm.{name}.v{LANES}f32", _FLOATS, *values)

    def variable(self, value: ir.Value) -> ir.Value:
        """A place for a value that a loop changes; LLVM keeps it in a register."""
        with self.builder.goto_entry_block():
            place = self.builder.alloca(value.type)
        self.builder.store(value, place)
        return place

    def loop(self, count: ir.Value, body: Callable[[ir.Value], None]) -> None:
        """body(0), …, body(count - 1)"""
        builder = self.builder
        before, inside, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.cbranch(builder.icmp_signed(">", count, _I64(0)), inside, after)
        builder.position_at_end(inside)
        index = builder.phi(_I64)
        index.add_incoming(_I64(0), before)
        body(index)
        following = builder.add(index, _I64(1))
        index.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, count), inside, after)
        builder.position_at_end(after)

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        return self.math("fma", a, b, c)

    def floats(self, value: float) -> ir.Constant:
        return ir.Constant(_FLOATS, [value] * LANES)

    def polynomial(self, x: ir.Value, *coefficients: float) -> ir.Value:
        """Horner's scheme, the highest power first."""
        result = self.floats(coefficients[0])
        for coefficient in coefficients[1:]:
            result = self.fma(result, x, self.floats(coefficient))
        return result

    def exp(self, x: ir.Value) -> ir.Value:
        """e^x for x ≤ 0 within 2e-7 (relative), by 2^n · e^f, |f| ≤ ln 2 / 2 (Cephes' expf)."""
        b = self.builder
        x = self.math("maxnum", x, self.floats(-87.0))
        n = self.math("rint", b.fmul(x, self.floats(1.44269504088896341)))
        f = self.fma(n, self.floats(-0.693359375), x)
        f = self.fma(n, self.floats(2.12194440e-4), f)
        tail = self.polynomial(
            f, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5, 1.0, 1.0
        )
        exponent = b.shl(b.add(b.fptosi(n, _INTS), ir.Constant(_INTS, [127] * LANES)), ir.Constant(_INTS, [23] * LANES))
        return b.fmul(tail, b.bitcast(exponent, _FLOATS))


# Dot products of bytes: acc[i] += Σ_j weights[4i + j] · activations[j]. Weights are unsigned, activations signed.


def _pieces(f: _Function, vector: ir.Value, count: int) -> list[ir.Value]:
    size = vector.type.count // count
    undefined = ir.Constant(vector.type, ir.Undefined)
    return [
        f.builder.shuffle_vector(
            vector, undefined, ir.Constant(ir.VectorType(_I32, size), list(range(i * size, (i + 1) * size)))
        )
        for i in range(count)
    ]


def _joined(f: _Function, pieces: list[ir.Value]) -> ir.Value:
    while len(pieces) > 1:
        both = ir.Constant(ir.VectorType(_I32, 2 * pieces[0].type.count), list(range(2 * pieces[0].type.count)))
        pieces = [f.builder.shuffle_vector(a, b, both) for a, b in zip(pieces[::2], pieces[1::2], strict=True)]
    return pieces[0]


def _vnni(width: int) -> Callable:
    """x86's vpdpbusd, in the AVX-512 and in the AVX form."""

    def dot(f: _Function, acc: ir.Value, weights: ir.Value, activations: ir.Value, bits: int) -> ir.Value:
        parts = 512 // width
        kind = ir.VectorType(_I32, LANES // parts)
        name = f"llvm.x86.avx512.vpdpbusd.{width}"
        operands = [_pieces(f, v, parts) for v in (acc, f.builder.bitcast(weights, _INTS), activations)]
        return _joined(f, [f.call(name, kind, *triple) for triple in zip(*operands, strict=True)])

    return dot


def _avx2(f: _Function, acc: ir.Value, weights: ir.Value, activations: ir.Value, bits: int) -> ir.Value:
    """vpmaddubsw saturates at 16 bits: 8-bit weights go in as |w| with their sign moved to the activation."""
    b = f.builder
    bytes_, words, ints = (ir.VectorType(kind, 256 // kind.width) for kind in (_I8, _I16, _I32))

    sums = []
    for part, w, a in zip(_pieces(f, acc, 2), _pieces(f, weights, 2), _pieces(f, activations, 2), strict=True):
        a = b.bitcast(a, bytes_)
        if bits == 8:
            w = b.xor(w, ir.Constant(bytes_, [0x80] * 32))
            a = f.call("llvm.x86.avx2.psign.b", bytes_, a, w)
            w = f.call("llvm.abs.v32i8", bytes_, w, ir.IntType(1)(0))
        pairs = f.call("llvm.x86.avx2.pmadd.ub.sw", words, w, a)
        sums.append(b.add(part, f.call("llvm.x86.avx2.pmadd.wd", ints, pairs, ir.Constant(words, [1] * 16))))
    return _joined(f, sums)


def _neon(f: _Function, acc: ir.Value, weights: ir.Value, activations: ir.Value, bits: int) -> ir.Value:
    """ARM's sdot takes both signed."""
    b = f.builder
    ints = ir.VectorType(_I32, 4)
    name = "llvm.aarch64.neon.sdot.v4i32.v16i8"
    if bits == 8:
        weights = b.xor(weights, ir.Constant(_BYTES, [0x80] * 64))
    operands = [_pieces(f, v, 4) for v in (acc, weights, b.bitcast(activations, _BYTES))]
    return _joined(f, [f.call(name, ints, *triple) for triple in zip(*operands, strict=True)])


def _plain(f: _Function, acc: ir.Value, weights: ir.Value, activations: ir.Value, bits: int) -> ir.Value:
    """For any processor: products in 32 bits, then neighbours added twice."""
    b = f.builder
    wide = ir.VectorType(_I32, 64)
    total = b.mul(b.zext(weights, wide), b.sext(b.bitcast(activations, _BYTES), wide))
    for count in (32, 16):
        mask = ir.VectorType(_I32, count)
        even, odd = (ir.Constant(mask, list(range(start, 2 * count, 2))) for start in (0, 1))
        total = b.add(b.shuffle_vector(total, total, even), b.shuffle_vector(total, total, odd))
    return b.add(acc, total)


@dataclass(frozen=True)
class Instructions:
    """A way to multiply bytes: the processor features it needs, and whether it reads 8-bit weights as signed."""

    features: frozenset[str]
    dot: Callable
    signed: bool
    rows: int  # as many rows at once as the registers hold

    def zero(self, bits: int) -> int:
        """What the dot product takes a weight of 0 for: its sums are that much times Σ activations too high."""
        return 0 if self.signed and bits == 8 else FORMATS[bits].zero


INSTRUCTIONS = {
    "avx512-vnni": Instructions(frozenset({"avx512vnni", "avx512vl", "avx512bw"}), _vnni(512), False, 8),
    "avx-vnni": Instructions(frozenset({"avxvnni", "avx2", "fma"}), _vnni(256), False, 4),
    "avx2": Instructions(frozenset({"avx2", "fma"}), _avx2, True, 4),
    "neon-dot": Instructions(frozenset({"dotprod"}), _neon, True, 4),
    "generic": Instructions(frozenset(), _plain, False, 4),
}


def _host_features() -> dict[str, bool]:
    """The processor's features, by LLVM's names; none where LLVM can't tell."""
    try:
        features = dict(binding.get_host_cpu_features())
    except RuntimeError:
        features = {}
    if sys.platform == "darwin" and platform.machine() == "arm64":
        features["dotprod"] = True  # every Apple processor that runs macOS
    return features


def available_instructions() -> list[str]:
    """Those of INSTRUCTIONS that this processor has, the fastest first."""
    host = _host_features()
    return [name for name, kind in INSTRUCTIONS.items() if all(host.get(feature) for feature in kind.features)]


# The kernels


def _multiply(module: ir.Module, rows: int, bits: int, dot: Callable) -> None:
    """out (rows, HEAD) ← activations (rows, blocks·block) × `tiles` tiles of weights, at most HEAD outputs.

    activations int8, with scales (rows, blocks) float32 and starts (rows, blocks) int32, the sums' first values.
    """
    form = FORMATS[bits]
    f = _Function(
        module, f"multiply_{bits}_{rows}", "out weights scales activations activation_scales starts blocks tiles"
    )
    b = f.builder
    totals = [f.variable(f.floats(0.0)) for _ in range(rows)]
    tile_block = LANES * form.block * bits // 8  # bytes
    values = [f.at(f.activations, f.builder.mul(f.blocks, _I64(row)), form.block) for row in range(rows)]
    factors = [f.at(f.activation_scales, f.builder.mul(f.blocks, _I64(row)), 4) for row in range(rows)]
    starts = [f.at(f.starts, f.builder.mul(f.blocks, _I64(row)), 4) for row in range(rows)]

    def tile(number: ir.Value) -> None:
        first = b.mul(number, f.blocks)
        for total in totals:
            b.store(f.floats(0.0), total)

        def block(index: ir.Value) -> None:
            weights = f.at(f.weights, b.add(first, index), tile_block)
            sums = [f.spread(f.load(_I32, f.at(starts[row], index, 4)), _INTS) for row in range(rows)]
            inputs = [f.at(values[row], index, form.block) for row in range(rows)]
            for vector in range(tile_block // 64):
                f.prefetch(weights, _AHEAD + 64 * vector, level=2)
                f.prefetch(weights, _NEAR + 64 * vector)
                packed = f.load(_BYTES, weights, 64 * vector)
                unpacked = [packed] if bits == 8 else _nibbles(f, packed)
                for part, four in enumerate(unpacked):
                    offset = 4 * (vector * len(unpacked) + part)
                    for row in range(rows):
                        sums[row] = dot(f, sums[row], four, f.spread(f.load(_I32, inputs[row], offset), _INTS), bits)
            halves = f.load(ir.VectorType(_I16, LANES), f.at(f.scales, b.add(first, index), 2 * LANES))
            scale = b.bitcast(b.shl(b.zext(halves, _INTS), ir.Constant(_INTS, [16] * LANES)), _FLOATS)
            for row in range(rows):
                factor = f.spread(f.load(_F32, f.at(factors[row], index, 4)), _FLOATS)
                product = b.fmul(b.sitofp(sums[row], _FLOATS), factor)
                b.store(f.fma(product, scale, b.load(totals[row])), totals[row])

        f.loop(f.blocks, block)
        for row in range(rows):
            f.store(b.load(totals[row]), f.at(f.out, number, 4 * LANES), 4 * HEAD * row)

    f.loop(f.tiles, tile)
    b.ret_void()


def _multiply_floats(module: ir.Module, rows: int) -> None:
    """The same for float32 weights and activations (rows, blocks·block); scales and starts aren't read."""
    block = FORMATS[32].block
    f = _Function(module, f"multiply_32_{rows}", "out weights scales activations activation_scales starts blocks tiles")
    b = f.builder
    values = [f.at(f.activations, b.mul(f.blocks, _I64(row)), 4 * block) for row in range(rows)]
    totals = [[f.variable(f.floats(0.0)) for _ in range(2)] for _ in range(rows)]  # two: an fma waits for the last

    def tile(number: ir.Value) -> None:
        first = b.mul(number, f.blocks)
        for row in range(rows):
            for total in totals[row]:
                b.store(f.floats(0.0), total)

        def some(index: ir.Value) -> None:
            weights = f.at(f.weights, b.add(first, index), 4 * LANES * block)
            inputs = [f.at(values[row], index, 4 * block) for row in range(rows)]
            sums = [[b.load(total) for total in totals[row]] for row in range(rows)]
            for i in range(block):
                f.prefetch(weights, _AHEAD + 4 * LANES * i, level=2)
                f.prefetch(weights, _NEAR + 4 * LANES * i)
                vector = f.load(_FLOATS, weights, 4 * LANES * i)
                for row in range(rows):
                    value = f.spread(f.load(_F32, inputs[row], 4 * i), _FLOATS)
                    sums[row][i % 2] = f.fma(vector, value, sums[row][i % 2])
            for row in range(rows):
                for total, value in zip(totals[row], sums[row], strict=True):
                    b.store(value, total)

        f.loop(f.blocks, some)
        for row in range(rows):
            total = b.fadd(*(b.load(total) for total in totals[row]))
            f.store(total, f.at(f.out, number, 4 * LANES), 4 * HEAD * row)

    f.loop(f.tiles, tile)
    b.ret_void()


def _nibbles(f: _Function, packed: ir.Value) -> list[ir.Value]:
    """The lower and the upper halves of bytes."""
    words = ir.VectorType(_I16, 32)
    low = ir.Constant(_BYTES, [0x0F] * 64)
    high = f.builder.bitcast(f.builder.lshr(f.builder.bitcast(packed, words), ir.Constant(words, [4] * 32)), _BYTES)
    return [f.builder.and_(packed, low), f.builder.and_(high, low)]


def _attend(module: ir.Module, bits: int) -> None:
    """out (HEAD,) ← softmax(query (HEAD,) · keys) · values over `count` cached positions, at least 1.

    keys (⌈count/16⌉, HEAD, 16) and values (count, HEAD) int8 or float32, a float32 scale per position each;
    scores: room for `count` float32, rounded up to 16.
    """
    f = _Function(module, "attend", "out query keys key_scales values value_scales scores count")
    b = f.builder
    size = bits // 8

    def widen(address: ir.Value, index: int) -> ir.Value:
        if bits == 32:
            return f.load(_FLOATS, address, size * index)
        return b.sitofp(b.sext(f.load(ir.VectorType(_I8, LANES), address, index), _INTS), _FLOATS)

    tiles = b.udiv(b.add(f.count, _I64(LANES - 1)), _I64(LANES))
    highest = f.variable(f.floats(-3e38))
    lanes = ir.Constant(_INTS, list(range(LANES)))

    def score(tile: ir.Value) -> None:
        keys = f.at(f.keys, tile, size * HEAD * LANES)
        sums = [f.floats(0.0)] * 4
        for i in range(HEAD):
            query = f.spread(f.load(_F32, f.query, 4 * i), _FLOATS)
            sums[i % 4] = f.fma(widen(keys, LANES * i), query, sums[i % 4])
            if i % 4 == 0:
                f.prefetch(keys, _AHEAD // 2 + size * LANES * i)
        total = b.fadd(b.fadd(sums[0], sums[1]), b.fadd(sums[2], sums[3]))
        total = b.fmul(total, f.load(_FLOATS, f.at(f.key_scales, tile, 4 * LANES)))
        left = b.trunc(b.sub(f.count, b.mul(tile, _I64(LANES))), _I32)
        total = b.select(b.icmp_signed("<", lanes, f.spread(left, _INTS)), total, f.floats(-3e38))
        f.store(total, f.at(f.scores, tile, 4 * LANES))
        b.store(f.math("maxnum", b.load(highest), total), highest)

    f.loop(tiles, score)
    top = f.spread(f.call("llvm.vector.reduce.fmax.v16f32", _F32, b.load(highest)), _FLOATS)
    mass = f.variable(f.floats(0.0))

    def weigh(tile: ir.Value) -> None:
        place = f.at(f.scores, tile, 4 * LANES)
        weight = f.exp(b.fsub(f.load(_FLOATS, place), top))
        b.store(b.fadd(b.load(mass), weight), mass)
        f.store(b.fmul(weight, f.load(_FLOATS, f.at(f.value_scales, tile, 4 * LANES))), place)

    f.loop(tiles, weigh)
    share = b.fdiv(_F32(1.0), f.call("llvm.vector.reduce.fadd.v16f32", _F32, _F32(0.0), b.load(mass)))
    parts = [f.variable(f.floats(0.0)) for _ in range(HEAD // LANES)]

    def mix(position: ir.Value) -> None:
        values = f.at(f.values, position, size * HEAD)
        f.prefetch(values, _AHEAD // 2)
        weight = f.spread(f.load(_F32, f.at(f.scores, position, 4)), _FLOATS)
        for i, part in enumerate(parts):
            b.store(f.fma(widen(values, LANES * i), weight, b.load(part)), part)

    f.loop(f.count, mix)
    for i, part in enumerate(parts):
        f.store(b.fmul(b.load(part), f.spread(share, _FLOATS)), f.out, 4 * LANES * i)
    b.ret_void()


def _round(module: ir.Module, form: WeightFormat) -> None:
    """values int8, scales float32 and starts int32 ← numbers (blocks · block,): for each block x ≈ scale · value.

    A start is -zero · Σ values, what the sum of a dot product must begin with.
    """
    f = _Function(module, f"round_{form.bits}", "numbers values scales starts blocks zero")
    b, block = f.builder, form.block

    def each(index: ir.Value) -> None:
        numbers, values = f.at(f.numbers, index, 4 * block), f.at(f.values, index, block)
        parts = [f.load(_FLOATS, numbers, 4 * i) for i in range(0, block, LANES)]
        largest = f.floats(1e-30)
        for part in parts:
            largest = f.math("maxnum", largest, f.math("fabs", part))
        highest = f.call(f"llvm.vector.reduce.fmax.v{LANES}f32", _F32, largest)
        inverse = f.spread(b.fdiv(_F32(127.0), highest), _FLOATS)
        total = ir.Constant(_INTS, [0] * LANES)
        for i, part in enumerate(parts):
            level = b.fptosi(f.math("rint", b.fmul(part, inverse)), _INTS)
            total = b.add(total, level)
            f.store(b.trunc(level, ir.VectorType(_I8, LANES)), values, LANES * i)
        f.store(b.fmul(highest, _F32(1 / 127)), f.at(f.scales, index, 4))
        start = b.mul(f.call(f"llvm.vector.reduce.add.v{LANES}i32", _I32, total), b.trunc(b.neg(f.zero), _I32))
        f.store(start, f.at(f.starts, index, 4))

    f.loop(f.blocks, each)
    b.ret_void()


def _copy(module: ir.Module, form: WeightFormat) -> None:
    """What `_round` is where nothing is rounded: values float32 ← numbers."""
    f = _Function(module, f"round_{form.bits}", "numbers values scales starts blocks zero")

    def each(index: ir.Value) -> None:
        numbers, values = (f.at(place, index, 4 * form.block) for place in (f.numbers, f.values))
        for i in range(0, form.block, LANES):
            f.store(f.load(_FLOATS, numbers, 4 * i), values, 4 * i)

    f.loop(f.blocks, each)
    f.builder.ret_void()


def _gelu(module: ir.Module) -> None:
    """values (16·tiles,) float32 ← x/2 · (1 + erf(x/√2)), erf within 1.5e-7 (Abramowitz & Stegun 7.1.26)."""
    f = _Function(module, "gelu", "values tiles")
    b = f.builder

    def tile(index: ir.Value) -> None:
        place = f.at(f.values, index, 4 * LANES)
        x = f.load(_FLOATS, place)
        z = b.fmul(f.math("fabs", x), f.floats(0.70710678118654752))
        t = b.fdiv(f.floats(1.0), f.fma(z, f.floats(0.3275911), f.floats(1.0)))
        tail = f.polynomial(t, 1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592, 0.0)
        erf = b.fsub(f.floats(1.0), b.fmul(tail, f.exp(b.fneg(b.fmul(z, z)))))
        erf = f.math("copysign", erf, x)
        f.store(b.fmul(b.fmul(x, f.floats(0.5)), b.fadd(f.floats(1.0), erf)), place)

    f.loop(f.tiles, tile)
    b.ret_void()


def _wait(module: ir.Module) -> None:
    """Returns once the counter at `counter` has come to `target`; meanwhile asks for the memory at `following`.

    After some 20 µs it lets other threads run at each look: a machine with more threads than processors
    gets on, if slower.
    """
    f = _Function(module, "wait", "counter target following")
    b = f.builder
    turns = f.variable(_I64(0))
    look, rest, spin, give, done = (b.append_basic_block() for _ in range(5))
    b.branch(look)
    b.position_at_end(look)
    value = b.load_atomic(b.inttoptr(f.counter, _I64.as_pointer()), "acquire", 8)
    b.cbranch(b.icmp_signed(">=", value, f.target), done, rest)
    b.position_at_end(rest)
    turn = b.load(turns)
    b.store(b.add(turn, _I64(1)), turns)
    b.cbranch(b.icmp_signed("<", turn, _I64(_SPINS)), spin, give)
    b.position_at_end(spin)
    f.prefetch(f.at(f.following, turn, 64), 0, level=2)
    if platform.machine().lower() in ("x86_64", "amd64"):
        f.call("llvm.x86.sse2.pause", ir.VoidType())
    else:
        f.call("llvm.aarch64.hint", ir.VoidType(), _I32(1))
    b.branch(look)
    b.position_at_end(give)
    f.call(_YIELD, _I32)
    b.branch(look)
    b.position_at_end(done)
    b.ret_void()


def _declare_yield() -> None:
    """Lets compiled code give its turn to another thread."""
    yielding = ctypes.CDLL("kernel32").SwitchToThread if sys.platform == "win32" else ctypes.CDLL(None).sched_yield
    address = ctypes.cast(yielding, ctypes.c_void_p).value
    assert address
    binding.add_symbol(_YIELD, address)


class Kernels:
    """The kernels for weights of some formats, compiled for this processor (half a second).

    formats: of FORMATS.
    instructions: one of INSTRUCTIONS, by default the fastest; ValueError if this processor lacks them.
    `address[name]`: of multiply_32_1, …, multiply_4_8, round_32, round_8, round_4, attend, gelu, wait.
    """

    def __init__(self, formats: Collection[int], instructions: str | None = None):
        available = available_instructions()
        self.name = instructions or available[0]
        if self.name not in available:
            raise ValueError(f"This processor has no {self.name}, but {', '.join(available)}")
        self.instructions = INSTRUCTIONS[self.name]
        self.groups = [rows for rows in ROW_GROUPS if rows <= self.instructions.rows]
        module = build(formats, self.instructions)
        names = [function.name for function in module.functions if not function.is_declaration]
        self._engine = _compiled(str(module))
        self.address = {name: self._engine.get_function_address(name) for name in names}


def build(formats: Collection[int], instructions: Instructions) -> ir.Module:
    """The kernels as LLVM code."""
    module = ir.Module()
    for bits in formats:
        form = FORMATS[bits]
        for rows in ROW_GROUPS:
            if rows <= instructions.rows:
                if form.is_rounded:
                    _multiply(module, rows, bits, instructions.dot)
                else:
                    _multiply_floats(module, rows)
        if form.is_rounded:
            _round(module, form)
        else:
            _copy(module, form)
    _attend(module, 8 if all(FORMATS[bits].is_rounded for bits in formats) else 32)
    _gelu(module)
    _wait(module)
    return module


def _compiled(code: str) -> binding.ExecutionEngine:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    _declare_yield()
    module = binding.parse_assembly(code)
    module.verify()
    features = ",".join(("+" if has else "-") + name for name, has in _host_features().items())
    target = binding.Target.from_default_triple()
    machine = target.create_target_machine(cpu=binding.get_host_cpu_name(), features=features, opt=3, jit=True)
    passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(module, passes)
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine
