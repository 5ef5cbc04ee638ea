"""Loops are whole bars of what is really there, their join is no louder than the music, and no beat is no loop."""

import librosa
import numpy as np
import pytest
import soundfile

from musicgen_ui import cli, loops
from musicgen_ui.errors import InputError
from musicgen_ui.loops import find_loop
from musicgen_ui.tags import read_record
from musicgen_ui.take import Take
from musicgen_ui.ui.asks import Ask
from musicgen_ui.ui.shelves import Shelf
from training import data
from training.attributes import FRAME_RATE
from training.synthesizer import render

RATE = 32_000
NEAR = RATE // 100  # samples around the join in which it may be heard


def band(bpm, beats, seconds, late=0.0):
    """(1, samples): a click on every beat, louder on the first of each bar, over a bass and two chords in turn."""
    hit = np.random.default_rng(0).standard_normal(RATE // 10) * np.exp(-np.arange(RATE // 10) / RATE * 90)
    t = np.arange(round(seconds * RATE)) / RATE
    wave = np.zeros_like(t)
    for beat in range(int((seconds - late) * bpm / 60)):
        since = np.maximum(t - late - beat * 60 / bpm, -0.1)
        bar, place = divmod(beat, beats)
        pitch = 110 * 2 ** ((0 if bar % 2 == 0 else 5) / 12) * (1 if place == 0 else 2.52 if place == 1 else 3)
        tone = sum(np.sin(2 * np.pi * pitch * k * since) / k for k in (1, 2, 3)) * np.exp(-since * 1.5) * 0.25
        wave += np.where(since >= 0, tone * np.minimum(1, since * 200), 0)
        at = round((late + beat * 60 / bpm) * RATE)
        wave[at : at + len(hit)] += hit[: len(wave) - at] * (0.3 if place else 0.6)
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)[None]


def seam(samples):
    """How abrupt the join is beside the most abrupt place within: the waveform's bend, its spectrum's flux."""
    twice = np.tile(samples[0], 2).astype(float)
    middle = len(twice) // 2
    bend = np.abs(np.diff(twice, 2))
    spectra = np.abs(librosa.stft(twice, n_fft=512, hop_length=64))
    flux = np.maximum(np.diff(spectra, axis=1), 0).sum(axis=0)
    join, frame, near = middle - 1, middle // 64, NEAR // 64
    inside = slice(NEAR, middle - NEAR), slice(near, frame - near)
    return (
        bend[join - 3 : join + 2].max() / bend[inside[0]].max(),
        flux[frame - near : frame + near].max() / flux[inside[1]].max(),
    )


@pytest.mark.parametrize("late", [0.0, 0.21])
@pytest.mark.parametrize(("bpm", "beats"), [(96, 4), (120, 4), (133.7, 4), (100, 3), (150, 3)])
def test_a_loop_is_whole_bars_without_a_seam(bpm, beats, late):
    take = band(bpm, beats, 10.4, late)
    samples, loop = find_loop(take, RATE, "take")
    bar = 60 / bpm * beats * RATE
    assert loop.beats == beats
    assert loop.bpm == pytest.approx(bpm, rel=0.003)
    assert loop.bars >= 2
    assert samples.shape[1] == pytest.approx(loop.bars * bar, rel=0.01)
    mono, count = take.mean(axis=0), samples.shape[1]
    begins = [i for i in range(len(mono) - count) if np.array_equal(take[:, i : i + 999], samples[:, :999])]
    rising = np.flatnonzero((mono[:-1] < 0) & (mono[1:] >= 0)) + 1
    assert any(np.isin((begin, begin + count), [0, *rising]).all() for begin in begins)  # at zero crossings
    bend, flux = seam(samples)
    assert bend <= 1
    assert flux <= 1.05  # the same hit has that much more or less of it, by where the frames fall


def test_the_measure_of_seams_hears_one():
    tone = sum(np.sin(2 * np.pi * pitch * np.arange(2 * RATE) / RATE, dtype=np.float32) for pitch in (110, 277))[None]
    assert max(seam(tone)) <= 1
    assert min(seam(tone[:, :-77])) > 1


def test_the_loop_of_a_long_piece_is_that_of_its_first_minute(monkeypatch):
    first = band(120, 4, 10.4)
    alone, loop = find_loop(first, RATE, "take")
    monkeypatch.setattr(loops, "_LONGEST", 10.4)
    noise = np.random.default_rng(0).standard_normal((1, 30 * RATE)).astype(np.float32)
    whole, same = find_loop(np.concatenate([first, noise], axis=1), RATE, "take")
    assert same == loop
    np.testing.assert_array_equal(whole, alone)


