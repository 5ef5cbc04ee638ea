"""Captions say nothing that isn't so, and seldom the same."""

import re

import numpy as np

from training.attributes import MODES, draw_attributes
from training.captions import (
    INSTRUMENT_EN,
    INSTRUMENT_ZH,
    MODE_ZH,
    MOOD_EN,
    MOOD_ZH,
    STYLE_EN,
    STYLE_ZH,
    TEMPO_EN,
    TEMPO_ZH,
    write_captions,
)

RNG = np.random.default_rng(3)
CLIPS = [draw_attributes(RNG) for _ in range(400)]
CAPTIONS = [(clip, caption) for clip in CLIPS for caption in write_captions(clip, RNG, 6)]
KEY_EN = re.compile(r"\b([A-G])( flat|♭|b| sharp|♯|#)? (major|minor|dorian|mixolydian|lydian)", re.IGNORECASE)
KEY_ZH = re.compile(r"(降|升)?([A-G]) ?(" + "|".join(sorted(MODE_ZH.values(), key=len, reverse=True)) + ")")


def named(caption, vocabulary):
    """The keys of a vocabulary whose words a caption holds; where words overlap the longest counts."""
    words = sorted(((word, key) for key, forms in vocabulary.items() for word in forms), key=lambda pair: -len(pair[0]))
    found, rest = set(), caption.lower()
    for word, key in words:
        pattern = re.escape(word.lower())
        if word.isascii():
            pattern = rf"(?<![a-z0-9-]){pattern}(?![a-z0-9])"
        if re.search(pattern, rest):
            found.add(key)
            rest = re.sub(pattern, "·", rest)
    return found


def test_instruments_are_the_clips_own():
    words = {key: (*INSTRUMENT_EN[key], *INSTRUMENT_ZH[key]) for key in INSTRUMENT_EN}
    styles = {("style", key): (*STYLE_EN[key], *STYLE_ZH[key]) for key in STYLE_EN}
    for clip, caption in CAPTIONS:
        heard = {key for key in named(caption, words | styles) if isinstance(key, str)}
        assert heard <= {clip.lead, clip.chords, clip.bass}, (clip, caption)


def test_style_mood_and_tempo_are_true():
    instruments = {("player", key): (*INSTRUMENT_EN[key], *INSTRUMENT_ZH[key]) for key in INSTRUMENT_EN}
    for english, chinese, attribute in (
        (STYLE_EN, STYLE_ZH, "style"), (MOOD_EN, MOOD_ZH, "mood"), (TEMPO_EN, TEMPO_ZH, "tempo"),
    ):  # fmt: skip
        words = {key: (*english[key], *chinese[key]) for key in english}
        # A slow song's name has the word slow in it, and a style's name may hold an instrument's or a mood's word.
        others = {("style", key): (*STYLE_EN[key], *STYLE_ZH[key]) for key in STYLE_EN} if attribute != "style" else {}
        for clip, caption in CAPTIONS:
            said = {key for key in named(caption, words | others | instruments) if isinstance(key, str)}
            assert said <= {getattr(clip, attribute)}, (clip, caption)


def test_key_tempo_and_metre_figures_are_true():
    keys = numbers = metres = 0
    for clip, caption in CAPTIONS:
        for letter, accidental, mode in KEY_EN.findall(caption):
            sign = {"": "", "flat": "b", "♭": "b", "b": "b", "sharp": "#", "♯": "#", "#": "#"}[accidental.strip()]
            assert (letter + sign, mode.lower()) == (clip.tonic_name, clip.mode), (clip, caption)
            keys += 1
        for accidental, letter, mode in KEY_ZH.findall(caption):
            sign = {"": "", "降": "b", "升": "#"}[accidental]
            assert (letter + sign, mode) == (clip.tonic_name, MODE_ZH[clip.mode]), (clip, caption)
            keys += 1
        for number in re.findall(
            r"(?<!\d)([6-9]\d|1[0-8]\d)(?= ?(?:bpm|beats|拍))|(?:速度|每分钟)(\d+)", caption, re.IGNORECASE
        ):
            assert int("".join(number)) == clip.bpm, (clip, caption)
            numbers += 1
        for beats in re.findall(r"([34])/4", caption):
            assert int(beats) == clip.metre, (clip, caption)
            metres += 1
    assert keys > 500
    assert numbers > 300
    assert metres > 50


def test_drums_are_promised_only_where_they_play():
    for clip, caption in CAPTIONS:
        none = re.search(r"without drums|no drums|no percussion|没有鼓|无鼓|不要鼓", caption)
        some = not none and re.search(r"with drums|drum beat|with percussion|带鼓点|有鼓|配鼓", caption)
        assert not none or not clip.has_drums, (clip, caption)
        assert not some or clip.has_drums, (clip, caption)


def test_captions_vary_and_half_are_chinese():
    texts = [caption for _, caption in CAPTIONS]
    assert len(set(texts)) > 0.85 * len(texts)
    chinese = np.mean([any("\u4e00" <= letter <= "\u9fff" for letter in text) for text in texts])
    assert 0.4 < chinese < 0.6
    assert all(
        text and text == text.strip() and "  " not in text and "的的" not in text and "，，" not in text
        for text in texts
    )


def test_tonic_names_are_what_musicians_write():
    names = {(mode, draw_attributes(np.random.default_rng(0), tonic=8, mode=mode).tonic_name) for mode in MODES}
    assert ("major", "Ab") in names
    assert ("minor", "G#") in names
