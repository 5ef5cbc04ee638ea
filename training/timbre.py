"""What instruments are told by, as a loss: statistics of spectra, along the lines on which instruments differ."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from training.measures import mel_filters
from training.oscillators import SAMPLE_RATE
from training.spectral import spectrum

WINDOW, BANDS, CEPSTRA = 1536, 72, 16
FLOOR, RANGE = 1e-9, 1e-7  # power: of full scale, of the loudest band
LOUD, SOFT = 0.9, 0.3  # quantiles of a band's level
NEIGHBOURS = 7  # bands that one stands out from
SHRINKAGE = 0.1  # of the covariance within a family


class TimbreLoss(nn.Module):
    """How far a sound is from another where instruments differ (Fisher's discriminant, `fit`), in spreads within one.

    Not the evaluation's features, nor those of `training.ear`: what is learnt from can't be judged by the same measure.
    """

    def __init__(self):
        super().__init__()
        filters = mel_filters(SAMPLE_RATE, WINDOW, BANDS).astype(np.float32)
        self.register_buffer("filters", torch.from_numpy(filters))
        self.register_buffer("axes", torch.empty(0))

    def statistics(self, audio: torch.Tensor) -> torch.Tensor:
        """audio (batch, samples) → (batch, statistics): how loud each band is, on the average and when it is loud or
        soft, how it rises, how it stands out from its neighbours; and how much cepstra vary and move."""
        power = (self.filters @ spectrum(audio, WINDOW).abs().square()).clamp_min(FLOOR)
        bands = 10 * torch.log10(torch.maximum(power, power.amax((1, 2), keepdim=True) * RANGE))
        bands = bands - bands.mean((1, 2), keepdim=True)
        rises = bands.diff(dim=2).clamp_min(0)
        loud, soft = (bands.quantile(share, 2) for share in (LOUD, SOFT))
        around = F.avg_pool1d(bands.transpose(1, 2), NEIGHBOURS, 1, NEIGHBOURS // 2, count_include_pad=False)
        above = bands - around.transpose(1, 2)
        cepstra = torch.fft.rfft(torch.cat([bands, bands.flip(1)], 1), dim=1).real[:, 1:CEPSTRA] / BANDS
        parts = [bands.mean(2), loud, soft, rises.mean(2), rises.std(2), above.mean(2), above.std(2)]
        return torch.cat([*parts, cepstra.std(2), cepstra.diff(dim=2).abs().mean(2)], 1)

    @torch.no_grad()
    def fit(self, statistics: torch.Tensor, families: torch.Tensor) -> None:
        """Finds the lines on which families differ: statistics (sounds, statistics), families (sounds,) from 0."""
        spread = statistics.double().std(0)
        scaled = statistics.double() / spread
        counts = torch.bincount(families).double()
        means = torch.stack([scaled[families == family].mean(0) for family in range(len(counts))])
        within = scaled - means[families]
        within = (1 - SHRINKAGE) * within.T @ within / len(within) + SHRINKAGE * torch.eye(len(spread)).to(within)
        root = torch.linalg.cholesky(within)
        apart = (means - scaled.mean(0)) * (counts / counts.sum()).sqrt()[:, None]
        lines = torch.linalg.svd(torch.linalg.solve_triangular(root, apart.T, upper=False), full_matrices=False)[0]
        axes = torch.linalg.solve_triangular(root.T, lines[:, :-1], upper=True)  # one less than there are families
        self.axes = (axes / spread[:, None]).float()

    def forward(self, made: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        """(batch, samples) float32 each → mean difference on a line."""
        with torch.no_grad():
            own = self.statistics(true)
        apart = (self.statistics(made) - own) @ self.axes
        return F.smooth_l1_loss(apart, torch.zeros_like(apart))
