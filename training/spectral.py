"""What the codec is judged by: spectra at several resolutions."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from training.analysis import through, triangles
from training.measures import mel_filters
from training.oscillators import SAMPLE_RATE

# (window in samples, mel bands): from single partials of the bass to the edge of a drum stroke; hop is a quarter
MEL_SCALES = ((8192, 256), (2048, 128), (512, 48), (128, 12))
STFT_WINDOWS = (8192, 2048, 512)  # of the mel scales' windows, those whose spectra are compared bin by bin as well
FLOOR = 1e-5
ONSET_WINDOW, ONSET_BANDS = 1024, 64  # samples, mel bands
ONSET_RANGE, ONSET_FRAMES = 1e-8, 5  # power heard, as a share of the loudest; averaged over 40 ms
PITCHES, PITCH_WINDOW = (36, 97), 16_384  # MIDI from … to; samples that tell semitones apart
TEXTURE_SCALES = ((2048, 96), (1024, 64), (512, 40))  # window, mel bands
LOUD, QUIET = 0.95, 0.2  # quantiles, how far apart tells how a band comes and goes


def spectrum(audio: torch.Tensor, window: int) -> torch.Tensor:
    """audio (batch, samples) → complex (batch, window // 2 + 1, frames), scaled so that full scale is about 1."""
    hann = torch.hann_window(window, device=audio.device)
    return torch.stft(audio, window, window // 4, window=hann, return_complex=True) / hann.sum() * 2


def magnitudes(made: torch.Tensor, true: torch.Tensor, window: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(batch, samples) each → (batch, window // 2 + 1, frames) each; no gradient is sought of the true sound."""
    with torch.no_grad():
        own = spectrum(true, window).abs()
    return spectrum(made, window).abs(), own


class SpectralLoss(nn.Module):
    """L1 of log mel spectra (Kumar et al. 2023, DAC) and of log and linear magnitudes (Yamamoto et al. 2020)."""

    def __init__(self):
        super().__init__()
        for window, bands in MEL_SCALES:
            filters = mel_filters(SAMPLE_RATE, window, bands).astype(np.float32)
            self.register_buffer(f"filters_{window}", torch.from_numpy(filters))

    def forward(self, made: torch.Tensor, true: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, samples) float32 each → mel loss, STFT loss."""
        mel = stft = 0
        for window, _ in MEL_SCALES:
            a, b = magnitudes(made, true, window)
            filters = getattr(self, f"filters_{window}")
            mel = mel + F.l1_loss(*((filters @ one).clamp_min(FLOOR).log10() for one in (a, b)))
            if window in STFT_WINDOWS:
                stft = stft + F.l1_loss(a.clamp_min(FLOOR).log10(), b.clamp_min(FLOOR).log10())
                stft = stft + (a - b).norm() / b.norm().clamp_min(1e-4)
        return mel / len(MEL_SCALES), stft / len(STFT_WINDOWS)


class TextureLoss(nn.Module):
    """L1 of what each mel band is like over time: mean, spread, rises and height of its level.

    A decoder that only ever plays the likeliest spectrum plays too smoothly: frame by frame that is as near as it gets,
    but attacks are dull and gaps are filled, and an instrument is known by both. Statistics over a second or two don't
    say when, so they leave it free to be as lively as the true sound (McDermott & Simoncelli 2011).
    """

    def __init__(self):
        super().__init__()
        for window, bands in TEXTURE_SCALES:
            filters = mel_filters(SAMPLE_RATE, window, bands).astype(np.float32)
            self.register_buffer(f"filters_{window}", torch.from_numpy(filters))

    def forward(self, made: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        """(batch, samples) float32 each → mean difference in powers of ten."""
        total = 0
        for window, _ in TEXTURE_SCALES:
            filters = getattr(self, f"filters_{window}")
            both = (self.statistics(filters @ one.square()) for one in magnitudes(made, true, window))
            total = total + F.l1_loss(*both)
        return total / len(TEXTURE_SCALES)

    def statistics(self, power: torch.Tensor) -> torch.Tensor:
        """(batch, bands, frames) → (batch, 4, bands)."""
        level = power.clamp_min(FLOOR**2).log10() / 2
        rises = (level[..., 1:] - level[..., :-1]).clamp_min(0).mean(-1)
        spread = (level.var(-1, unbiased=False) + 1e-4).sqrt()
        height = level.quantile(LOUD, -1) - level.quantile(QUIET, -1)
        return torch.stack([level.mean(-1), spread, 4 * rises, height], 1)  # rises are rare


class PitchLoss(nn.Module):
    """L1 of how strong each semitone is, and each pitch class over the whole: what a key is heard by.

    Roots of magnitudes, so that the third of a chord counts beside its bass, and what is faint counts little.
    """

    def __init__(self):
        super().__init__()
        pitches = np.arange(*PITCHES)
        hertz = 440 * 2 ** ((pitches - 69) / 12)
        self.register_buffer("filters", triangles(hertz, PITCH_WINDOW, hertz * (2 ** (0.7 / 12) - 1)))
        self.register_buffer("classes", torch.eye(12)[pitches % 12].T)

    def forward(self, made: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        """(batch, samples) float32 each → difference as a share of the true sound's."""
        both = magnitudes(made, true, PITCH_WINDOW)
        a, b = (through(self.filters, one).clamp_min(FLOOR).sqrt() for one in both)
        folded, own = ((self.classes @ strengths).mean(2) for strengths in (a, b))
        return (a - b).abs().sum() / b.sum() + (folded - own).abs().sum() / own.sum()


class OnsetLoss(nn.Module):
    """L1 of how much mel bands rise together: what a beat is heard by (as Böck and Widmer 2013 do)."""

    def __init__(self):
        super().__init__()
        filters = mel_filters(SAMPLE_RATE, ONSET_WINDOW, ONSET_BANDS).astype(np.float32)
        self.register_buffer("filters", torch.from_numpy(filters))

    def forward(self, made: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        """(batch, samples) float32 each → difference as a share of the true sound's."""
        a, b = (self.rises(self.filters @ one.square()) for one in magnitudes(made, true, ONSET_WINDOW))
        return (a - b).abs().sum() / b.sum()

    def rises(self, power: torch.Tensor) -> torch.Tensor:
        """(batch, bands, frames) → (batch, frames)."""
        power = torch.maximum(power, power.amax((1, 2), keepdim=True) * ONSET_RANGE).clamp_min(FLOOR**2)
        return F.avg_pool1d(power.log10().diff(dim=2).clamp_min(0).mean(1), ONSET_FRAMES, 1)
