"""What the codec's latents are learnt from: spectra at several resolutions, by the semitone.

The checkpoint's own encoder hears 32,000 samples a second through small convolutions, and would take long to find out
what a semitone is. So latents, codebooks and decoder are learnt with this in its place; then the encoder learns to say
the same (training.encoder). Language models learn on these latents' codes.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from training.oscillator_bank import HOP, LATENT, LOUDEST, LOWEST, NOISES, PAIRS, PARTS, TONES, frequencies, noise_band
from training.oscillators import SAMPLE_RATE

# window in samples, pitches in MIDI from … to, steps per semitone
PITCHED = ((16384, 28, 64, 3), (8192, 28, 112, 3), (2048, 60, 122, 1))
SHORT, SHORT_HOP, SHORT_BANDS = 512, 160, 16  # four looks a frame at where strokes begin
CONTEXT = max(window for window, *_ in PITCHED) // 2  # samples on both sides that frames are told from
BASS = 55  # MIDI pitch below which tones are told apart by the longest window
FLOOR = 1e-5
QUIETEST, WIDEST = -8.0, 1.5  # log amplitudes are held between these
NOISE_GAIN = 80.0  # from the middle magnitude of a band (window 2048) to its gates
CHANNELS = 192


def triangles(hertz: np.ndarray, window: int, width: np.ndarray) -> torch.Tensor:
    """Filters (len(hertz), bins as far as any reaches), height 1, each `width` Hz to both sides, or most of a bin."""
    bins = np.arange(window // 2 + 1) * SAMPLE_RATE / window
    width = np.maximum(width, 0.75 * SAMPLE_RATE / window)
    filters = np.maximum(0, 1 - np.abs(bins - hertz[:, None]) / width[:, None]).astype(np.float32)
    return torch.from_numpy(filters[:, : np.flatnonzero(filters.any(0))[-1] + 1])


def through(filters: torch.Tensor, spectrum: torch.Tensor) -> torch.Tensor:
    """spectrum (batch, bins, frames) → (batch, filters, frames)"""
    return filters @ spectrum[:, : filters.shape[1]]


class Analysis(nn.Module):
    """audio (batch, 2 · CONTEXT + frames · HOP) → latents (batch, LATENT, frames)."""

    def __init__(self):
        super().__init__()
        count = TONES + NOISES
        for number, (window, low, high, steps) in enumerate(PITCHED):
            pitches = low + np.arange((high - low) * steps) / steps
            hertz = 440 * 2 ** ((pitches - 69) / 12)
            width = hertz * (2 ** (1 / 12 / steps) - 1)
            self.register_buffer(f"filters_{number}", triangles(hertz, window, width), persistent=False)
            count += len(pitches)
        hertz = np.geomspace(60, 14_000, SHORT_BANDS)
        self.register_buffer("short", triangles(hertz, SHORT, hertz * 0.45), persistent=False)
        count += SHORT_BANDS * (HOP // SHORT_HOP)
        hertz = np.arange(1025) * SAMPLE_RATE / 2048
        bands = [np.flatnonzero((hertz >= low) & (hertz < high)) for low, high in map(noise_band, range(NOISES))]
        self.bands = [slice(band[0], band[-1] + 1) for band in bands]
        pitches = frequencies()
        width = pitches * (2 ** (0.7 / 12) - 1)
        low = slice(BASS - LOWEST)
        self.register_buffer("bass", triangles(pitches[low], 16384, width[low]), persistent=False)
        self.register_buffer("tones", triangles(pitches, 8192, width), persistent=False)
        self.register_buffer("axes", torch.zeros(LATENT, PAIRS))
        self.register_buffer("mean", torch.zeros(PAIRS))
        self.learnt = nn.Sequential(
            nn.Conv1d(count, CHANNELS, 3, padding=1), nn.ELU(),
            nn.Conv1d(CHANNELS, CHANNELS, 5, padding=2), nn.ELU(),
            nn.Conv1d(CHANNELS, LATENT, 1),
        )  # fmt: skip
        nn.init.zeros_(self.learnt[-1].weight)
        nn.init.zeros_(self.learnt[-1].bias)

    @torch.no_grad()
    def features(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """→ all that is heard (batch, features, frames), and guesses of the pairs' log amplitudes (batch, PAIRS, …)."""
        frames = (audio.shape[1] - 2 * CONTEXT) // HOP
        spectra, parts = {}, []
        reach = {16384: self.filters_0.shape[1], 8192: self.filters_1.shape[1], 2048: 1025}  # bins that are looked at
        for window in (16384, 8192, 2048):
            start = CONTEXT + HOP // 2 - window // 2
            piece = audio[:, start : start + window + (frames - 1) * HOP]
            hann = torch.hann_window(window, device=audio.device)
            spectrum = torch.stft(piece, window, HOP, window=hann, center=False, return_complex=True)
            spectra[window] = spectrum[:, : reach[window]].abs() * (2 / hann.sum())
        for number, (window, *_) in enumerate(PITCHED):
            parts.append(through(getattr(self, f"filters_{number}"), spectra[window]))
        start = CONTEXT + SHORT_HOP // 2 - SHORT // 2
        hann = torch.hann_window(SHORT, device=audio.device)
        piece = audio[:, start : start + SHORT + (frames * HOP // SHORT_HOP - 1) * SHORT_HOP]
        short = torch.stft(piece, SHORT, SHORT_HOP, window=hann, center=False, return_complex=True).abs()
        short = through(self.short, short * (2 / hann.sum()))
        parts.append(short.unflatten(2, (frames, -1)).permute(0, 1, 3, 2).flatten(1, 2))
        guess = self.guess(spectra)
        heard = [part.clamp_min(FLOOR).log10() / 1.5 + 1.7 for part in parts]
        return torch.cat([*heard, guess / 4 + 1], 1), guess

    def guess(self, spectra: dict[int, torch.Tensor]) -> torch.Tensor:
        """Log amplitudes of tones, as shares of LOUDEST, where a semitone stands out from its neighbours; of noises."""
        bass, tones = through(self.bass, spectra[16384]), through(self.tones, spectra[8192])
        tones = torch.cat([bass, tones[:, bass.shape[1] :]], 1)
        around = F.max_pool1d(tones.transpose(1, 2), 3, 1, 1).transpose(1, 2)
        tones = torch.where(tones >= 0.7 * around, tones, 0.1 * tones) * 0.7  # filters take in several bins of a peak
        noises = [spectra[2048][:, band].median(1).values * NOISE_GAIN for band in self.bands]
        tones = (tones / LOUDEST).clamp_min(1e-6).log()
        noises = torch.stack(noises, 1).clamp_min(1e-6).log()
        return torch.cat([tones, noises], 1).clamp(QUIETEST, WIDEST)

    @torch.no_grad()
    def fit_axes(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Principal axes of each part's guesses on this audio; → loudness and offsets that the decoder starts with."""
        guess = self.features(audio)[1].transpose(1, 2).flatten(0, 1)
        mean = guess.mean(0)
        self.mean.copy_(mean)
        loudness = torch.zeros(PAIRS, LATENT, device=audio.device)
        for latents, pairs in PARTS:
            part = (guess - mean)[:, pairs]
            count = latents.stop - latents.start
            _, values, axes = torch.pca_lowrank(part, count, center=False, niter=6)
            scale = values[0] / math.sqrt(len(guess)) / 2  # the widest axis gets spread 2
            kept = float(values.square().sum() / part.square().sum())
            print(f"{count} axes hold {kept:.1%} of {part.shape[1]} log amplitudes' variance", flush=True)
            self.axes[latents, pairs] = axes.T / scale
            loudness[pairs, latents] = axes * scale
        return loudness, mean

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        heard, guess = self.features(audio)
        return self.axes @ (guess - self.mean[:, None]) + self.learnt(heard)

    def whole(self, audio: torch.Tensor) -> torch.Tensor:
        """Latents of whole clips (batch, samples), mirrored at the edges."""
        return self(F.pad(audio[:, None], (CONTEXT, CONTEXT), "reflect")[:, 0])
