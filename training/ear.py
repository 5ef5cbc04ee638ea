"""Hears in many takes at once what `training.evaluate` hears in one, by degrees, so that better is told from worse.

Not the evaluation's own ears: those are librosa's, and classifiers of other features of other clips. What is rewarded
(`training.reinforce`) can't be judged by the same measure. Both said the same of 93 % of tempi (of 64 takes) and 87 %
of keys (of 400).
"""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from musicgen_ui.hearing import PROFILES, TEMPO_TOLERANCE
from training import data, measures
from training.attributes import Attributes
from training.oscillators import SAMPLE_RATE
from training.synthesizer import render

FITTED_ON, FIRST_SEED = 1_500, 400_000  # clips that instruments and drums are learnt from; the first one's seed
AT_ONCE = 50  # clips or takes
WINDOW, HOP, BANDS = 2048, 256, 96  # of the spectra that strokes and timbres are heard in
TONE_WINDOW, TONE_HOP = 16_384, 2048  # of those that pitch classes are heard in
TONES, TONE_WIDTH = (64.0, 4_200.0), 0.2  # Hz; semitones round a pitch that count as it
SHORT = 15  # frames of these in which whatever sounds less than half the time is a stroke
MEMORY = 8.0  # s over which strokes are held against each other
SLOWEST, FASTEST, USUAL = 40.0, 240.0, 120.0  # bpm; the tempo that a beat at several tempi is heard at
TEMPO_SURE, KEY_SURE = 0.1, 0.06  # lead over the next best tempo or key that makes 0.73 of 0.5


class Heard(NamedTuple):
    """What was heard, with a row per take."""

    tempo: torch.Tensor  # (takes, tempi), how well each of `Ear.tempi` fits
    key: torch.Tensor  # (takes, 24), how well each key does: 12 of major, 12 of minor
    lead: np.ndarray  # (takes, leads), probabilities
    drums: np.ndarray  # (takes, 2), probabilities


