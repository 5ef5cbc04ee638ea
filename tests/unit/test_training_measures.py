"""The ears of the evaluation hear what is there, and tell more distance where there is more."""

import numpy as np
import pytest

pytest.importorskip("librosa")

from training import data, measures
from training.oscillators import SAMPLE_RATE
from training.synthesizer import render

CLIP = render(data.compose_clip(3, seconds=4.0))[0]


def test_mel_filters_cover_the_spectrum():
    for window, bands in ((4096, 160), (1024, 80), (128, 8)):
        filters = measures.mel_filters(SAMPLE_RATE, window, bands)
        assert filters.shape == (bands, window // 2 + 1)
        np.testing.assert_allclose(filters.sum(1), 1)
        assert (filters >= 0).all()


def test_mel_distance_grows_with_noise():
    noise = np.random.default_rng(0).standard_normal(len(CLIP)).astype(np.float32)
    apart = [measures.mel_distance(CLIP, CLIP + level * noise) for level in (0, 1e-3, 1e-2, 1e-1)]
    assert apart[0] == 0
    assert apart == sorted(apart)
    assert apart[-1] > 5
    assert abs(measures.mel_distance(0.1 * noise, 0.2 * noise) - 20 * np.log10(2)) < 0.01


@pytest.mark.parametrize("kind", ["mp3", "opus"])
def test_the_baselines_come_back_in_time(kind):
    back = measures.compressed(CLIP, kind)
    assert back.shape == CLIP.shape
    assert np.corrcoef(back, CLIP)[0, 1] > 0.9
    assert 0.2 < measures.mel_distance(CLIP, back) < 5


def test_classifier_learns():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=200)
    features = rng.standard_normal((200, 5)) + 3 * np.eye(5)[labels]
    assert (measures.classifier(features[:150], labels[:150]).predict(features[150:]) == labels[150:]).mean() > 0.9
