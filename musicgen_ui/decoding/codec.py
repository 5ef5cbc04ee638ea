"""EnCodec's decoder as a stream: codes in as they come, the same sound out as from decoding them all at once.

SEANet's decoder (Défossez et al. 2022, "High Fidelity Neural Audio Compression", section 3.1) as transformers'
`EncodecDecoder` computes it: convolution, LSTM, then for each ratio a transposed convolution and a residual block.
Every layer keeps the little of its input that the next samples need, so each frame is computed once, and the
reflected edges are those of the whole. Sound is time first here, (samples, channels): convolutions are products then.
"""

import os
from collections.abc import Mapping
from math import gcd, lcm

from musicgen_ui import cures  # MindNLP first: it stands in for torch when transformers is imported

# isort: split
import mindtorch as torch
import numpy as np
from mindnlp.transformers import EncodecModel
from mindtorch.executor import execute
from mindtorch.nn import functional
from transformers import EncodecConfig
from transformers.models.encodec.modeling_encodec import EncodecConv1d, EncodecDecoderOutput

from musicgen_ui.decoding.weights import Tensors, load_part

_AT_ONCE, _CONTEXT = 1500, 100  # frames: 30 s, and 2 s on either side
_EVEN = 16 * lcm(os.cpu_count() or 1, *(1 << power for power in range(6) if 1 << power <= (os.cpu_count() or 1)))


def load_codec(tensors: Tensors, config: Mapping) -> EncodecModel:
    """The codec of a checkpoint whose config.json has `config` as its "audio_encoder". KeyError where weights lack."""
    codec = load_part(EncodecModel, EncodecConfig.from_dict(dict(config)), tensors, "audio_encoder.")
    for layer in codec.modules():
        if isinstance(layer, EncodecConv1d):  # its buffers
            kernel, stride = (layer.conv.kernel_size[0] - 1) * layer.conv.dilation[0] + 1, layer.conv.stride[0]
            layer.kernel_size, layer.stride, layer.padding_total = map(torch.tensor, (kernel, stride, kernel - stride))
    cures.point_lstms_at_their_weights(codec)
    return codec


