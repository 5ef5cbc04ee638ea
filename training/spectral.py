"""What the codec is judged by: spectra at several resolutions, and a discriminator that sees them too."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from training.measures import mel_filters
from training.oscillators import SAMPLE_RATE

# (window in samples, mel bands): from single partials of the bass to the edge of a drum stroke; hop is a quarter
MEL_SCALES = ((2048, 128), (512, 48), (128, 12))
STFT_WINDOWS = (2048, 512)  # of the mel scales' windows, those whose spectra are compared bin by bin as well
FLOOR = 1e-5
DISCRIMINATOR_WINDOWS = (2048, 1024, 512)
DISCRIMINATOR_FILTERS = 24


def spectrum(audio: torch.Tensor, window: int) -> torch.Tensor:
    """audio (batch, samples) → complex (batch, window // 2 + 1, frames), scaled so that full scale is about 1."""
    hann = torch.hann_window(window, device=audio.device)
    return torch.stft(audio, window, window // 4, window=hann, return_complex=True) / hann.sum() * 2


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
        both = torch.cat([made, true])
        for window, _ in MEL_SCALES:
            magnitudes = spectrum(both, window).abs()
            a, b = (getattr(self, f"filters_{window}") @ magnitudes).clamp_min(FLOOR).log10().chunk(2)
            mel = mel + F.l1_loss(a, b)
            if window in STFT_WINDOWS:
                a, b = magnitudes.chunk(2)
                stft = stft + F.l1_loss(a.clamp_min(FLOOR).log10(), b.clamp_min(FLOOR).log10())
                stft = stft + (a - b).norm() / b.norm().clamp_min(1e-4)
        return mel / len(MEL_SCALES), stft / len(STFT_WINDOWS)


class Discriminator(nn.Module):
    """EnCodec's multi-scale STFT discriminator (Défossez et al. 2022), small: real and imaginary parts as channels."""

    def __init__(self):
        super().__init__()
        width, norm = DISCRIMINATOR_FILTERS, nn.utils.parametrizations.weight_norm
        self.stacks = nn.ModuleList(
            nn.ModuleList(
                norm(layer)
                for layer in (
                    nn.Conv2d(2, width, (9, 3), padding=(4, 1)),
                    nn.Conv2d(width, width, (9, 3), stride=(2, 1), dilation=(1, 1), padding=(4, 1)),
                    nn.Conv2d(width, width, (9, 3), stride=(2, 1), dilation=(1, 2), padding=(4, 2)),
                    nn.Conv2d(width, width, (9, 3), stride=(2, 1), dilation=(1, 4), padding=(4, 4)),
                    nn.Conv2d(width, width, 3, padding=1),
                    nn.Conv2d(width, 1, 3, padding=1),
                )
            )
            for _ in DISCRIMINATOR_WINDOWS
        )

    def forward(self, audio: torch.Tensor) -> tuple[list[torch.Tensor], list[list[torch.Tensor]]]:
        """audio (batch, samples) → the verdict of each scale, and the features on the way to it."""
        verdicts, features = [], []
        for window, stack in zip(DISCRIMINATOR_WINDOWS, self.stacks, strict=True):
            with torch.autocast(audio.device.type, enabled=False):
                x = torch.view_as_real(spectrum(audio.float(), window)).permute(0, 3, 1, 2) * 8
            maps = []
            for layer in stack[:-1]:
                x = F.leaky_relu(layer(x), 0.2)
                maps.append(x)
            verdicts.append(stack[-1](x).float())
            features.append(maps)
        return verdicts, features


def discriminator_loss(real: list[torch.Tensor], made: list[torch.Tensor]) -> torch.Tensor:
    """Hinge."""
    return sum(F.relu(1 - r).mean() + F.relu(1 + m).mean() for r, m in zip(real, made, strict=True)) / len(real)


def adversarial_loss(made, made_features, real_features) -> torch.Tensor:
    """Hinge, and the distance of the features, which is what teaches most."""
    fooled = sum(-m.mean() for m in made) / len(made)
    apart = [
        F.l1_loss(m.float(), r.detach().float()) / r.detach().float().abs().mean().clamp_min(1e-4)
        for ms, rs in zip(made_features, real_features, strict=True)
        for m, r in zip(ms, rs, strict=True)
    ]
    return fooled + 2 * sum(apart) / len(apart)
