"""Clips come from seeds alone; combinations that are held out are never drawn for training; shards are whole."""

import numpy as np
import pytest
from tokenizers import Tokenizer

pytest.importorskip("librosa")

from musicgen_ui.chroma import chroma_features
from training import data, free_text
from training.attributes import MOODS, STYLES
from training.random_weights import write_tokenizer
from training.synthesizer import render

SEEDS = range(400)


def combination(attributes):
    return attributes.style, attributes.lead, attributes.tonic, attributes.mode


def test_held_out_combinations_are_never_trained_on():
    train = {combination(data.draw_clip(seed)) for seed in SEEDS}
    held_out = {combination(data.draw_clip(seed, "held-out")) for seed in SEEDS}
    assert not train & held_out
    assert len(held_out) > 100
    assert len({style for style, *_ in held_out}) > 15
    drawn = [data.draw_attributes(np.random.default_rng(seed)) for seed in SEEDS]
    assert 0.01 < np.mean([data.is_held_out(attributes) for attributes in drawn]) < 0.15


def test_a_seed_makes_the_same_clip_and_its_melodys_chroma():
    samples, chroma = data.make_clip(5, "train", 4.0)
    again, same = data.make_clip(5, "train", 4.0)
    assert samples.dtype == np.int16
    assert samples.shape == (128_000,)
    np.testing.assert_array_equal(samples, again)
    np.testing.assert_array_equal(chroma, same)
    assert chroma.shape == (1 + 128_000 // 4096,)
    assert chroma.max() < 12
    assert not np.array_equal(samples, data.make_clip(5, "held-out", 4.0)[0])


def test_melodies_are_the_lead_alone_or_the_mix():
    mixes = 0
    for seed in range(60):
        score = data.compose_clip(seed, seconds=4.0)
        melody = data.melody_of(score, seed)
        mixes += melody is score
        if melody is not score:
            assert {note.part for note in melody.notes} <= {"lead"}
            assert not melody.hits
            assert melody.attributes.bpm == score.attributes.bpm
    assert 8 < mixes < 35


def test_the_whole_mix_is_told_as_the_app_tells_it():
    seed = next(seed for seed in range(50) if data.melody_of(data.compose_clip(seed), seed).hits)
    _, chroma = data.make_clip(seed, "train", 5.0)
    mix = render(data.compose_clip(seed, seconds=5.0))[0]
    np.testing.assert_array_equal(chroma, chroma_features([mix], 32_000)[0].argmax(-1))


def test_shards_are_written_once_and_read_back(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "SHARD_SECONDS", 8)
    monkeypatch.setattr(data, "SECONDS", 2.0)
    monkeypatch.setattr(data, "LONG_SECONDS", 4.0)
    path = data.write_shard(0, "train", tmp_path)
    clips = np.load(path)
    assert clips.shape == (4, 64_000)
    assert clips.dtype == np.int16
    assert data.read_chroma(path, len(clips)).shape == (4, 1 + 64_000 // 4096)
    written = path.stat().st_mtime_ns
    assert data.write_shard(0, "train", tmp_path).stat().st_mtime_ns == written
    long = data.write_shard(data.LONG_EVERY - 1, "train", tmp_path)
    assert np.load(long).shape == (2, 128_000)
    assert data.shards("train", tmp_path) == [path, long]
    assert data.shards("train", tmp_path, 4.0) == [long]
    assert data.shards("held-out", tmp_path) == []
    assert len({*data.shard_seeds(0), *data.shard_seeds(1), *data.shard_seeds(4)}) == 10


def test_occasions_are_said_where_they_suit():
    for row in free_text.OCCASIONS:
        english, chinese, styles, moods = row
        assert english.isascii()
        assert free_text.is_chinese(chinese)
        for style in styles.split():
            style = style.replace("_", " ")
            assert set(STYLES[style].moods) & set(moods.split()), (english, style)
        assert set(moods.split()) <= set(MOODS)
    clips = [data.draw_clip(seed) for seed in SEEDS]
    assert np.mean([bool(free_text.suiting(clip)) for clip in clips]) > 0.9
    for clip in clips:
        if clip.mood in ("sad", "dark"):
            assert "birthday" not in str(free_text.suiting(clip))


def test_captions_vary_and_some_hold_what_nobody_knows():
    captions = [text for seed in SEEDS for text in data.caption_clip(data.draw_clip(seed), seed)]
    assert captions == [text for seed in SEEDS for text in data.caption_clip(data.draw_clip(seed), seed)]
    assert all(text == text.strip() and text for text in captions)
    assert 0.4 < np.mean([free_text.is_chinese(text) for text in captions]) < 0.6
    assert len(set(captions)) > 0.8 * len(captions)
    assert 0.02 < np.mean(["birthday" in text or "party" in text for text in captions]) * 10 < 1


def test_the_tokenizer_keeps_words_and_numbers_whole(tmp_path):
    captions = [text for seed in range(400) for text in data.caption_clip(data.draw_clip(seed), seed)]
    write_tokenizer(tmp_path, captions, 2_048)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert tokenizer.encode("Slow bells in D minor at 120 bpm").tokens == [
        "▁slow", "▁bells", "▁in", "▁d", "▁minor", "▁at", "▁", "120", "▁bpm", "</s>",
    ]  # fmt: skip
    assert tokenizer.encode("钢琴，每分钟93拍").tokens[-5:] == [",", "每分钟", "93", "拍", "</s>"]