def encode(codec: EncodecModel, samples: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """samples (clips, channels, samples) float32, mask (clips, samples) of what isn't padding → codes.

    (clips, codebooks · channels, frames) int64; left and right codebooks alternate. Long clips are encoded part by
    part, since the encoder's memory grows with what it is given, each with some of what stands before and behind it.
    """
    hop, total = codec.config.hop_length, samples.shape[-1]
    context = _CONTEXT * hop
    new = total if total <= _AT_ONCE * hop else _AT_ONCE * hop - 2 * context
    sides = []
    with torch.no_grad():
        for side in np.split(samples, samples.shape[1], axis=1):
            parts = []
            for begin in range(0, total, new):
                first, last = max(0, begin - context), begin + new + context
                given, heard = torch.tensor(side[..., first:last]), torch.tensor(mask[..., first:last])
                codes = codec.encode(given, heard).audio_codes.numpy()[0]
                parts.append(codes[..., (begin - first) // hop :][..., : -(-new // hop)])
            sides.append(np.concatenate(parts, axis=-1))
    return np.stack(sides, axis=2).reshape(len(samples), -1, sides[0].shape[-1]).astype(np.int64)


def decode_in_streams(model) -> None:
    """Makes `generate` of `model`, a whole MusicGen of MindNLP's, decode with this module's streams.

    Its sound is this app's to the last bit then; by itself the model rounds otherwise, in the fifth figure.
    """
    streaming = StreamingCodec(model.audio_encoder)

    def decode(audio_codes, audio_scales=None) -> EncodecDecoderOutput:
        """audio_codes (1, rows, codebooks, frames)"""
        sounds = [streaming.decode(codes.numpy()) for codes in audio_codes[0]]
        return EncodecDecoderOutput(torch.tensor(np.stack(sounds)[:, None]))

    model.audio_encoder.decode = decode


def hand_out_codes(model) -> None:
    """Makes `generate` of `model`, a whole MusicGen of MindNLP's, return a take's codes in the place of its sound.

    (codebooks, channels, frames); a piece's next window goes on from them.
    """

    def decode(audio_codes, audio_scales=None) -> EncodecDecoderOutput:
        """audio_codes (1, 1, codebooks, frames), of a channel; left and right are joined along the second axis then"""
        return EncodecDecoderOutput(audio_codes[0].swapaxes(0, 1))

    model.audio_encoder.decode = decode


class StreamingCodec:
    """Makes streams on the decoder of a loaded `EncodecModel`, whose weights it copies.

    ValueError for a codec that isn't built like MusicGen's.
    """

    def __init__(self, codec) -> None:
        config = codec.config
        if config.use_causal_conv or config.norm_type != "weight_norm" or config.pad_mode != "reflect":
            raise ValueError("Expected a codec with reflected edges and weight norm, as MusicGen's")
        self.books = [layer.codebook.embed for layer in codec.quantizer.layers]
        first, lstm, *rest, _, last = codec.decoder.layers
        self.lstm = _LSTM(lstm.lstm)
        self.first, self.last = _Convolution(first), _Convolution(last)
        blocks = 2 + config.num_residual_layers  # ELU, transposed convolution, residual blocks
        self.stages = [
            (_Upsampling(rest[i + 1]), [_Residual(block) for block in rest[i + 2 : i + blocks]])
            for i in range(0, len(rest), blocks)
        ]

    def stream(self) -> "Stream":
        """A new take's stream, one channel."""
        return Stream(self)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """All of a take's channel: codes (codebooks, frames) → (samples,). Part by part, for memory's sake."""
        stream, frames = self.stream(), codes.shape[-1]
        parts = [
            stream.push(codes[:, first : first + _AT_ONCE], last=first + _AT_ONCE >= frames)
            for first in range(0, frames, _AT_ONCE)
        ]
        return np.concatenate(parts)


class Stream:
    """One take's sound on its way."""

    def __init__(self, codec: StreamingCodec) -> None:
        self._codec = codec
        self._layers = [codec.first.stream(), codec.lstm.stream()]
        for upsampling, residuals in codec.stages:
            self._layers += [upsampling.stream(), *(residual.stream() for residual in residuals)]
        self._layers.append(codec.last.stream())

    def push(self, codes: np.ndarray, last: bool) -> np.ndarray:
        """codes (codebooks, frames), behind those before; `last` when no more come → the samples (n,) now known.

        float32, full scale ±1. The samples of some frames stay out until the frames behind them, or the end, are known.
        """
        with torch.no_grad():
            given = torch.tensor(codes.astype(np.int64))
            x = sum(functional.embedding(given[k], book) for k, book in enumerate(self._codec.books[: len(codes)]))
            for layer in self._layers[:-1]:
                x = layer(x, last)
            return self._layers[-1](_elu(x), last).numpy()[:, 0]


class _Convolution:
    """Stride 1, "same" size, reflected edges."""

    def __init__(self, layer) -> None:
        weight = layer.conv.weight.numpy()  # (out, in, kernel), weight norm applied
        self.kernel = weight.shape[2]
        self.narrow = weight.shape[0] == 1
        if self.narrow:  # one channel out: a product for all taps, then their sum, instead of a wide input
            self.taps = torch.tensor(np.ascontiguousarray(weight[0].T))
        else:
            self.weight = torch.tensor(weight.transpose(0, 2, 1).reshape(weight.shape[0], -1))
        self.bias = layer.conv.bias
        self.dilation = layer.conv.dilation[0]

    def stream(self):
        return _ConvolutionStream(self)

    def __call__(self, x, samples: int):
        """x (samples + kernel − 1, in) → (samples, out)"""
        shifts = [i * self.dilation for i in range(self.kernel)]
        if self.kernel == 1:
            return _linear(x, self.weight, self.bias)
        if self.narrow:
            taps = _linear(x, self.taps)
            total = sum(taps[shift : shift + samples, i : i + 1] for i, shift in enumerate(shifts))
            return total + self.bias
        wide = torch.cat([x[shift : shift + samples] for shift in shifts], 1)
        return _linear(wide, self.weight, self.bias)


class _ConvolutionStream:
    def __init__(self, layer: _Convolution) -> None:
        self._layer = layer
        reach = (layer.kernel - 1) * layer.dilation
        self._right = reach // 2
        self._left = reach - self._right
        self._kept = None  # the input's last `reach` samples

    def __call__(self, x, last: bool):
        reach = self._left + self._right
        if not reach:
            return self._layer(x, x.shape[0])
        if self._kept is None:
            if x.shape[0] <= self._left and not last:
                raise ValueError(f"Expected more than {self._left} samples at the beginning, got {x.shape[0]}")
            x = torch.cat([_reflection(x, self._left, at_end=False), x], 0)
        else:
            x = torch.cat([self._kept, x], 0)
        if last and self._right:
            x = torch.cat([x, _reflection(x, self._right, at_end=True)], 0)
        self._kept = x[x.shape[0] - reach :]
        return self._layer(x, x.shape[0] - reach)


def _reflection(x, count: int, at_end: bool):
    """`count` samples beyond an edge of x, mirrored at its outermost sample; zeros where x is too short."""
    if x.shape[0] <= count:
        x = torch.cat([x, x.new_zeros((count + 1 - x.shape[0], x.shape[1]))], 0)
    samples = range(x.shape[0] - 2, x.shape[0] - 2 - count, -1) if at_end else range(count, 0, -1)
    return torch.cat([x[i : i + 1] for i in samples], 0)


class _LSTM:
    """The module's layers, each with its weights in the one vector that MindSpore's kernel takes, packed once."""

    def __init__(self, lstm) -> None:
        self._layers = [
            (
                lstm.w_ih_list[i].shape[1],
                torch.tensor(
                    np.concatenate(
                        [
                            lstm.w_ih_list[i].numpy().ravel(),
                            lstm.w_hh_list[i].numpy().ravel(),
                            lstm.b_ih_list[i].numpy() + lstm.b_hh_list[i].numpy(),
                        ]
                    )[:, None, None]
                ),
            )
            for i in range(lstm.num_layers)
        ]
        self._width = lstm.w_hh_list[0].shape[1]

    def stream(self):
        return _LSTMStream(self)

    def __call__(self, x, states):
        """x (frames, in), states as returned before or None → (frames, width), states"""
        x = x[:, None]
        silence = x.new_zeros((1, 1, self._width))
        after = []
        for i, (inputs, weights) in enumerate(self._layers):
            h, c = states[i] if states else (silence, silence)
            x, h, c, _, _ = execute("lstm", x, h, c, weights, inputs, self._width, 1, True, False, 0.0, 0)
            after.append((h, c))
        return x[:, 0], after


class _LSTMStream:
    """The LSTM beside a shortcut.

    Without AVX-512 its kernel rounds by the number of frames, as MatMul by the number of rows
    (cures.multiply_by_matmul_in_linear_layers): multiples of six up to 72 alike.
    """

    _UNIT, _MOST = 6, 60  # frames

    def __init__(self, lstm: _LSTM) -> None:
        self._lstm = lstm
        self._states = None
        self._waiting = None  # frames that make no unit yet

    def __call__(self, x, last: bool):
        if self._waiting is not None:
            x = torch.cat([self._waiting, x], 0)
        frames = x.shape[0] if last else x.shape[0] // self._UNIT * self._UNIT
        self._waiting, x = x[frames:], x[:frames]
        missing = -frames % self._UNIT
        padded = torch.cat([x, x.new_zeros((missing, x.shape[1]))], 0) if missing else x
        parts = []
        for first in range(0, frames, self._MOST):
            heard, self._states = self._lstm(padded[first : first + self._MOST], self._states)
            parts.append(heard)
        return torch.cat(parts, 0)[:frames] + x if parts else x


class _Upsampling:
    """ELU, then a transposed convolution whose kernel is twice its stride: every input reaches two blocks of output."""

    def __init__(self, layer) -> None:
        weight = layer.conv.weight.numpy()  # (in, out, 2 · stride)
        self.width, self.channels, kernel = weight.shape
        self.stride = kernel // 2
        if layer.conv.stride[0] != self.stride:
            raise ValueError("Expected kernels of twice the stride")
        early, late = weight[:, :, : self.stride], weight[:, :, self.stride :]
        both = np.concatenate([late, early])  # for the block between two inputs: one's late half, the other's early
        self.weight = torch.tensor(both.transpose(2, 1, 0).reshape(self.stride * self.channels, -1))
        self.bias = layer.conv.bias.repeat(self.stride)

    def stream(self):
        return _UpsamplingStream(self)


class _UpsamplingStream:
    def __init__(self, layer: _Upsampling) -> None:
        self._layer = layer
        self._before = None
        self._skip = layer.stride - layer.stride // 2  # cut off on the left, stride // 2 on the right

    def __call__(self, x, last: bool):
        layer = self._layer
        x = _elu(x)
        silence = x.new_zeros((1, layer.width))
        x = torch.cat([silence if self._before is None else self._before, x, *([silence] if last else [])], 0)
        self._before = x[x.shape[0] - 1 :]
        pairs = torch.cat([x[:-1], x[1:]], 1)
        y = _linear(pairs, layer.weight, layer.bias).reshape(-1, layer.channels)
        begin, self._skip = min(self._skip, y.shape[0]), max(0, self._skip - y.shape[0])
        return y[begin : y.shape[0] - layer.stride // 2 if last else y.shape[0]]


class _Residual:
    """Two convolutions, each behind an ELU, beside a shortcut."""

    def __init__(self, block) -> None:
        self.layers = [_Convolution(layer) for layer in (block.block[1], block.block[3])]
        self.shortcut = _Convolution(block.shortcut) if hasattr(block.shortcut, "conv") else None

    def stream(self):
        return _ResidualStream(self)


class _ResidualStream:
    def __init__(self, residual: _Residual) -> None:
        self._shortcut = residual.shortcut
        self._layers = [layer.stream() for layer in residual.layers]
        self._waiting = None  # input whose other half isn't known yet

    def __call__(self, x, last: bool):
        waiting = x if self._waiting is None else torch.cat([self._waiting, x], 0)
        for layer in self._layers:
            x = layer(_elu(x), last)
        self._waiting = waiting[x.shape[0] :]
        ready = waiting[: x.shape[0]]
        return x + (ready if self._shortcut is None else self._shortcut(ready, ready.shape[0]))


def _linear(x, weight, bias=None):
    """(n, in) → (n, out) as one sequence: rows of a batch are multiplied in another order (cures.py)."""
    return functional.linear(x[None], weight, bias)[0]


def _elu(x):
    """ELU of (n, channels), the same in every call.

    MindSpore's kernel tries out, in its first calls, into how many parts to cut its work; what is left of a part
    behind its last sixteen values is rounded differently. So the parts are made to come out even.
    """
    rows = _EVEN // gcd(x.shape[1], _EVEN)
    missing = -x.shape[0] % rows
    if not missing:
        return functional.elu(x)
    padded = torch.cat([x, x.new_zeros((missing, x.shape[1]))], 0)
    return functional.elu(padded)[: x.shape[0]]