class Ear:
    """Fitted once on the synthesizer's clips; what it has learnt is kept in training/out."""

    def __init__(self, seconds: float, device: torch.device):
        """seconds: how long what it hears will be."""
        filters = measures.mel_filters(SAMPLE_RATE, WINDOW, BANDS)
        hertz = np.fft.rfftfreq(TONE_WINDOW, 1 / SAMPLE_RATE)
        self.heard = slice(*np.searchsorted(hertz, TONES))
        apart = (69 + 12 * np.log2(hertz[self.heard] / 440) - np.arange(12)[:, None] + 6) % 12 - 6
        profiles = np.array([np.roll(profile, tonic) for profile in PROFILES.values() for tonic in range(12)])
        profiles -= profiles.mean(1, keepdims=True)
        profiles /= np.linalg.norm(profiles, axis=1, keepdims=True)
        self.filters, self.classes, self.profiles = (
            torch.from_numpy(values).float().to(device)
            for values in (filters, np.exp(-0.5 * (apart / TONE_WIDTH) ** 2) / hertz[self.heard], profiles)
        )
        rate = 60 * SAMPLE_RATE / HOP
        self.lags = torch.arange(int(rate / FASTEST), int(rate / SLOWEST) + 1, device=device)
        self.tempi = (rate / self.lags).cpu()
        path = data.OUT / f"ear-{FITTED_ON}-{seconds:g}.npz"
        if not path.exists():
            self.write_features(path, seconds)
        fitted = np.load(path)
        self.leads = measures.classifier(fitted["features"], fitted["leads"])
        self.drums = measures.classifier(fitted["features"], fitted["drums"])

    def write_features(self, path: Path, seconds: float) -> None:
        """Renders clips and keeps what they sound like, and what they are."""
        seeds = range(FIRST_SEED, FIRST_SEED + FITTED_ON)
        with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
            clips = list(pool.map(_render, seeds, [seconds] * FITTED_ON, chunksize=10))
        parts = [torch.from_numpy(np.stack(clips[i : i + AT_ONCE])) for i in range(0, FITTED_ON, AT_ONCE)]
        features = [self.timbre(self.bands(part.to(self.filters.device))).cpu().numpy() for part in parts]
        known = [data.draw_clip(seed) for seed in seeds]
        drums, leads = [one.has_drums for one in known], [one.lead for one in known]
        np.savez(path, features=np.concatenate(features), leads=leads, drums=drums)

    def bands(self, audio: torch.Tensor) -> torch.Tensor:
        """audio (takes, samples) → loudness of bands in dB, (takes, bands, frames)."""
        return 10 * torch.log10((self.filters @ _power(audio, WINDOW, HOP)).clamp_min(1e-8))

    def timbre(self, bands: torch.Tensor) -> torch.Tensor:
        """What instruments are told by, (takes, features): how loud each band is on the average, when it is loud and
        when it is soft, how it rises, and how it stands out from those around it."""
        bands = bands - bands.mean((1, 2), keepdim=True)
        rises = bands.diff(dim=2).clamp_min(0)
        loud, soft = (bands.quantile(share, 2) for share in (0.9, 0.3))
        around = F.avg_pool1d(bands.transpose(1, 2), 7, 1, 3).transpose(1, 2)
        return torch.cat([bands.mean(2), loud, soft, rises.mean(2), rises.std(2), (bands - around).std(2)], 1)

    def strokes(self, bands: torch.Tensor) -> torch.Tensor:
        """How well each tempo fits, (takes, tempi): autocorrelation of what begins, in windows of MEMORY, and what is
        usual (as librosa.feature.tempo, after Grosche et al. 2010)."""
        rises = bands.diff(dim=2).clamp_min(0).mean(1)
        window = int(MEMORY * SAMPLE_RATE / HOP)
        pieces = F.pad(rises, (window // 2, window // 2)).unfold(1, window, window // 16)
        power = torch.fft.rfft(pieces * torch.hann_window(window, device=bands.device), 2 * window).abs() ** 2
        alike = torch.fft.irfft(power)[..., :window]
        alike = (alike / alike[..., :1].clamp_min(1e-9)).mean(1)[:, self.lags]
        usual = -0.5 * torch.log2(self.tempi / USUAL).to(bands.device) ** 2
        return torch.log1p(1e6 * alike.clamp_min(0)) + usual

    def keys(self, audio: torch.Tensor) -> torch.Tensor:
        """How well each key fits, (takes, 24): correlation with how long each degree sounds."""
        tones = _power(audio, TONE_WINDOW, TONE_HOP)[:, self.heard].sqrt()
        tones = F.pad(tones, (SHORT // 2, SHORT // 2), mode="replicate")
        chroma = self.classes @ tones.unfold(2, SHORT, 1).median(-1).values
        chroma = (chroma / chroma.amax(1, keepdim=True).clamp_min(1e-6)).sqrt().mean(2)
        return F.normalize(chroma - chroma.mean(1, keepdim=True), dim=1) @ self.profiles.T

    @torch.no_grad()
    def hear(self, audio: torch.Tensor) -> Heard:
        """audio (takes, samples)."""
        told = []
        for some in audio.split(AT_ONCE):
            bands = self.bands(some)
            told.append((self.strokes(bands).cpu(), self.keys(some).cpu(), self.timbre(bands).cpu()))
        tempo, key, timbre = (torch.cat(parts) for parts in zip(*told, strict=True))
        return Heard(tempo, key, self.leads.predict_proba(timbre.numpy()), self.drums.predict_proba(timbre.numpy()))

    def judge(self, heard: Heard, take: int, asked: Attributes) -> dict[str, float]:
        """How surely a take is as asked, each 0 … 1: drums, lead, bpm where there are drums, key of major and minor."""
        told = {
            "drums": float(heard.drums[take, list(self.drums.classes_).index(asked.has_drums)]),
            "lead": float(heard.lead[take, list(self.leads.classes_).index(asked.lead)]),
        }
        if asked.has_drums:
            away = torch.stack([self.tempi * octave / asked.bpm - 1 for octave in (0.5, 1, 2)]).abs().amin(0)
            told["bpm"] = _sure(heard.tempo[take], away < TEMPO_TOLERANCE, TEMPO_SURE)
        if asked.mode in PROFILES:
            right = torch.arange(24) == 12 * list(PROFILES).index(asked.mode) + asked.tonic
            told["key"] = _sure(heard.key[take], right, KEY_SURE)
        return told


def _power(audio: torch.Tensor, window: int, hop: int) -> torch.Tensor:
    """Power (takes, bins, frames) of audio (takes, samples)."""
    shape = torch.hann_window(window, device=audio.device)
    return torch.stft(audio, window, hop, window=shape, return_complex=True).abs() ** 2


def _sure(scores: torch.Tensor, right: torch.Tensor, sure: float) -> float:
    """0 … 1: how far the best of scores (n,) where `right` is ahead of the best elsewhere."""
    return float(torch.sigmoid((scores[right].max() - scores[~right].max()) / sure))


def _render(seed: int, seconds: float) -> np.ndarray:
    return render(data.compose_clip(seed, "train", seconds))[0].astype(np.float32)
