"""Where some of the decoder's heads look, shown to them: else hardly any head learns to look anywhere.

After a million clips one head of five in each layer was in use, none looked back by bars, and in a bar played over and
over the third time was foretold no better than the first. So in the lowest layer some heads are shown what came just
before, and higher up some are shown the same place of earlier bars (`Attributes` tell how long a bar is): what follows
there is what comes now. The cross-entropy of where they look is added to the loss ("guided attention", Tachibana et al.
2018; what such pairs of heads are for: Olsson et al. 2022, "In-context learning and induction heads").
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

# layer: heads, and how many steps back each looks on the average; heads that look at the same place of earlier bars
BEFORE = {0: {0: 1.0, 1: 4.0, 4: 16.0}}
BARS = {2: (0, 1), 3: (1,)}
SHARPNESS = 0.35  # of the first heads' scores as they start, per frequency; less for a wider look
WEIGHT = 0.15  # of this loss, per head and step


class Guide:
    """Gathers the loss of one batch: call it with each layer's queries and keys (batch, heads, steps, size)."""

    def __init__(self, period: torch.Tensor):
        """period: (batch, 1), steps until what is there comes again."""
        self.period, self.loss = period, 0.0

    def __call__(self, layer: int, queries: torch.Tensor, keys: torch.Tensor) -> None:
        steps = torch.arange(queries.shape[2], device=queries.device)
        lags = steps[:, None] - steps  # (steps, steps), 0 is what is being heard
        for head, mean in BEFORE.get(layer, {}).items():
            target = torch.where(lags > 0, -lags / mean if mean > 1 else -1e3 * (lags != 1), -torch.inf)
            target = target[1:].softmax(-1)  # the first step has nothing before it
            looks = looking(queries[:, head, 1:], keys[:, head], lags[1:])
            self.loss = self.loss - (target * looks.clamp_min(-1e4)).sum(-1).mean()
        for head in BARS.get(layer, ()):
            period = self.period[:, :, None]
            wanted = (lags >= period - 1) & ((lags + 1) % period == 0)  # (batch, steps, steps)
            there = wanted.any(-1).float()  # where there is an earlier bar; nothing here waits for the device
            looks = looking(queries[:, head], keys[:, head], lags)
            right = looks.masked_fill(~wanted, -1e4).logsumexp(-1)
            self.loss = self.loss - (right * there).sum() / there.sum().clamp_min(1)


def looking(queries: torch.Tensor, keys: torch.Tensor, lags: torch.Tensor) -> torch.Tensor:
    """Log share (batch, steps, steps) of each place, for a head's queries and keys (batch, steps, size)."""
    scores = queries.float() @ keys.float().transpose(1, 2) / math.sqrt(queries.shape[-1])
    return F.log_softmax(scores.masked_fill(lags < 0, -torch.inf), -1)


@torch.no_grad()
def start(decoder) -> None:
    """Makes these heads of a `MusicgenDecoder` anew, such that they look where they shall from the first step.

    Looking back: sines and cosines of the place, turned by one step in the query, agree best with the place before.
    Then a head of a higher layer compares what is now with what came before each earlier step, and adds what that step
    has heard to what is being heard: whoever foretells that a note goes on foretells that one.
    """
    size, width = decoder.layers[0].self_attn.head_dim, decoder.layers[0].self_attn.embed_dim
    told, reads = {}, {}  # by layer and head: what it takes from a step, and how to read what looking back writes
    for layer in {*BEFORE, *BARS}:
        attention = decoder.layers[layer].self_attn
        for head in (*BEFORE.get(layer, ()), *BARS.get(layer, ())):
            rows = slice(size * head, size * (head + 1))
            told[layer, head] = nn.init.orthogonal_(torch.empty(size, width))
            reads[layer, head] = nn.init.orthogonal_(torch.empty(size, width))
            attention.v_proj.weight[rows] = told[layer, head]
            attention.out_proj.weight[:, rows] = (reads if layer in BEFORE else told)[layer, head].T
            if layer in BEFORE:
                look_back(decoder.layers[layer], rows, BEFORE[layer][head])
    lowest = min(BEFORE)
    wide = sum(reads[lowest, head] for head, mean in BEFORE[lowest].items() if mean > 1)
    last = next(head for head, mean in BEFORE[lowest].items() if mean == 1)
    for layer, heads in BARS.items():
        for head in heads:
            rows = slice(size * head, size * (head + 1))
            decoder.layers[layer].self_attn.q_proj.weight[rows] = told[lowest, last] + wide
            decoder.layers[layer].self_attn.k_proj.weight[rows] = reads[lowest, last] + wide


def look_back(layer, rows: slice, mean: float) -> None:
    """Queries and keys of one head of a `MusicgenDecoderLayer`: one step back, and as wide as `mean`."""
    norm, size, width = layer.self_attn_layer_norm.weight, rows.stop - rows.start, layer.self_attn.embed_dim
    gain = math.sqrt(SHARPNESS * mean**-0.7 * math.sqrt(size))
    pairs = torch.arange(size // 2)
    first = min(int(8 * math.log2(mean)), width // 2 - size // 2)  # slower turns for a wider look
    turn = torch.exp(-math.log(10_000) * (first + pairs) / (width // 2 - 1))  # radians in a step
    cosines, sines = first + pairs, width // 2 + first + pairs  # dimensions of the embedded place
    even, odd = rows.start + 2 * pairs, rows.start + 2 * pairs + 1
    queries, keys = layer.self_attn.q_proj.weight, layer.self_attn.k_proj.weight
    queries[rows], keys[rows] = 0.0, 0.0
    keys[even, cosines], keys[odd, sines] = gain / norm[cosines], gain / norm[sines]
    # cos(p − t) = cos p cos t + sin p sin t, sin(p − t) = sin p cos t − cos p sin t
    queries[even, cosines], queries[even, sines] = gain * turn.cos() / norm[cosines], gain * turn.sin() / norm[sines]
    queries[odd, sines], queries[odd, cosines] = gain * turn.cos() / norm[sines], -gain * turn.sin() / norm[cosines]