def test_played_on_the_beats_stay_on_their_grid():
    samples, loop = find_loop(band(112, 4, 9.7, 0.1), RATE, "take")
    twice = np.tile(samples[0], 2)
    onsets = librosa.onset.onset_detect(y=twice, sr=RATE, hop_length=128, units="time")[1:]
    beat = 60 / loop.bpm
    assert len(onsets) >= loop.bars * loop.beats * 2 - 2
    turn = np.exp(2j * np.pi * onsets / beat)
    off = np.angle(turn / turn.mean()) / (2 * np.pi) * beat
    assert np.abs(off).max() < 0.012


def test_both_channels_are_kept_together():
    left = band(120, 4, 9.0)
    samples, _ = find_loop(np.concatenate([left, -0.5 * left]), RATE, "take")
    assert samples.shape[0] == 2
    np.testing.assert_allclose(samples[1], -0.5 * samples[0], atol=1e-6)


def test_the_bars_of_music():
    """Of a dozen pieces with drums; half and double tempo are the same bars."""
    whole = right = 0
    clips = [(seed, data.draw_clip(seed)) for seed in range(60)]
    clips = [(seed, attributes) for seed, attributes in clips if attributes.has_drums][:12]
    for seed, attributes in clips:
        samples, loop = find_loop(render(data.compose_clip(seed)), RATE, "take")
        bars = samples.shape[1] / RATE * FRAME_RATE / attributes.beat_frames / attributes.metre
        whole += abs(bars - round(bars)) < 0.01 * bars
        right += loop.beats == attributes.metre
    assert whole >= 11
    assert right >= 11


@pytest.mark.parametrize("sound", ["noise", "hum", "silence", "crumb"])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_has_no_beat_is_no_loop(sound, channels):
    t = np.arange(8 * RATE) / RATE
    wave = {
        "noise": 0.1 * np.random.default_rng(0).standard_normal(len(t)),
        "hum": 0.2 * np.sin(2 * np.pi * 50 * t),
        "silence": np.zeros(len(t)),
        "crumb": 0.1 * np.sin(np.arange(900) * 0.1),
    }[sound].astype(np.float32)
    with pytest.raises(InputError) as told:
        find_loop(np.tile(wave, (channels, 1)), RATE, "take-3.wav")
    assert told.value.key == "error.loop_no_beat"
    assert "take-3.wav" in str(told.value)


def test_less_than_a_bar_is_no_loop():
    with pytest.raises(InputError) as told:
        find_loop(band(70, 4, 3.1), RATE, "take")
    assert told.value.key == "error.loop_short"


def test_the_command_line_writes_loops_beside_the_takes(tmp_path, capsys):
    """One of two takes has a beat: it gets its loop, the other a sentence."""
    steady, calm = (
        Take(samples, RATE, np.zeros((4, 1), np.int16), {"prompt": "x", "mode": "text"})
        for samples in (band(120, 4, 8.6), np.zeros((1, 4 * RATE), np.float32))
    )
    loops, faults = cli._write_loops([steady, calm], [tmp_path / "a-1.mp3", tmp_path / "a-2.mp3"], "en")
    path = tmp_path / "a-1-loop.wav"
    assert loops == [{"file": str(path), "bars": 4, "beats": 4, "bpm": 120.0}, None]
    assert faults == "No steady beat was heard in “a-2.mp3”, so it can't be cut into a loop."
    assert capsys.readouterr().err == f"{path}: 4 bars of 4/4 at 120.0 bpm\n"
    assert soundfile.info(path).duration == pytest.approx(8, rel=0.002)
    assert read_record(path)["loop"] == {"bars": 4, "beats": 4, "bpm": 120.0}


def test_a_kept_takes_loop_is_made_once_and_goes_with_it(tmp_path):
    shelf = Shelf("", tmp_path)

    def keep(samples):
        take = Take(samples, RATE, np.zeros((4, 1), np.int16), {"prompt": "x", "mode": "text"})
        return shelf.keep((take,), Ask("text", prompts=("x",)))[0]

    first = keep(band(120, 4, 8.6))
    path, loop = first.loop
    assert (path.name, loop.bars) == ("take-1-loop.wav", 4)
    assert first.loop[1] is loop
    others = [keep(np.zeros((1, RATE), np.float32)) for _ in range(shelf.most)]
    assert not path.exists()
    for _ in range(2):
        with pytest.raises(InputError):
            others[0].loop  # noqa: B018
        others[0].wav.unlink(missing_ok=True)  # it isn't looked for again
