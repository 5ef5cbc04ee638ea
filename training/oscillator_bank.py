"""The codec's decoder before it has learnt anything: a bank of oscillators that the codes only say the loudness of.

A decoder that starts from noise must be told by the codes where in its swing each partial stands, fifty times a
second; a few minutes of training don't get there, and partials stay noise. But an LSTM can keep a phase by itself:

* the first layer's units turn in pairs, by the angle that a semitone turns in a frame (a product of nearly no more than
  the size where tanh bends, so that they neither grow nor fade), started by a kick in the first frame; others hand the
  latents on;
* the second layer passes each pair on through its output gate, which the latents open: amplitude = sigmoid of a
  logarithm;
* the transposed convolutions make a wave of each pair, a window of two frames times a sine of that pitch (or, for the
  last pairs, a burst of noise): least squares, with every ELU held where it is a straight line.

So latents say how loud each semitone and each band of noise is, the tones' phases go on from frame to frame, and codes
for a tone that is held are the same from frame to frame, which a small language model finds easy to foretell. (As
Défossez et al. 2022 in form; the thought is the harmonic oscillators of DDSP, Engel et al. 2020.)
"""

import math

import numpy as np
import torch
from torch.nn import functional as F

from training import nano
from training.oscillators import SAMPLE_RATE

HOP = math.prod(nano.HOP_RATIOS)
FRAME_RATE = SAMPLE_RATE / HOP
LOWEST, TONES = 28, 84  # MIDI: E1, 41 Hz, … D#8, 4978 Hz; above, pitch is hardly heard
NOISE_EDGES = (150, 600, 1500, 3000, 4500, 6500, 9000, 12000, 15500)  # Hz: bands of noise
NOISES = 19  # pairs, some bands have two or three
GROWTH = 0.01  # of an oscillator per frame, while it is small
AMPLITUDE = math.sqrt(2 * GROWTH)  # where the two tanh of a step take away as much
OPEN = 16.0  # a gate's bias when it is open, less when it is shut: exact in float32 and float16
RELAY = 0.1  # latents go through the first layer so small that tanh is straight
LOUDEST = 0.6  # amplitude of a tone whose gate is wide open, full scale 1
LIFT = 0.35  # keeps ELU's argument positive: what goes through is within ±0.31 where the sound is within ±1
FIT_STEPS, FIT_RATE, FIT_ROWS = 400, 3e-3, 48

# What latents are about (latents, semitones or noises), and which part each codebook tells. The parts share no latents,
# so what EnCodec takes for the residual of one is the next one's matter untouched: a stroke on a drum doesn't change
# the codes of the chord that sounds on, and a bass line is a row of codes of its own.
PARTS = (
    (slice(0, 32), slice(20, TONES)),  # from C3 on: chords and leads
    (slice(32, 40), slice(0, 20)),  # below: basses and bass drums
    (slice(40, 48), slice(TONES, TONES + NOISES)),  # strokes, breath, bows
)
BOOKS = (0, 0, 1, 2)  # the second tells what the first leaves

WIDTH = nano.CODEC_FILTERS * 2 ** len(nano.HOP_RATIOS)  # of the LSTM
LATENT = nano.CODEC_WIDTH
PAIRS = TONES + NOISES
START = LATENT  # the unit that is 0 before the first frame, and then the same for ever
FIRST = LATENT + 1  # where the pairs begin


def frequencies() -> np.ndarray:
    """Hz of the tones: (TONES,)."""
    return 440 * 2 ** ((LOWEST + np.arange(TONES) - 69) / 12)


def noise_band(number: int) -> tuple[float, float]:
    """Edges in Hz of a pair's noise."""
    bands = len(NOISE_EDGES) - 1
    band = bands - 1 - number % bands  # the highest have most
    return NOISE_EDGES[band], NOISE_EDGES[band + 1]


def atoms(rng: np.random.Generator) -> np.ndarray:
    """What a pair sounds like in one frame: (2 · PAIRS, 2 · HOP), in turn for its cosine and its sine."""
    n = np.arange(2 * HOP) - HOP + 0.5
    window = 0.5 + 0.5 * np.cos(np.pi * n / HOP)
    made = []
    for hertz in frequencies():
        angle = 2 * np.pi * hertz / SAMPLE_RATE * n
        made += [window * np.cos(angle), -window * np.sin(angle)]
    hertz = np.fft.rfftfreq(2 * HOP, 1 / SAMPLE_RATE)
    for number in range(NOISES):
        low, high = noise_band(number)
        inside = (hertz >= low) & (hertz < high)
        for _ in range(2):
            spectrum = inside * np.exp(2j * np.pi * rng.random(len(hertz)))
            burst = np.fft.irfft(spectrum)
            made.append(window * burst / burst.std() * 0.5)
    return np.stack(made).astype(np.float32)


