"""Music of many rows at once, as the app makes it: codes drawn from a decoder (guidance, top-k, delay), and played."""

import copy

import torch
from torch.nn import functional as F

from training import nano
from training.decoder import joined, split
from training.language_model import PAD
from training.oscillator_bank import LIFT


class Cached:
    """A `MusicgenForCausalLM`'s steps one after the other, keys and values kept.

    The first rows hear words. With guidance as many rows follow that don't: what it leads away from.
    """

    def __init__(self, model, states: torch.Tensor, mask: torch.Tensor, steps: int, copies: int):
        """states (rows, tokens, width), mask (rows, tokens); at most so many steps; copies: 2 with guidance, else 1."""
        self.decoder, self.heads = model.model.decoder, model.config.num_attention_heads
        self.rows, self.copies, self.done = len(states), copies, 0
        self.allowed = mask[:, None, None].bool()
        self.tables = torch.stack([table.weight for table in self.decoder.embed_tokens])
        self.head = torch.cat([head.weight for head in model.lm_heads])
        self.weights, self.words, self.past = [], [], []
        for layer in self.decoder.layers:
            own, other = layer.self_attn, layer.encoder_attn
            self.weights.append(torch.cat([own.q_proj.weight, own.k_proj.weight, own.v_proj.weight]))
            self.words.append([split(part(states), self.heads) for part in (other.k_proj, other.v_proj)])
            shape = 2, copies * self.rows, self.heads, steps, nano.WIDTH // self.heads
            self.past.append(torch.empty(shape, device=states.device))

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """inputs (rows, codebooks, new steps) → the last step's logits (copies, rows, codebooks, codes)."""
        first, new = self.done, inputs.shape[2]
        self.done = first + new
        x = sum(F.embedding(inputs[:, k], table) for k, table in enumerate(self.tables))
        x = (x + self.decoder.embed_positions.weights[first : self.done]).repeat(self.copies, 1, 1)
        for layer, weight, (k, v), past in zip(self.decoder.layers, self.weights, self.words, self.past, strict=True):
            queries, keys, values = split(F.linear(layer.self_attn_layer_norm(x), weight), 3 * self.heads).chunk(3, 1)
            past[0, :, :, first : self.done], past[1, :, :, first : self.done] = keys, values
            seen = past[:, :, :, : self.done]
            heard = F.scaled_dot_product_attention(queries, seen[0], seen[1], is_causal=new > 1)
            x = x + layer.self_attn.out_proj(joined(heard))
            told = x[: self.rows]
            q = split(layer.encoder_attn.q_proj(layer.encoder_attn_layer_norm(told)), self.heads)
            heard = F.scaled_dot_product_attention(q, k, v, attn_mask=self.allowed)
            told = told + layer.encoder_attn.out_proj(joined(heard))
            x = torch.cat([told, x[self.rows :]])  # to the others no words add nothing
            x = x + layer.fc2(F.gelu(layer.fc1(layer.final_layer_norm(x))))
        logits = F.linear(self.decoder.layer_norm(x[:, -1]), self.head)
        return logits.view(self.copies, self.rows, nano.CODEBOOKS, -1)


def guided(logits: torch.Tensor, guidance: float) -> torch.Tensor:
    """Classifier-free guidance (Ho and Salimans 2022): logits (copies, rows, …), those with words first → (rows, …)."""
    return logits[0] if guidance == 1 else logits[1] + guidance * (logits[0] - logits[1])


@torch.no_grad()
def draw(model, states, mask, begun: torch.Tensor, frames: int, guidance: float, top_k: int) -> torch.Tensor:
    """Codes (rows, codebooks, frames) that begin with those of begun (rows, codebooks, frames or none).

    As `MusicgenForConditionalGeneration.generate` draws them at temperature 1.
    """
    rows, books, known = begun.shape
    row = torch.full((rows, books, frames + books), PAD, device=begun.device)
    for k in range(books):
        row[:, k, 1 + k : 1 + k + known] = begun[:, k]
    steps = Cached(model, states, mask, frames + books - 1, copies=1 if guidance == 1 else 2)
    heard = row[:, :, : 1 + known]
    for step in range(1 + known, frames + books):  # of what is drawn next
        logits = guided(steps(heard), guidance)
        least = logits.topk(top_k, -1).values[..., -1:]
        chances = logits.masked_fill(logits < least, -torch.inf).softmax(-1)
        drawn = (chances / torch.empty_like(chances).exponential_()).argmax(-1)
        for k in range(books):
            if k + known < step <= k + frames:
                row[:, k, step] = drawn[:, k]
        heard = row[:, :, step : step + 1]
    return torch.stack([row[:, k, 1 + k : 1 + k + frames] for k in range(books)], 1)


class Player:
    """What the codec's decoder does, some ten times as fast: behind its LSTM nothing bends (training.oscillator_bank).

    So a unit of the LSTM sounds like itself wherever it stands, and codes are played by adding up these sounds. Of the
    bundled codec: what differs from transformers' samples is 41 to 58 dB below the music.
    """

    BEFORE, AFTER = 1, 1  # frames ahead of a unit's own and behind it that its sound reaches

    @torch.no_grad()
    def __init__(self, codec):
        self.codec = codec
        self.first, self.lstm, *rest = codec.decoder.layers
        rest = copy.deepcopy(torch.nn.Sequential(*rest)).double()  # what is lifted cancels out
        width, frames, middle, step = self.lstm.lstm.hidden_size, 12, 6, 0.1
        impulses = torch.full(
            (width + 1, width, frames), LIFT, dtype=torch.double, device=self.lstm.lstm.weight_hh_l0.device
        )
        impulses[range(width), range(width), middle] += step
        sounds = torch.cat([rest(some)[:, 0] for some in impulses.split(32)]).unflatten(1, (frames, -1))
        self.offset = sounds[-1, middle].float()
        near = slice(middle - self.BEFORE, middle + self.AFTER + 1)
        self.sounds = ((sounds[:-1] - sounds[-1]) / step)[:, near].float()  # (width, frames, samples)

    @torch.no_grad()
    def __call__(self, codes: torch.Tensor) -> torch.Tensor:
        """codes (rows, codebooks, frames) → samples (rows, frames · 640)."""
        latents = self.codec.quantizer.decode(codes.transpose(0, 1))
        units = self.lstm(self.first(latents)).transpose(1, 2) - LIFT  # (rows, frames, width)
        rows, frames, _ = units.shape
        audio = self.offset.repeat(rows, frames + self.BEFORE + self.AFTER, 1)
        for i in range(self.sounds.shape[1]):
            audio[:, i : i + frames] += units @ self.sounds[:, i]
        return audio[:, self.BEFORE : self.BEFORE + frames].flatten(1)
