"""The melody's pitch classes; that they are the reference's is tests/engine/test_parity.py's matter."""

import numpy as np
import pytest

from musicgen_ui.chroma import chroma_features

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
