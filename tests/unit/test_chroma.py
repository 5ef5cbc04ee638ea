"""The melody's pitch classes; that they are the reference's is tests/engine/test_parity.py's matter."""

import numpy as np
import pytest

from musicgen_ui.chroma import chroma_features, tune
from musicgen_ui.request import Clip

CLASSES = ("c", "c#", "d", "d#", "e", "f", "f#", "g", "g#", "a", "a#", "b")


def tone(pitch, seconds=2.0, rate=32_000):
    return np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * np.arange(round(seconds * rate)) / rate).astype(
        np.float32
    )


@pytest.mark.parametrize("octave", [48, 60, 72])
@pytest.mark.parametrize("pitch", range(12), ids=CLASSES)
def test_a_tone_has_its_pitch_class(pitch, octave):
    features = chroma_features([tone(octave + pitch)], 32_000)
    assert features.shape == (1, 1 + 64_000 // 4_096, 12)
    assert (features[0, 2:-2].argmax(axis=-1) == pitch).all()


def test_a_melody_is_followed():
    classes = chroma_features([np.concatenate([tone(60), tone(64), tone(67)])], 32_000)[0].argmax(axis=-1)
    assert [classes[7], classes[23], classes[39]] == [0, 4, 7]


@pytest.mark.parametrize("samples", [1, 100, 16_383, 16_384])
def test_short_clips_have_features(samples):
    features = chroma_features([tone(69)[:samples]], 32_000)
    assert features.shape == (1, 5, 12)
    assert (features.sum(axis=-1) == 1).all()


def test_half_a_minute_is_heard():
    assert chroma_features([tone(69, 40)], 32_000).shape == (1, 1 + 960_000 // 4_096, 12)


def test_shapes_are_enforced():
    with pytest.raises(ValueError, match=r"\(samples,\)"):
        chroma_features([np.zeros((2, 100), np.float32)], 32_000)


def song(seconds=8.0, rate=32_000):
    """(samples,): a tune of plucked notes, three a second, each with four partials."""
    rng = np.random.default_rng(1)
    notes = rng.choice([57, 60, 62, 64, 67, 69, 72], int(seconds * 3))
    t = np.arange(rate // 3) / rate
    tones = [
        sum(np.sin(2 * np.pi * 440 * 2 ** ((note - 69) / 12) * k * t) / k for k in range(1, 5)) * np.exp(-3 * t)
        for note in notes
    ]
    return (0.2 * np.concatenate(tones)).astype(np.float32)


def bursts(count, rate=32_000):
    """(count,): a burst of noise, louder than the song, every 0.37 s."""
    noise = np.random.default_rng(0).standard_normal(count)
    return (noise * np.exp(-25 * (np.arange(count) / rate % 0.37))).astype(np.float32)


def test_loud_hits_hide_a_tune_less_without_drums():
    """Share of frames told as of the clean tune: 0.76 becomes 1.00 under loud hits, 0.16 becomes 0.97 under louder."""
    clean = song()
    told = chroma_features([clean], 32_000)[0].argmax(axis=-1)

    def right(level, without_drums):
        heard = tune(Clip((clean + level * bursts(len(clean)))[None], 32_000), 32_000, without_drums)
        return float((chroma_features([heard], 32_000)[0].argmax(axis=-1) == told).mean())

    assert right(0, True) >= 0.98  # of a clean tune nothing is lost
    assert right(3, False) < 0.85 < 0.97 < right(3, True)
    assert right(10, False) < 0.4 < 0.9 < right(10, True)


def test_a_clips_tune_is_mono_at_the_models_rate_and_half_a_minute():
    clip = Clip(np.stack([tone(69, 40, 16_000), np.zeros(640_000, np.float32)]), 16_000)
    heard = tune(clip, 32_000)
    assert heard.shape == (960_000,)
    assert np.abs(heard).max() == pytest.approx(0.5, abs=0.02)
    assert tune(clip, 32_000, True).shape == (960_000,)
