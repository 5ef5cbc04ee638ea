"""What of the codec's decoder learns, apart: what opens the oscillators' gates (training.oscillator_bank).

Behind its LSTM nothing bends and nothing learns, so what a unit sounds like is one matrix; and the first layer's
oscillators turn whatever the codes are. What is left is a convolution over codes, two layers of few units that
remember, and the gates that hear them: a step of training spends no time on convolutions, and the sound is the same.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from training.nano import MAX_LENGTH
from training.oscillator_bank import FIRST, LATENT, PAIRS, WIDTH
from training.sampling import Player

SOFT = 4.0  # bias of a relay's gates that were quite open or shut, so that they learn
HALF_OPEN = 1.0  # of a pair's input gate that was quite open: the second that a tone passes
SHAKEN = 1e-3  # spread of what is added then to weights of nothing
STIRRED = 0.05  # spread of how the memory hears oscillators at first: what beats is told from them
UNITS, OF_PAIRS = slice(0, LATENT), slice(FIRST, FIRST + 2 * PAIRS)


class Gates(nn.Module):
    """latents (batch, LATENT, frames) → samples (batch, frames · HOP); and what is remembered (frames, batch, MEMORY).

    Starts as a codec's decoder is, but for gates that are too far open or shut to learn: SOFT.
    """

    MEMORY = 2 * LATENT

    @torch.no_grad()
    def __init__(self, codec):
        super().__init__()
        first, lstm = codec.decoder.layers[0].conv, codec.decoder.layers[1].lstm
        self.convolution = nn.Parameter(first.weight[UNITS, UNITS].clone())
        self.bias = nn.Parameter(first.bias[UNITS].clone())
        rows, pairs = torch.cat(_rows(UNITS)), _pairs()
        self.relays = nn.LSTM(LATENT, LATENT)
        inputs, own = lstm.weight_ih_l0[rows][:, UNITS], lstm.weight_hh_l0[rows][:, UNITS]
        biases = (lstm.bias_ih_l0 + lstm.bias_hh_l0)[rows]
        if biases[0] > 2 * SOFT:
            kept, forgotten, told, out = torch.arange(4 * LATENT).chunk(4)
            biases[kept], biases[forgotten], biases[out] = SOFT, -SOFT, SOFT
            inputs[told] /= torch.sigmoid(torch.tensor(SOFT)) ** 2
            inputs, own = (weight + SHAKEN * torch.randn_like(weight) for weight in (inputs, own))
        _fill(self.relays, inputs, own, biases)
        self.memory = nn.LSTM(LATENT + 2 * PAIRS, LATENT)
        inputs = torch.cat([lstm.weight_ih_l1[rows][:, UNITS], lstm.weight_ih_l1[rows][:, OF_PAIRS]], 1)
        if not inputs[:, LATENT:].any():
            inputs[2 * LATENT : 3 * LATENT, LATENT:] = STIRRED * torch.randn(LATENT, 2 * PAIRS)
        _fill(self.memory, inputs, lstm.weight_hh_l1[rows][:, UNITS], (lstm.bias_ih_l1 + lstm.bias_hh_l1)[rows])
        heard, offsets = lstm.weight_ih_l1[pairs][:, UNITS], (lstm.bias_ih_l1 + lstm.bias_hh_l1)[pairs]
        entered, left = offsets.chunk(2)
        if entered[0] > 2 * SOFT:
            entered[:] = HALF_OPEN
            left -= math.log(torch.sigmoid(entered[0]))  # as loud as before: gates are nearly shut mostly
        self.heard, self.offsets = nn.Parameter(heard), nn.Parameter(offsets)
        self.remembered = nn.Parameter(lstm.weight_hh_l1[pairs][:, UNITS].clone())

        bank = nn.LSTM(WIDTH, WIDTH)
        for name, parameter in bank.named_parameters():
            parameter.copy_(getattr(lstm, name))
        silence = codec.decoder.layers[0](torch.zeros(1, LATENT, MAX_LENGTH, device=first.bias.device))
        turning = bank.to(silence.device)(silence.permute(2, 0, 1))[0][:, 0, OF_PAIRS]
        self.register_buffer("turning", turning)  # (frames, 2 · PAIRS)
        self.register_buffer("driving", torch.tanh(turning))
        self.register_buffer("sounds", Player(codec).sounds[OF_PAIRS])

    def forward(self, latents: torch.Tensor, since: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """since: frames that the oscillators have turned already."""
        x = F.conv1d(F.pad(latents, (3, 3), "reflect"), self.convolution, self.bias).permute(2, 0, 1)
        frames, batch, _ = x.shape
        now = slice(since, since + frames)
        relayed = self.relays(x)[0]
        memory = self.memory(torch.cat([relayed, self.turning[now, None].expand(-1, batch, -1)], 2))[0]
        before = F.pad(memory[:-1], (0, 0, 0, 0, 1, 0))
        opened = torch.sigmoid(F.linear(relayed, self.heard, self.offsets) + F.linear(before, self.remembered))
        entered, left = opened.chunk(2, 2)
        units = (left * torch.tanh(entered * self.driving[now, None])).transpose(0, 1)
        heard = torch.einsum("btu,uks->kbts", units, self.sounds)
        reach = len(heard) - 1
        audio = sum(F.pad(part, (0, 0, k, reach - k)) for k, part in enumerate(heard))
        return audio[:, Player.BEFORE : Player.BEFORE + frames].flatten(1), torch.cat([relayed, memory], 2)

    @torch.no_grad()
    def write(self, codec) -> None:
        """Into the decoder of a codec that has the same oscillators."""
        first, lstm = codec.decoder.layers[0].conv, codec.decoder.layers[1].lstm
        weight = first.weight.clone()
        weight[UNITS, UNITS] = self.convolution
        parts = first.parametrizations.weight
        parts.original0[UNITS] = weight[UNITS].flatten(1).norm(dim=1)[:, None, None]
        parts.original1[UNITS] = weight[UNITS]
        first.bias[UNITS] = self.bias
        rows, pairs = torch.cat(_rows(UNITS)), _pairs()
        _put(lstm.weight_ih_l0, rows, UNITS, self.relays.weight_ih_l0)
        _put(lstm.weight_hh_l0, rows, UNITS, self.relays.weight_hh_l0)
        _put(lstm.weight_ih_l1, rows, UNITS, self.memory.weight_ih_l0[:, UNITS])
        _put(lstm.weight_ih_l1, rows, OF_PAIRS, self.memory.weight_ih_l0[:, LATENT:])
        _put(lstm.weight_hh_l1, rows, UNITS, self.memory.weight_hh_l0)
        _put(lstm.weight_ih_l1, pairs, UNITS, self.heard)
        _put(lstm.weight_hh_l1, pairs, UNITS, self.remembered)
        lstm.bias_ih_l0[rows], lstm.bias_hh_l0[rows] = self.relays.bias_ih_l0, 0.0
        lstm.bias_ih_l1[rows], lstm.bias_hh_l1[rows] = self.memory.bias_ih_l0, 0.0
        lstm.bias_ih_l1[pairs], lstm.bias_hh_l1[pairs] = self.offsets, 0.0


def _rows(units: slice) -> list[torch.Tensor]:
    """Where these units' weights are in an LSTM: what comes in, what is kept, the cell, what goes out."""
    return [torch.arange(WIDTH)[units] + gate * WIDTH for gate in range(4)]


def _pairs() -> torch.Tensor:
    """Where the weights of the pairs' input gates are, and then those of their output gates."""
    entered, _, _, left = _rows(OF_PAIRS)
    return torch.cat([entered, left])


def _fill(lstm: nn.LSTM, inputs: torch.Tensor, own: torch.Tensor, biases: torch.Tensor) -> None:
    lstm.weight_ih_l0.copy_(inputs)
    lstm.weight_hh_l0.copy_(own)
    lstm.bias_ih_l0.copy_(biases)
    lstm.bias_hh_l0.zero_().requires_grad_(False)


def _put(weight: torch.Tensor, rows: torch.Tensor, columns: slice, values: torch.Tensor) -> None:
    some = weight[rows]
    some[:, columns] = values
    weight[rows] = some
