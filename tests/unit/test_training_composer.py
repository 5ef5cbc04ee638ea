"""The composer keeps to its attributes and to the rules of harmony it was given."""

from itertools import pairwise

import numpy as np
import pytest

from training.attributes import FRAME_RATE, LEADS, MODES, STYLES, draw_attributes
from training.composer import RANGES, compose
from training.grooves import GROOVES
from training.harmony import lead_voices
from training.melody import CADENTIAL, RHYTHMS, WIDEST_LEAP, on_strong_beat

SEEDS = range(150)


def drawn(seed, **given):
    return draw_attributes(np.random.default_rng(seed), **given)


def leads(score):
    return [note for note in score.notes if note.part == "lead"]


def test_same_seed_same_score_and_another_seed_another():
    attributes = drawn(1, style="folk")
    assert compose(attributes, 10, 5) == compose(attributes, 10, 5)
    assert leads(compose(attributes, 10, 5)) != leads(compose(attributes, 10, 6))


def test_draws_keep_what_is_given_and_are_sensible():
    for seed in SEEDS:
        attributes = drawn(seed, lead="marimba", tonic=3)
        assert (attributes.lead, attributes.tonic) == ("marimba", 3)
        attributes, style = drawn(seed), STYLES[drawn(seed).style]
        assert style.bpm[0] <= attributes.bpm <= style.bpm[1]
        assert attributes.metre in style.metres
        assert not (attributes.solo and attributes.has_drums)
    assert len(LEADS) >= 10
    assert set(LEADS) <= set(RANGES)


def test_chord_tones_on_strong_beats():
    for seed in SEEDS:
        attributes = drawn(seed, style=list(STYLES)[seed % len(STYLES)])
        score = compose(attributes, 12, seed)
        starts = np.array([chord.start for chord in score.chords])
        for note in leads(score):
            beat = round(note.onset * FRAME_RATE / attributes.beat_frames * 4) / 4
            if on_strong_beat(beat, attributes.metre):
                chord = score.chords[np.searchsorted(starts, beat, "right") - 1]
                assert note.pitch % 12 in chord.tones, (seed, attributes, note)


def test_everybody_plays_on_the_frames_of_the_codec():
    for seed in SEEDS:
        attributes = drawn(seed)
        score = compose(attributes, 10, seed)
        strummed = {note for note in score.notes if note.part == "chords" and attributes.chords == "guitar"}
        onsets = np.array([played.onset for played in (*score.hits, *score.notes) if played not in strummed])
        np.testing.assert_allclose(onsets * FRAME_RATE, np.round(onsets * FRAME_RATE), atol=1e-9)
        assert 0.97 < 60 * FRAME_RATE / attributes.beat_frames / attributes.bpm < 1.03


def test_melody_repeats_its_motif_moves_singably_and_stays_in_range():
    repeats = 0
    for seed in SEEDS:
        attributes = drawn(seed, bpm=120, metre=4)
        notes = leads(compose(attributes, 16, seed))
        low, high = RANGES[attributes.lead]
        assert all(low <= note.pitch <= high for note in notes)
        leaps = np.abs(np.diff([note.pitch for note in notes]))
        assert leaps.max(initial=0) <= WIDEST_LEAP
        rhythms = [
            tuple(round((n.onset - 2 * bar) * 4) for n in notes if 2 * bar - 0.05 <= n.onset < 2 * bar + 1.95)
            for bar in range(8)
        ]
        repeats += len(set(rhythms)) < 8
    assert repeats == len(SEEDS)


def test_voices_move_little():
    moves = []
    for seed in SEEDS:
        voicings = lead_voices(list(compose(drawn(seed, style="ballad"), 12, seed).chords), 50, 70)
        moves += [np.abs(np.subtract(a, b)).mean() for a, b in pairwise(voicings)]
    assert np.mean(moves) < 2.5  # semitones a voice


def test_an_ending_rests_on_the_tonic():
    for seed in range(40):
        attributes = drawn(seed, bpm=120, metre=4)
        score = compose(attributes, 8.2, seed, ending=True)
        assert score.chords[-1].root == attributes.tonic
        assert score.chords[0].root == attributes.tonic
        assert leads(score)[-1].pitch % 12 == attributes.tonic


def test_drums_only_where_there_is_a_kit():
    for seed in SEEDS:
        score = compose(drawn(seed), 8, seed)
        assert bool(score.hits) == score.attributes.has_drums


@pytest.mark.parametrize("metre", [3, 4])
def test_rhythms_and_grooves_fill_the_bar(metre):
    for cell in [cell for density in RHYTHMS[metre] for cell in density] + list(CADENTIAL[metre]):
        assert sum(map(abs, cell)) == metre
    for groove in GROOVES.values():
        assert all(len(steps) == 4 * metre for steps in groove[metre].values())


def test_modes_have_seven_notes():
    assert all(len(set(scale)) == 7 and scale[0] == 0 for scale in MODES.values())