@torch.no_grad()
def _set(convolution, weight: torch.Tensor, bias: torch.Tensor) -> None:
    """Gives a weight-normed convolution a weight; rows of zeros get a norm of zero, and a direction to grow in."""
    norm = weight.flatten(1).norm(dim=1)
    direction = torch.where((norm > 0)[:, None, None], weight, 0.01 * torch.randn_like(weight))
    convolution.parametrizations.weight.original0.copy_(norm[:, None, None])
    convolution.parametrizations.weight.original1.copy_(direction)
    convolution.bias.copy_(bias)


def _fit(targets: torch.Tensor, generator: torch.Generator) -> list[torch.Tensor]:
    """Weights of the transposed convolutions and of the last one, all linear, whose response is `targets`."""
    widths = [WIDTH // 2**i for i in range(len(nano.HOP_RATIOS) + 1)]
    weights = []
    rate = FRAME_RATE
    for i, ratio in enumerate(nano.HOP_RATIOS):
        # Pairs of channels are complex bands at centres spread over the spectrum; each passes to the nearest.
        before, after = widths[i] // 2, widths[i + 1] // 2
        centres_after = (np.arange(after) + 0.5) / after * SAMPLE_RATE / 2
        if i:
            centres_before = (np.arange(before) + 0.5) / before * SAMPLE_RATE / 2
        else:
            noises = [np.mean(noise_band(number)) for number in range(NOISES)]
            centres_before = np.concatenate([frequencies(), noises])
        rate *= ratio
        n = np.arange(2 * ratio) - ratio + 0.5
        window = 0.5 + 0.5 * np.cos(np.pi * n / ratio)
        weight = 0.02 * torch.randn(widths[i], widths[i + 1], 2 * ratio, generator=generator).numpy() / math.sqrt(ratio)
        for source, hertz in enumerate(centres_before):
            target = int(np.abs(centres_after - hertz).argmin())
            angle = 2 * np.pi * hertz / rate * n
            a = 2 * source if i else FIRST + 2 * source
            weight[a, 2 * target] += window * np.cos(angle)
            weight[a + 1, 2 * target] -= window * np.sin(angle)
            weight[a, 2 * target + 1] += window * np.sin(angle)
            weight[a + 1, 2 * target + 1] += window * np.cos(angle)
        if not i:
            weight[:FIRST] = weight[FIRST + 2 * PAIRS :] = 0
        weight[:, -1] = 0  # the channel that holds the constant
        if i:
            weight[-1] = 0
        weights.append(torch.from_numpy(weight.astype(np.float32)).requires_grad_())
    last = np.zeros((1, widths[-1], 7), np.float32)
    last[0, ::2, 3] = 1
    weights.append(torch.from_numpy(last).requires_grad_())
    optimizer = torch.optim.Adam(weights, lr=FIT_RATE)
    frames, middle = 5, 2
    scale = targets.square().sum(1).mean()
    for step in range(FIT_STEPS):
        for group in optimizer.param_groups:
            group["lr"] = FIT_RATE * (1 - step / FIT_STEPS)
        rows = torch.randperm(len(targets), generator=generator)[:FIT_ROWS]
        x = torch.zeros(len(rows), WIDTH, frames)
        x[torch.arange(len(rows)), FIRST + rows, middle] = 1
        goal = F.pad(targets[rows], (int((middle - 0.5) * HOP), int((frames - middle - 1.5) * HOP)))
        error = (respond(x, weights) - goal).square().sum(1).mean() / scale
        optimizer.zero_grad()
        error.backward()
        for i, weight in enumerate(weights[:-1]):
            weight.grad[:, -1] = 0
            if i:
                weight.grad[-1] = 0
        weights[-1].grad[:, -1] = 0
        optimizer.step()
        if step % 50 == 0 or step == FIT_STEPS - 1:
            print(f"oscillators' waves, step {step}: {10 * math.log10(error.item()):.1f} dB", flush=True)
    return [weight.detach() for weight in weights]


def respond(x: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    """The convolutions without their ELUs: x (batch, WIDTH, frames) → (batch, samples)."""
    for weight, ratio in zip(weights[:-1], nano.HOP_RATIOS, strict=True):
        x = F.conv_transpose1d(x, weight, stride=ratio)[..., ratio - ratio // 2 :]
        x = x[..., : x.shape[-1] - ratio // 2]
    return F.conv1d(F.pad(x, (3, 3), "reflect"), weights[-1])[:, 0]


@torch.no_grad()
def _lstm(lstm: torch.nn.LSTM, loudness: torch.Tensor, offsets: torch.Tensor, rng: np.random.Generator) -> None:
    size = WIDTH
    i, f, g, o = (slice(gate * size, (gate + 1) * size) for gate in range(4))
    for parameter in lstm.parameters():
        parameter.zero_()
    # First layer
    ih, hh, bias = lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0
    bias[i], bias[f], bias[o] = OPEN, -OPEN, OPEN
    relays = torch.arange(LATENT)
    ih[g][relays, relays] = RELAY
    bias[g][START] = 5.0
    constant = math.tanh(math.tanh(5.0))
    turns = np.concatenate([frequencies() / FRAME_RATE, rng.random(NOISES) * 0.6 + 0.2])
    for pair, turn in enumerate(turns):
        a = FIRST + 2 * pair
        cos, sin = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
        hh[g][a, a], hh[g][a, a + 1] = (1 + GROWTH) * cos, -(1 + GROWTH) * sin
        hh[g][a + 1, a], hh[g][a + 1, a + 1] = (1 + GROWTH) * sin, (1 + GROWTH) * cos
        phase = 2 * math.pi * rng.random()
        for row, part in ((a, math.cos(phase)), (a + 1, math.sin(phase))):
            bias[g][row] = AMPLITUDE * part
            hh[g][row, START] = -AMPLITUDE * part / constant
    # Second layer
    ih, bias = lstm.weight_ih_l1, lstm.bias_ih_l1
    bias[i], bias[f] = OPEN, -OPEN
    free = torch.arange(LATENT)
    ih[g][:LATENT, :LATENT] = torch.randn(LATENT, LATENT) / math.sqrt(LATENT) / RELAY
    bias[i][free], bias[f][free] = 0, 0
    rows = torch.arange(FIRST, FIRST + 2 * PAIRS)
    ih[g][rows, rows] = 1.0
    ih[o][rows, :LATENT] = loudness.repeat_interleave(2, 0) / RELAY
    bias[o][rows] = offsets.repeat_interleave(2)


def start(decoder, loudness: torch.Tensor, offsets: torch.Tensor, seed: int = 0) -> None:
    """Makes a fresh `EncodecDecoder` the bank of oscillators.

    loudness (PAIRS, LATENT) and offsets (PAIRS,): log amplitude of each pair, as a share of LOUDEST, from latents.
    """
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    targets = torch.from_numpy(atoms(rng))
    weights = _fit(targets, generator)
    weights[-1] = weights[-1] * (LOUDEST / AMPLITUDE)
    first, lstm, *rest = decoder.layers
    weight = torch.zeros_like(first.conv.weight)
    weight[torch.arange(LATENT), torch.arange(LATENT), weight.shape[2] // 2] = 1
    bias = torch.zeros(WIDTH)
    bias[LATENT:] = LIFT
    _set(first.conv, weight, bias)
    _lstm(lstm.lstm, loudness, offsets, rng)
    convolutions = [layer.conv for layer in rest if hasattr(layer, "conv")]
    constant, lift = START, torch.where(torch.arange(WIDTH) >= LATENT, LIFT, 0.0)
    for convolution, weight in zip(convolutions[:-1], weights[:-1], strict=True):
        weight = weight.clone()
        weight[constant] -= torch.einsum("i,iok->ok", lift, weight) / LIFT
        out = torch.full((weight.shape[1],), LIFT)
        _set(convolution, weight, out)
        constant, lift = -1, out
    _set(convolutions[-1], weights[-1], -LIFT * weights[-1].sum((1, 2)))
    for layer in rest:
        if hasattr(layer, "block"):  # adds nothing yet
            torch.nn.init.zeros_(layer.block[3].conv.parametrizations.weight.original0)
            torch.nn.init.zeros_(layer.block[3].conv.bias)


def hold_still(decoder) -> list[torch.nn.Parameter]:
    """Keeps the oscillators turning and their waves as they are; → what may learn: gates, and what feeds them."""
    decoder.requires_grad_(False)
    first, lstm = decoder.layers[0].conv, decoder.layers[1].lstm
    unit = torch.arange(WIDTH, device=first.bias.device)
    latent = (unit < LATENT).float()
    of_pairs = torch.cat([latent, latent, latent, (unit != START).float()])  # output gates alone learn here
    masks = {
        first.parametrizations.weight.original0: latent[:, None, None],
        first.parametrizations.weight.original1: latent[:, None, None],
        first.bias: latent,
        lstm.weight_ih_l1: of_pairs[:, None] * latent,
        lstm.bias_ih_l1: of_pairs,
    }
    for parameter, mask in masks.items():
        parameter.requires_grad_(True).register_hook(lambda gradient, mask=mask: gradient * mask)
    return list(masks)
