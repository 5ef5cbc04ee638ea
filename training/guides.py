"""What the decoder is shown beside codes: where to look, and what it should know by then.

After a million clips one head of five in each layer was in use, none looked back by bars, and in a bar played over and
over the third time was foretold no better than the first. So in the lowest layer some heads are shown what came just
before, and higher up some are shown the same place of earlier bars or beats (`Attributes` tell how long these are):
what follows there is what comes now. The cross-entropy of where they look is added to the loss ("guided attention",
Tachibana et al. 2018; what such pairs of heads are for: Olsson et al. 2022, "In-context learning and induction heads").

And a key is worth three nats of a clip's thousand, too little to be learnt from codes alone. So halfway up the decoder
is asked at each step what is being played (key, tempo, instrument …) and where in the bar it is: whatever it has from
the words, the melody or what it has heard, the layers above find it said plainly ("deep supervision", Lee et al. 2015).
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from training import nano
from training.attributes import BEAT_FRAMES
from training.text_encoder import NAMES

# layer: heads, and how many steps back each looks on the average; heads that look at the same place of earlier bars, or
# beats
BEFORE = {0: {0: 1.0, 1: 4.0, 4: 16.0}}
BAR, BEAT = 0, 1
AGAIN = {2: {0: BAR, 1: BAR}, 3: {1: BAR, 2: BEAT}}
SHARPNESS = 0.35  # of the first heads' scores as they start, per frequency; less for a wider look
WEIGHT = 0.15  # of this loss, per head and step
GUIDED = 6  # one row of so many is enough to see where heads look, which costs as much as all else
QUESTIONED, QUESTIONS_WEIGHT = 1, 0.1  # the layer that is asked; weight of the answers' cross-entropies


class Questions(nn.Module):
    """What a layer leaves → what is being played, by the attributes of `NAMES`; how far into the beat; which beat."""

    def __init__(self):
        super().__init__()
        sizes = torch.tensor([*(len(known) for known in NAMES.values()), BEAT_FRAMES[1], 4])
        self.answers = nn.Linear(nano.WIDTH, len(sizes) * int(sizes.max()))
        impossible = torch.arange(int(sizes.max())) >= sizes[:, None]
        self.register_buffer("impossible", impossible, persistent=False)

    def loss(self, x: torch.Tensor, goals: torch.Tensor) -> torch.Tensor:
        """Sum of the cross-entropies, in nats: x (batch, steps, width), goals (batch, questions, steps)."""
        answers = self.answers(F.layer_norm(x, x.shape[-1:])).unflatten(-1, self.impossible.shape)
        answers = answers.float().masked_fill(self.impossible, -torch.inf)
        return F.cross_entropy(answers.flatten(0, 2), goals.transpose(1, 2).flatten()) * goals.shape[1]


class Watch:
    """Gathers these losses of one batch: to be called with what each layer does (`decoder.logits`)."""

    def __init__(self, period: torch.Tensor, goals: torch.Tensor, questions: Questions, taught: bool = True):
        """period: (batch, 2), steps until what is there comes again, by bars and by beats; goals as in `Questions`.

        taught: whether the decoder learns to answer, or only the questions learn to read it. They aren't in a
        checkpoint, and new ones would teach it nonsense.
        """
        self.period, self.goals, self.questions, self.taught = period, goals, questions, taught
        self.looks, self.answers = 0.0, 0.0  # nats

    @property
    def loss(self) -> torch.Tensor:
        """What is added to the loss."""
        return WEIGHT * self.looks + QUESTIONS_WEIGHT * self.answers

    def __call__(self, layer: int, queries: torch.Tensor, keys: torch.Tensor, x: torch.Tensor) -> None:
        """queries and keys (batch, heads, steps, size), x (batch, steps, width)."""
        if layer == QUESTIONED:
            answering = x[:, : self.goals.shape[2]]
            self.answers = self.questions.loss(answering if self.taught else answering.detach(), self.goals)
        queries, keys, period = queries[::GUIDED], keys[::GUIDED], self.period[::GUIDED]
        if before := BEFORE.get(layer):
            heads = list(before)
            self.looks = self.looks + before_loss(queries[:, heads], keys[:, heads], before.values())
        if again := AGAIN.get(layer):
            heads, kinds = list(again), list(again.values())
            self.looks = self.looks + again_loss(queries[:, heads], keys[:, heads], period[:, kinds, None, None])


def before_loss(queries: torch.Tensor, keys: torch.Tensor, means) -> torch.Tensor:
    """Cross-entropy of heads' looks back by `means` steps: queries and keys (batch, heads, steps, size)."""
    steps = torch.arange(queries.shape[2], device=queries.device)
    lags = steps[1:, None] - steps  # (steps − 1, steps), 0 is what is being heard; the first step has nothing before it
    nearer = torch.stack([-lags / mean if mean > 1 else -1e3 * (lags != 1) for mean in means])
    target = nearer.masked_fill(lags <= 0, -torch.inf).softmax(-1)  # (heads, steps − 1, steps)
    looks = looking(queries[:, :, 1:], keys, lags)
    return -(target * looks.clamp_min(-1e4)).sum((1, 3)).mean()


def again_loss(queries: torch.Tensor, keys: torch.Tensor, period: torch.Tensor) -> torch.Tensor:
    """How little heads look where what is there came before: period (batch, heads, 1, 1)."""
    steps = torch.arange(queries.shape[2], device=queries.device)
    lags = steps[:, None] - steps
    wanted = (lags >= period - 1) & ((lags + 1) % period == 0)  # (batch, heads, steps, steps)
    there = wanted.any(-1).float()  # where there is an earlier bar; nothing here waits for the device
    right = looking(queries, keys, lags).masked_fill(~wanted, -1e4).logsumexp(-1)
    return -((right * there).sum((0, 2)) / there.sum((0, 2)).clamp_min(1)).sum()


def looking(queries: torch.Tensor, keys: torch.Tensor, lags: torch.Tensor) -> torch.Tensor:
    """Log share (batch, heads, steps, steps) of each place, for queries and keys (batch, heads, steps, size)."""
    scores = queries.float() @ keys.float().transpose(2, 3) / math.sqrt(queries.shape[-1])
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
    for layer in {*BEFORE, *AGAIN}:
        attention = decoder.layers[layer].self_attn
        for head in (*BEFORE.get(layer, ()), *AGAIN.get(layer, ())):
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
    for layer, heads in AGAIN.items():
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
