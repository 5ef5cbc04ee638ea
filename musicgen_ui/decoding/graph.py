"""The exact engine: MusicGen's decoder in MindSpore's graph mode, float32, on a static KV cache.

The arithmetic of MindNLP's modules, compiled once per shape: query, key and value in one product, caches written in
place, no Python and no dispatch between the kernels. Attention reads its cache whole, so there are several sizes.
"""

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from musicgen_ui.decoding.weights import DecoderWeights, LayerWeights
from musicgen_ui.memory import available_bytes

# MindSpore never gives back what a compiled graph has used, so there are few shapes, and all that are met are kept.
_ROWS = (2, 4, 8, 16)  # sequences
_ROWS_AT_ONCE = 8  # of them in a product
_CAPACITIES = (256, 512, 1024, 2048)  # positions
_PLACES = (32, 128, 512)  # of cross-attention
_CHUNK = 60  # steps of a prompt that are fed at once
_MASKED = -1e9
_EPSILON = 1e-5  # of LayerNorm


class GraphDecoder:
    """A `Decoder` (tokens.py). Compiles at the first step of a shape that is new to it."""

    def __init__(self, weights: DecoderWeights) -> None:
        self._codebooks, self._heads = weights.codebooks, weights.attention_heads
        self._layers = [_LayerParameters(f"layer{i}", layer, self._heads) for i, layer in enumerate(weights.layers)]
        self._norm = _norm("norm", weights.norm)
        self._out = _parameter("heads", weights.heads)
        self._caches: dict[tuple[int, int], _Cache] = {}
        self._sequences: dict[tuple[int, int, int], _Sequences] = {}

    def begin(self, rows: int, capacity: int, states: np.ndarray | None, mask: np.ndarray | None) -> None:
        """As `Decoder`'s. MemoryError where there is no room for the caches."""
        self._rows = rows
        rows, capacity = _at_least(rows, _ROWS), _at_least(capacity, _CAPACITIES)
        places = 0 if states is None else _at_least(states.shape[1], _PLACES)
        if (rows, capacity) not in self._caches:
            self._caches[rows, capacity] = _Cache(f"cache{rows}x{capacity}", self._layers, self._heads, rows, capacity)
        key = rows, capacity, places
        if key not in self._sequences:
            cache = self._caches[rows, capacity]
            self._sequences[key] = _Sequences(self._layers, self._norm, self._out, self._heads, cache, *key)
        self._current = self._sequences[key]
        self._current.begin(states, mask)

    def feed(self, inputs: np.ndarray) -> np.ndarray:
        steps, done = inputs.shape[1], 0
        while done < steps:
            chunk = inputs[:, done : done + _CHUNK]
            logits = self._current.step(chunk)
            done += chunk.shape[1]
        return logits[: self._rows].reshape(self._rows, self._codebooks, -1)


