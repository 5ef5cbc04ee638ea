"""What is measured of a take is what is there; what can't be told isn't claimed; what prompts ask for is understood."""

import numpy as np
import pytest

from musicgen_ui import hearing
from musicgen_ui.hearing import asked_key, asked_tempo, chroma_cosine, hear, is_tempo
from training import data
from training.synthesizer import render

RATE = 32_000


def test_loudness_is_that_of_the_standard():
    t = np.arange(4 * RATE) / RATE
    sine = np.sin(2 * np.pi * 997 * t, dtype=np.float32)
    assert hear(sine[None], RATE).loudness == pytest.approx(-3.0, abs=0.1)  # BS.1770-4: 0 dB full scale, one channel
    assert hear(0.1 * np.stack([sine, sine]), RATE).loudness == pytest.approx(-20.0, abs=0.1)


def test_tempo_and_key_of_music():
    """Of sixteen pieces with drums; a key is rather not claimed than claimed wrongly."""
    tempi = keys = wrong = 0
    clips = [(seed, data.draw_clip(seed)) for seed in range(100)]
    for seed, attributes in [(s, a) for s, a in clips if a.has_drums and a.mode in ("major", "minor")][:16]:
        heard = hear(render(data.compose_clip(seed)), RATE)
        tempi += heard.tempo is not None and is_tempo(heard.tempo, attributes.bpm)
        if heard.tonic is not None:
            right = (heard.tonic, heard.mode) == (attributes.tonic, attributes.mode)
            keys += right
            wrong += not right
    assert tempi >= 13
    assert keys >= 10
    assert wrong <= 2


@pytest.mark.parametrize("sound", ["noise", "hum"])
def test_nothing_is_claimed_of_what_is_no_music(sound):
    rng = np.random.default_rng(0)
    hum = 0.2 * np.sin(2 * np.pi * 50 * np.arange(8 * RATE) / RATE, dtype=np.float32)
    wave = {"noise": 0.1 * rng.standard_normal(8 * RATE).astype(np.float32), "hum": hum}[sound]
    heard = hear(wave[None], RATE)
    assert heard.tempo is None
    assert heard.tonic is None
    assert heard.loudness is not None


def test_tempo_and_key_of_a_long_piece_are_those_of_its_first_minute(monkeypatch):
    first = render(data.compose_clip(2))[:, : 8 * RATE]
    alone = hear(first, RATE)
    assert alone.tempo is not None
    monkeypatch.setattr(hearing, "_LONGEST", 8.0)
    noise = np.random.default_rng(0).standard_normal((len(first), 30 * RATE)).astype(np.float32)
    whole = hear(np.concatenate([first, noise], axis=1), RATE)
    assert (whole.tempo, whole.tonic, whole.mode) == (alone.tempo, alone.tonic, alone.mode)
    assert whole.loudness != alone.loudness


def test_the_key_of_a_long_piece_is_that_of_its_first_seconds():
    tones = np.arange(20 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * pitch * tones) for pitch in (220, 261.63, 329.63)) / 4  # A minor
    other = sum(np.sin(2 * np.pi * pitch * tones) for pitch in (233.08, 293.66, 349.23)) / 4  # B♭ major
    heard = hear(np.concatenate([chord, *[other] * 3])[None].astype(np.float32), RATE)
    assert (heard.tonic, heard.mode) == (9, "minor")


def test_silence_and_crumbs_are_no_trouble():
    for samples in (np.zeros((1, 8 * RATE)), np.zeros((2, 0)), np.full((1, 100), 0.1)):
        heard = hear(samples.astype(np.float32), RATE)
        assert heard.tempo is None
        assert heard.tonic is None


def sing(notes, harmonics=1, semitones=0):
    """(samples,): half a second of each note, in semitones above A3."""
    t = np.arange(RATE // 2) / RATE
    pitches = 220 * 2 ** ((np.asarray(notes) + semitones) / 12)
    tones = [sum(np.sin(2 * np.pi * k * pitch * t) / k**2 for k in range(1, harmonics + 1)) for pitch in pitches]
    return (0.2 * np.concatenate(tones)).astype(np.float32)


def test_how_well_a_tune_is_followed():
    scale = [0, 2, 4, 5, 7, 9, 11, 12, 7, 4]
    assert chroma_cosine(sing(scale), sing(scale), RATE) == pytest.approx(1)
    assert chroma_cosine(sing(scale), sing(scale, 4, 12), RATE) > 0.7  # another instrument, an octave up
    assert chroma_cosine(sing(scale), sing(scale, 4, 5), RATE) < 0.4
    assert chroma_cosine(sing(scale), sing([*scale[3:], *scale[:3]]), RATE) < 0.4  # the same notes at other moments
    assert chroma_cosine(sing(scale), sing(scale)[: 2 * RATE], RATE) > 0.9  # over the time that both last
    assert chroma_cosine(sing(scale), np.zeros(RATE, np.float32), RATE) == 0
    others = np.random.default_rng(0).integers(0, 12, (20, 10))
    assert abs(np.mean([chroma_cosine(sing(scale), sing(notes), RATE) for notes in others])) < 0.15


def test_an_octave_and_four_percent_are_the_same_tempo():
    assert is_tempo(120, 60)
    assert is_tempo(62, 60)
    assert is_tempo(30, 60)
    assert not is_tempo(64, 60)
    assert not is_tempo(90, 60)


@pytest.mark.parametrize(
    ("prompt", "bpm"),
    [
        ("techno, 128 bpm", 128),
        ("at 90BPM, calm", 90),
        ("每分钟 96 拍的爵士", 96),
        ("120 beats per minute", 120),
        ("80s pop", None),
        ("1990 bpmx", None),
        ("", None),
    ],
)
def test_the_tempo_a_prompt_names(prompt, bpm):
    assert asked_tempo(prompt) == bpm


@pytest.mark.parametrize(
    ("prompt", "key"),
    [
        ("slow bells in D minor", (2, "minor")),
        ("a waltz in E flat major", (3, "major")),
        ("F# minor funk", (6, "minor")),
        ("Bb major", (10, "major")),
        ("in C-sharp minor", (1, "minor")),
        ("降E大调圆舞曲", (3, "major")),
        ("升F小调", (6, "minor")),
        ("C大调", (0, "major")),
        ("a major hit with minor flaws", None),
        ("D dorian", None),
    ],
)
def test_the_key_a_prompt_names(prompt, key):
    assert asked_key(prompt) == key
