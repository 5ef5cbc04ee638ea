"""MusicGen's decoder on kernels of our own, for processors: with weights as they are, or of 8 or 4 bits.

Decoding reads every weight for every token, so it is as fast as the memory, and faster with smaller weights. They are
rounded block by block, with a scale each (`packing.py`). Activations are rounded to 8 bits as they come, multiplied as
bytes and summed as integers (`kernels.py`); keys and values are kept in 8 bits, a scale per head and position. All
else is float32. With 32 bits all is float32 and nothing rounded: what is small is read fast enough so, and an operation
costs next to nothing, where a graph hands each from thread to thread.

The decoder is that of Copet et al. 2023, "Simple and Controllable Music Generation", pre-norm and without biases:
x += out(attend(LN x)); x += cross_out(cross(LN x)); x += fc2(gelu(fc1(LN x))); at last LN and a head per codebook.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import NamedTuple

import numpy as np

from musicgen_ui.decoding.folding import FORM as FOLDED_FORM
from musicgen_ui.decoding.folding import Folded, fold, pays
from musicgen_ui.decoding.kernels import FORMATS, HEAD, LANES, Kernels, WeightFormat
from musicgen_ui.decoding.packing import pack_decoder
from musicgen_ui.decoding.program import (
    ADD,
    ATTEND,
    CROSS,
    GELU,
    KEEP,
    LAST_NORM,
    LOGITS,
    NORM,
    OPERATION,
    PROJECT,
    ROUND,
    SHARES,
    Buffers,
    Shape,
    empty_cache,
    empty_rounded,
    run,
)
from musicgen_ui.decoding.weights import DecoderWeights
from musicgen_ui.processors import processors

_CHUNK = 256  # rows of activations that are fed at once


class _Audience(NamedTuple):
    """Neighbouring sequences that attend to the same places through folded weights, or to some in the cache."""

    first: int
    rows: int
    folded: list[Folded] | None


class PackedDecoder:
    """A decoder that is fed embeddings and gives logits; it keeps the sequences' keys and values.

    weights: float32, or the arrays of `pack_decoder`, which may be memory-mapped.
    bits: 32, 8 or 4.
    instructions: one of `kernels.INSTRUCTIONS`; by default the best that this processor has.
    """

    def __init__(
        self,
        weights: DecoderWeights | Mapping[str, np.ndarray],
        bits: int,
        threads: int | None = None,
        instructions: str | None = None,
    ):
        self._arrays = pack_decoder(weights, bits) if isinstance(weights, DecoderWeights) else weights
        self._layers, self._heads, self.codebooks, self.vocabulary, stored = (int(n) for n in self._arrays["shape"])
        if stored != bits:
            raise ValueError(f"Expected weights of {bits} bits, got {stored}")
        self._width = self._heads * HEAD
        self._crossed = "0.cross_query" in self._arrays
        self._norms = np.array(self._arrays["norms"])
        self._form, self._fine = FORMATS[bits], FORMATS[max(bits, 8)]
        self._kind = np.int8 if self._form.is_rounded else np.float32  # of activations, keys and values
        self._formats = sorted({bits, self._fine.bits})
        self._kernels = Kernels(self._formats, instructions)
        address = self._kernels.address
        self._groups = np.array(
            [[rows, *(address[f"multiply_{bits}_{rows}"] for bits in self._formats)] for rows in self._kernels.groups]
        )
        self._others = tuple(address[name] for name in ("attend", "gelu", "wait"))
        self._threads = threads or processors()
        self._pool = ThreadPoolExecutor(self._threads, "decoder")
        self._crossing = self._crossing_program()
        self._folded: dict[bytes, list[Folded]] = {}  # of the states that the sequences attend to, by their bytes
        self._ffn = self._arrays["0.fc1"].shape[0] * LANES
        self.position = self._rows = 0

    def bytes_read(self, position: int) -> tuple[int, int]:
        """What a step at `position` reads of weights and their scales, and of keys and values and theirs.

        Without cross-attention's cache, which is small.
        """
        tiles, inputs, bits, block = (self._decoding[name] for name in ("tiles", "inputs", "bits", "block"))
        outputs = tiles * LANES  # none where an operation has no matrix
        scales = outputs * inputs // np.maximum(block, 1) * 2 * self._form.is_rounded
        weights = outputs * inputs * bits // 8 + scales
        return int(weights.sum()), sum(array.nbytes for array in self._cache) * position // self._capacity

    # Programs

    def _product(
        self, kind: int, packed: np.ndarray, scales: np.ndarray, form: WeightFormat, **others: int
    ) -> dict[str, int]:
        for array in (packed, scales):
            if not array.flags.c_contiguous or array.ctypes.data % 4:
                raise ValueError("A matrix is not one aligned stretch of memory")
        return {
            "kind": kind,
            "weights": packed.ctypes.data,
            "scales": scales.ctypes.data,
            "tiles": len(packed),
            "span": HEAD // LANES,
            "inputs": scales.shape[1] * form.block,
            "bits": form.bits,
            "kernel": 1 + self._formats.index(form.bits),
            **self._rounding(form),
        } | others

    def _matrix(self, kind: int, name: str, form: WeightFormat, **others: int) -> dict[str, int]:
        return self._product(kind, self._arrays[name], self._arrays[f"{name}.scales"], form, **others)

    def _rounding(self, form: WeightFormat) -> dict[str, int]:
        kernels = self._kernels
        zero = kernels.instructions.zero(form.bits)
        return {"round": kernels.address[f"round_{form.bits}"], "block": form.block, "zero": zero}

    def _program(self, operations: list[dict[str, int]]) -> np.ndarray:
        program = np.zeros(len(operations), OPERATION)
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

    def _decoding_program(self, audiences: list[_Audience]) -> np.ndarray:
        form, last = self._form, self._fine
        operations: list[dict[str, int]] = []
        norm = 0
        for i in range(self._layers):
            operations += [
                {"kind": NORM, "index": norm, **self._rounding(form)},
                self._matrix(PROJECT, f"{i}.qkv", form),
                {"kind": ATTEND, "index": i, **self._rounding(form)},
                self._matrix(ADD, f"{i}.attention_out", form),
            ]
            norm += 1
            for audience in audiences:
                operations += self._cross_attention(i, norm, audience)
            norm += self._crossed
            operations += [
                {"kind": NORM, "index": norm, **self._rounding(form)},
                self._matrix(GELU, f"{i}.fc1", form),
                self._matrix(ADD, f"{i}.fc2", form, wide=1),
            ]
            norm += 1
        operations += [
            {"kind": LAST_NORM, "index": norm, **self._rounding(last)},
            self._matrix(LOGITS, "heads", last),
        ]
        return self._program(operations)

    def _cross_attention(self, layer: int, norm: int, audience: _Audience) -> list[dict[str, int]]:
        if audience.folded is None:
            form = self._form
            asked = self._matrix(PROJECT, f"{layer}.cross_query", form)
            heard = {"kind": CROSS, "index": layer, **self._rounding(form)}
            added = self._matrix(ADD, f"{layer}.cross_out", form)
        else:
            form, folded = FOLDED_FORM, audience.folded[layer]
            asked = self._product(PROJECT, folded.scores, folded.scores_scales, form, span=1)  # few, in fair parts
            added = self._product(ADD, folded.mixing, folded.mixing_scales, form)
            heard = {"kind": SHARES, "places": folded.places, "inputs": added["inputs"], **self._rounding(form)}
        operations = [{"kind": NORM, "index": norm, **self._rounding(form)}, asked, heard, added]
        return [operation | {"first": audience.first, "rows": audience.rows} for operation in operations]

    def _crossing_program(self) -> np.ndarray:
        form = self._fine
        operations: list[dict[str, int]] = [{"kind": ROUND, **self._rounding(form)}]
        for i in range(self._layers if self._crossed else 0):
            operations += [
                self._matrix(PROJECT, f"{i}.cross_key", form),
                self._matrix(PROJECT, f"{i}.cross_value", form, column=self._width),
                {"kind": KEEP, "index": i},
            ]
        return self._program(operations)

    def _execute(self, program: np.ndarray, shape: Shape) -> None:
        counters = np.zeros((len(program), 1 + self._threads, 8), np.int64)
        parts = (
            *(self._threads, program, counters, shape, self._groups, self._others, self._norms),
            *(self._places, self._cache, self._cross, self._buffers),
        )
        helpers = [self._pool.submit(run, worker, *parts) for worker in range(1, self._threads)]
        run(0, *parts)
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
        self._buffers = Buffers(
            x=np.zeros((activations, width), np.float32),
            projected=np.zeros((activations, 3 * width), np.float32),
            narrow=empty_rounded(activations, width, self._kind),
            wide=empty_rounded(activations, self._ffn, self._kind),
            logits=np.zeros((rows, self.codebooks * self.vocabulary), np.float32),
            outputs=np.zeros((threads, 8, HEAD), np.float32),
            row=np.zeros((threads, width), np.float32),
            scores=np.zeros((threads, max(capacity, 0 if states is None else states.shape[1]) + LANES), np.float32),
        )
        self._cache = empty_cache(self._layers, rows, self._heads, capacity, self._kind)
        self._cross = empty_cache(self._layers, rows, self._heads, 0, self._kind)
        self._places = np.zeros(rows, np.int64)
        if states is not None and (states.shape[0] != rows or states.shape[2] != width):
            raise ValueError(f"Expected states ({rows}, places, {width}), got {states.shape}")
        self._decoding = self._decoding_program([] if states is None else self._audiences(states, mask))

    def _audiences(self, states: np.ndarray, mask: np.ndarray | None) -> list[_Audience]:
        """Of all sequences that attend to anything; leaves folded weights, or keys and values in the cache."""
        heard = [row if mask is None else row[mask[i].astype(bool)] for i, row in enumerate(states)]
        folds = [pays(len(row), self._form.bits) for row in heard]
        self._places[:] = [len(row) for row in heard]
        kept = max((len(row) for row, folded in zip(heard, folds, strict=True) if not folded), default=0)
        self._cross = empty_cache(self._layers, len(heard), self._heads, kept, self._kind)
        before, self._folded = self._folded, {}
        audiences = []
        for key, numbers in groupby(range(len(heard)), lambda i: heard[i].tobytes() if folds[i] else None):
            first, *others = numbers
            if key is None:
                for row in (first, *others):
                    self._keep(row, heard[row])
            elif key and key not in self._folded:
                self._folded[key] = before.get(key) or self._fold(heard[first])
            if key != b"":
                audiences.append(_Audience(first, 1 + len(others), None if key is None else self._folded[key]))
        return audiences

    def _keep(self, row: int, heard: np.ndarray) -> None:
        """Puts the keys and values of what a sequence attends to, (places, width), into the cache."""
        for first in range(0, len(heard), _CHUNK):
            part = heard[first : first + _CHUNK]
            self._buffers.x[: len(part)] = part
            self._execute(self._crossing, Shape(1, len(part), first, row))

    def _fold(self, heard: np.ndarray) -> list[Folded]:
        """Each layer's cross-attention to `heard` (places, width)."""
        places, width = heard.shape
        told = []
        for i in range(self._layers):
            self._buffers.x[:places] = heard
            self._execute(self._crossing[[0, 3 * i + 1, 3 * i + 2]], Shape(1, places, 0, 0))  # without keeping them
            told.append(np.split(self._buffers.projected[:places, : 2 * width].copy(), 2, axis=1))
        return list(self._pool.map(lambda i: fold(self._arrays, i, self._form.bits, *told[i]), range(self._layers)))

    def feed(self, inputs: np.ndarray) -> np.ndarray:
        """Appends inputs (rows, steps, width) to the sequences.

        Logits (rows, codebooks, vocabulary) float32 of the last step. ValueError beyond the capacity.
        """
        rows, steps, width = inputs.shape
        if rows != self._rows or width != self._width:
            raise ValueError(f"Expected inputs ({self._rows}, steps, {self._width}), got {inputs.shape}")
        if self.position + steps > self._capacity:
            raise ValueError(f"Expected at most {self._capacity} steps, got {self.position + steps}")
        for first in range(0, steps, self._chunk):
            part = inputs[:, first : first + self._chunk]
            count = part.shape[1]
            self._buffers.x[: rows * count] = part.reshape(rows * count, width)
            self._execute(self._decoding, Shape(rows, count, self.position, 0))
            self.position += count
        return self._buffers.logits.reshape(rows, self.codebooks, self.vocabulary).copy()