def _at_least(count: int, sizes: tuple[int, ...]) -> int:
    """The smallest of `sizes` that holds `count`, or beyond them a multiple of the last."""
    return next((size for size in sizes if size >= count), -(-count // sizes[-1]) * sizes[-1])


class _Cache:
    """Keys and values of a number of sequences: a Parameter (rows · heads · positions, depth) per layer each.

    `views` are the same memory as (rows · heads, positions, depth), a layer's keys and then its values: attention reads
    those, since a graph that reshapes a Parameter copies it whole at every step.
    """

    def __init__(self, name: str, layers: "list[_LayerParameters]", heads: int, rows: int, positions: int) -> None:
        depth = layers[0].attention_out.shape[0] // heads
        if 2 * len(layers) * rows * heads * positions * depth * 4 > available_bytes():
            raise MemoryError(f"no room for {rows} sequences of {positions} steps")

        def room(part: str) -> list[Parameter]:
            empty = np.zeros((rows * heads * positions, depth), np.float32)
            return [_parameter(f"{name}.{part}{i}", empty) for i in range(len(layers))]

        self.keys, self.values = room("key"), room("value")
        self.views = [
            cache.view(rows * heads, positions, depth)
            for layer in zip(self.keys, self.values, strict=True)
            for cache in layer
        ]


class _LayerParameters:
    """A layer's weights, shared by all compiled graphs."""

    def __init__(self, name: str, layer: LayerWeights, heads: int) -> None:
        width = layer.attention_out.shape[0]
        scale = np.float32((width // heads) ** -0.5)  # of attention, put into the queries: a power of two for Meta's
        qkv = np.concatenate([layer.qkv[:width] * scale, layer.qkv[width:]])
        self.qkv, self.attention_out = _parameter(f"{name}.qkv", qkv), _parameter(f"{name}.out", layer.attention_out)
        self.attention_norm, self.final_norm = (
            _norm(f"{name}.norm1", layer.attention_norm),
            _norm(f"{name}.norm3", layer.final_norm),
        )
        self.fc1, self.fc2 = _parameter(f"{name}.fc1", layer.fc1), _parameter(f"{name}.fc2", layer.fc2)
        self.cross_key, self.cross_value = layer.cross_key, layer.cross_value
        if layer.cross_query is not None and layer.cross_norm is not None and layer.cross_out is not None:
            self.cross_query = _parameter(f"{name}.cross", layer.cross_query * scale)
            self.cross_out = _parameter(f"{name}.cross_out", layer.cross_out)
            self.cross_norm = _norm(f"{name}.norm2", layer.cross_norm)


class _Sequences:
    """A number of sequences in a cache, and the graphs that work on them."""

    def __init__(self, layers, norm, out, heads: int, cache: _Cache, rows: int, capacity: int, places: int) -> None:
        self._rows, self._capacity, self._places, self._heads = rows, capacity, places, heads
        self._layers = layers
        self._cross = _Cache(f"cross{rows}x{capacity}x{places}", layers, heads, rows, places) if places else None
        self._shape = (layers, norm, out, heads, rows, places, cache)
        self._views = cache.views + (self._cross.views if self._cross else [])
        self._graphs: dict[int, _Graph] = {}

    def begin(self, states: np.ndarray | None, mask: np.ndarray | None) -> None:
        self._position = 0
        self._cross_mask = Tensor(np.zeros((1, 1, 1), np.float32))
        if states is None or mask is None or self._cross is None:
            return
        rows, places = self._rows - states.shape[0], self._places - states.shape[1]
        states = np.pad(states, ((0, rows), (0, places), (0, 0)))
        mask = np.pad(mask, ((0, rows), (0, places)))
        added = np.where(mask, 0.0, _MASKED).astype(np.float32)
        self._cross_mask = Tensor(np.repeat(added, self._heads, axis=0)[:, None])
        for i, layer in enumerate(self._layers):
            for cache, weight in ((self._cross.keys, layer.cross_key), (self._cross.values, layer.cross_value)):
                seen = (states @ weight.T).reshape(self._rows, self._places, self._heads, -1).swapaxes(1, 2)
                _overwrite(cache[i], np.ascontiguousarray(seen).reshape(-1, seen.shape[-1]))

    def step(self, inputs: np.ndarray) -> np.ndarray:
        """inputs (rows or fewer, steps ≤ _CHUNK, width) → logits (rows, codebooks · vocabulary) of the last of them."""
        given = inputs.shape[1]
        steps = 1 if given == 1 else _CHUNK
        # What is written beyond the steps that are given is masked until those that belong there overwrite it.
        inputs = np.pad(inputs, ((0, self._rows - inputs.shape[0]), (0, steps - given), (0, 0)))
        if steps not in self._graphs:
            self._graphs[steps] = _Graph(self._shape, steps)
        positions = self._position + np.arange(steps)
        mask = np.where(np.arange(self._capacity) <= positions[:, None], 0.0, _MASKED).astype(np.float32)[None]
        sequences = np.arange(self._rows * self._heads)[:, None] * self._capacity
        index = (sequences + np.minimum(positions, self._capacity - 1)).astype(np.int32).ravel()
        logits = self._graphs[steps](
            Tensor(inputs.reshape(self._rows * steps, -1)),
            Tensor(index),
            Tensor(mask),
            self._cross_mask,
            Tensor(np.arange(self._rows, dtype=np.int32) * steps + given - 1),
            *self._views,
        )
        self._position += given
        return logits.asnumpy()


class _Graph(nn.Cell):
    """One compiled step, or chunk of steps, of the whole decoder."""

    def __init__(self, shape, steps: int) -> None:
        super().__init__(auto_prefix=False)
        layers, self.norm, self.out, heads, rows, places, cache = shape
        self.product = _Product(rows, 1)
        self.layers = nn.CellList(
            [
                _Layer(layer, heads, rows, places, steps, cache.keys[i], cache.values[i])
                for i, layer in enumerate(layers)
            ],
            auto_prefix=False,
        )
        self.norm_weight, self.norm_bias = self.norm
        self.normalise = ops.LayerNorm(begin_norm_axis=1, begin_params_axis=1, epsilon=_EPSILON)
        self.all_steps = steps > 1

    @mindspore.jit
    def construct(self, x, index, mask, cross_mask, last, *views):
        """x (rows · steps, width), index (rows · heads · steps,) places in the caches, last (rows,) rows of x.

        views: of the caches, then of the cross-attention's.
        """
        cross = 2 * len(self.layers)
        for i, layer in enumerate(self.layers):
            told = views[cross + 2 * i : cross + 2 * i + 2]
            x = layer(x, index, mask, views[2 * i], views[2 * i + 1], cross_mask, *told)
        if self.all_steps:
            x = ops.gather(x, last, 0)
        return self.product(self.normalise(x, self.norm_weight, self.norm_bias)[0], self.out)


class _Product(nn.Cell):
    """x (rows · steps, in) times a matrix (out, in), so that a row's numbers don't depend on how many there are.

    MatMul rounds by the number of rows (cures.multiply_by_matmul_in_linear_layers): four, ten and sixty alike.
    """

    def __init__(self, rows: int, steps: int) -> None:
        super().__init__(auto_prefix=False)
        self.parts = rows if steps > 1 else max(1, rows // _ROWS_AT_ONCE)
        self.rows = rows * steps // self.parts
        self.needs_more = self.rows % 6 == 2
        self.multiply = ops.MatMul(transpose_b=True)
        self.split = ops.Split(0, self.parts)

    def construct(self, x, matrix):
        products: tuple = ()
        for part in self.split(x):
            if self.needs_more:
                product = self.multiply(ops.concat((part, part[:2]), 0), matrix)[: self.rows]
            else:
                product = self.multiply(part, matrix)
            products += (product,)
        return ops.concat(products, 0) if self.parts > 1 else products[0]


class _Layer(nn.Cell):
    def __init__(self, layer: _LayerParameters, heads, rows, places, steps, keys, values) -> None:
        super().__init__(auto_prefix=False)
        self.rows, self.heads, self.steps = rows, heads, steps
        self.depth = layer.attention_out.shape[0] // heads
        self.qkv, self.attention_out, self.fc1, self.fc2 = layer.qkv, layer.attention_out, layer.fc1, layer.fc2
        self.norm1_weight, self.norm1_bias = layer.attention_norm
        self.norm3_weight, self.norm3_bias = layer.final_norm
        self.keys, self.values = keys, values
        self.has_cross = places > 0
        if self.has_cross:
            self.cross_query, self.cross_out = layer.cross_query, layer.cross_out
            self.norm2_weight, self.norm2_bias = layer.cross_norm
        self.product = _Product(rows, steps)
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.weighted = ops.BatchMatMul()
        self.normalise = ops.LayerNorm(begin_norm_axis=1, begin_params_axis=1, epsilon=_EPSILON)
        self.softmax = ops.Softmax(-1)
        self.split = ops.Split(1, 3)
        self.write = ops.ScatterUpdate()
        self.erf = ops.Erf()

    def apart(self, x):
        """(rows · steps, width) → (rows · heads, steps, depth)"""
        if self.steps == 1:
            return x.reshape(self.rows * self.heads, 1, self.depth)
        x = x.reshape(self.rows, self.steps, self.heads, self.depth).transpose(0, 2, 1, 3)
        return x.reshape(self.rows * self.heads, self.steps, self.depth)

    def together(self, x):
        """the way back"""
        if self.steps > 1:
            x = x.reshape(self.rows, self.heads, self.steps, self.depth).transpose(0, 2, 1, 3)
        return x.reshape(self.rows * self.steps, self.heads * self.depth)

    def attend(self, query, keys, values, mask):
        return self.weighted(self.softmax(self.scores(query, keys) + mask), values)

    def construct(self, x, index, mask, keys, values, cross_mask, *told):
        query, key, value = self.split(self.product(self.normalise(x, self.norm1_weight, self.norm1_bias)[0], self.qkv))
        keys = ops.depend(keys, self.write(self.keys, index, self.apart(key).reshape(-1, self.depth)))
        values = ops.depend(values, self.write(self.values, index, self.apart(value).reshape(-1, self.depth)))
        heard = self.attend(self.apart(query), keys, values, mask)
        x = x + self.product(self.together(heard), self.attention_out)
        if self.has_cross:
            query = self.product(self.normalise(x, self.norm2_weight, self.norm2_bias)[0], self.cross_query)
            heard = self.attend(self.apart(query), told[0], told[1], cross_mask)
            x = x + self.product(self.together(heard), self.cross_out)
        inner = self.product(self.normalise(x, self.norm3_weight, self.norm3_bias)[0], self.fc1)
        inner = 0.5 * inner * (1.0 + self.erf(inner * 0.7071067811865476))  # GELU
        return x + self.product(inner, self.fc2)


def _parameter(name: str, value: np.ndarray) -> Parameter:
    return Parameter(Tensor(np.ascontiguousarray(value)), name=name, requires_grad=False)


def _norm(name: str, value: np.ndarray) -> tuple[Parameter, Parameter]:
    return _parameter(f"{name}.weight", value[0]), _parameter(f"{name}.bias", value[1])


def _overwrite(parameter: Parameter, value: np.ndarray) -> None:
    """In place: a compiled graph doesn't see what `set_data` puts there instead."""
    ops.Assign()(parameter, Tensor(value))
