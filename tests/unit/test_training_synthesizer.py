"""What is rendered is in tune, in time, in its key, and fit to listen to."""

import numpy as np
import pytest

pytest.importorskip("librosa")

from musicgen_ui.hearing import PROFILES, is_tempo, key, tempo
from training import instruments
from training.attributes import STYLES, draw_attributes
from training.composer import RANGES, compose
from training.effects import CEILING, LOUDNESS, loudness
from training.oscillators import SAMPLE_RATE
from training.synthesizer import render


@pytest.fixture(scope="module")
def clips():
    """One clip of each style: (attributes, audio)."""
    made = []
    for seed, style in enumerate(STYLES):
        attributes = draw_attributes(np.random.default_rng(200 + seed), style=style)
        made.append((attributes, render(compose(attributes, 10, seed))))
    return made


def test_same_seed_same_samples_whatever_was_kept():
    attributes = draw_attributes(np.random.default_rng(4), style="lo-fi")
    first = render(compose(attributes, 3, 9))
    instruments.held_tone.cache_clear()
    assert np.array_equal(first, render(compose(attributes, 3, 9)))


def test_clips_are_sound(clips):
    for attributes, audio in clips:
        assert audio.shape == (1, 10 * SAMPLE_RATE)
        assert audio.dtype == np.float32
        assert np.isfinite(audio).all()
        assert np.abs(audio).max() <= CEILING + 1e-3, attributes
        assert abs(audio.mean()) < 1e-4, attributes
        assert abs(loudness(audio) - LOUDNESS) < 0.5, attributes
        seconds = np.sqrt((audio.reshape(10, -1) ** 2).mean(1))
        assert seconds.min() > 0.004, attributes  # nowhere a silent second
        assert np.abs(audio[:, -8:]).max() < 1e-3, attributes  # nor a click at the end


def test_stereo_folds_to_mono_without_loss():
    attributes = draw_attributes(np.random.default_rng(8), style="pop")
    audio = render(compose(attributes, 4, 8), stereo=True)
    assert audio.shape == (2, 4 * SAMPLE_RATE)
    assert np.corrcoef(audio)[0, 1] > 0.3
    assert loudness(audio.sum(0, keepdims=True) / np.sqrt(2)) > loudness(audio) - 1.5


@pytest.mark.parametrize("name", instruments.INSTRUMENTS)
def test_in_tune(name):
    low, high = RANGES.get(name, (31, 47))
    for pitch in (low, (low + high) // 2, high):
        expected = 440 * 2 ** ((pitch - 69) / 12)
        wave = instruments.play(name, pitch, 1.8, 0.6)[: int(1.8 * SAMPLE_RATE)]
        wave = wave[int(0.15 * SAMPLE_RATE) :]
        size = 1 << 19
        spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), size))
        hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
        # The mean of the fundamental's power, since ensembles are deliberately a little apart.
        near = (hertz > expected * 2 ** (-0.7 / 12)) & (hertz < expected * 2 ** (0.7 / 12))
        power = spectrum[near] ** 2
        cents = 1200 * np.log2((hertz[near] * power).sum() / power.sum() / expected)
        assert abs(cents) < 10, (pitch, cents)


@pytest.mark.parametrize("name", ["chiptune", "synth", "brass", "electric guitar", "strings"])
def test_no_aliasing(name):
    """Nothing but noise floor between the harmonics of the highest note."""
    pitch = RANGES[name][1]
    f0 = 440 * 2 ** ((pitch - 69) / 12)
    wave = instruments.play(name, pitch, 1.5, 1.0)[: int(1.4 * SAMPLE_RATE)][int(0.2 * SAMPLE_RATE) :]
    power = np.abs(np.fft.rfft(wave * np.blackman(len(wave)))) ** 2
    hertz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    between = np.abs(hertz / f0 - np.round(hertz / f0)) > 0.25
    assert power[between].sum() < 1e-4 * power.sum()


def test_tempo_is_heard(clips):
    beats = [(a, tempo(audio[0], SAMPLE_RATE)[0]) for a, audio in clips if a.has_drums]
    right = [is_tempo(bpm, a.bpm) for a, bpm in beats]
    assert len(beats) >= 10
    assert np.mean(right) >= 0.8


def test_key_is_heard(clips):
    keyed = [(a, audio) for a, audio in clips if a.mode in PROFILES]
    right = [key(audio[0], SAMPLE_RATE)[:2] == (a.tonic, a.mode) for a, audio in keyed]
    assert len(keyed) >= 10
    assert np.mean(right) >= 0.8
