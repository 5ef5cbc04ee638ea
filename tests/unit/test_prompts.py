"""The building blocks of a prompt: every sentence is English, and Chinese words are found for what they are."""

import itertools
import random
import re

import pytest

from musicgen_ui.checkpoints import MENU, only_english
from musicgen_ui.hearing import asked_key, asked_tempo
from musicgen_ui.prompts import (
    _GLOSSARY,
    GENRES,
    INSTRUMENTS,
    KEYS,
    MOODS,
    PALETTES,
    TEMPI,
    Chosen,
    bpm_of,
    compose,
    in_english,
    recognise,
    roll,
)
from training.attributes import STYLES
from training.captions import INSTRUMENT_EN, MOOD_EN, STYLE_EN, TEMPO_EN

NOUNS = "|".join({"piece", *(block.noun or block.english for block in GENRES)})
WORD = r"[\w-]+(?: [\w-]+)*"
ONE = rf"(?:an? )?{WORD}"
SENTENCE = re.compile(
    rf"(A|An) (?:{WORD}(?:, {WORD})* )?(?:{NOUNS})(?: with {ONE}(?:, {ONE})*(?: and {ONE})?)?"
    r"(?:, \d+ bpm)?(?:,? in [A-G] (?:major|minor))?"
)


def english(blocks) -> list[str]:
    return [block.english for block in blocks]


def combinations() -> list[Chosen]:
    """Every genre, mood, tempo and key with each other, each with its own few instruments and moods."""
    draw = random.Random(5)
    every = itertools.product(
        ["", *english(GENRES)], ["", *english(MOODS)], ["", *english(TEMPI)], ["", *english(KEYS)]
    )
    return [
        Chosen(
            genres=(genre,) if genre else (),
            instruments=tuple(draw.sample(english(INSTRUMENTS), draw.randrange(5))),
            moods=(mood, *draw.sample([m for m in english(MOODS) if m != mood], draw.randrange(3))) if mood else (),
            tempo=tempo,
            bpm=bpm_of(tempo),
            key=key,
        )
        for genre, mood, tempo, key in every
    ]


def test_every_combination_reads_as_english() -> None:
    for chosen in combinations():
        sentence = compose(chosen)
        if chosen == Chosen():
            assert sentence == ""
            continue
        assert SENTENCE.fullmatch(sentence), sentence
        article, first = sentence.split()[:2]
        assert (article == "An") == (first[0] in "aeiou"), sentence
        listed = re.search(r" with (.*?)(?:, \d+ bpm|, in [A-G] |$)", sentence)
        assert (listed is not None) == bool(chosen.instruments), sentence
        if listed:
            assert re.split(", | and ", listed[1]) == [
                name.replace("synth pad", "a synth pad") for name in chosen.instruments
            ]
            assert listed[1].count(" and ") == min(len(chosen.instruments) - 1, 1)


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        (
            Chosen(("ambient",), ("piano", "strings"), ("dreamy",), "slow", 70, "D minor"),
            "A slow, dreamy ambient piece with piano and strings, 70 bpm, in D minor",
        ),
        (Chosen(genres=("ambient",)), "An ambient piece"),
        (Chosen(tempo="unhurried", genres=("waltz",)), "An unhurried waltz"),
        (Chosen(instruments=("synth pad", "flute", "drums")), "A piece with a synth pad, flute and drums"),
        (Chosen(key="C major"), "A piece in C major"),
        (Chosen(genres=("Latin",), moods=("epic",)), "An epic Latin tune"),
        (Chosen(instruments=("violin",), more=("solo",)), "A piece with violin, solo"),
    ],
)
def test_a_sentence(chosen: Chosen, sentence: str) -> None:
    assert compose(chosen) == sentence


def test_what_a_sentence_asks_is_measured_later() -> None:
    for key in KEYS:
        sentence = compose(Chosen(genres=("folk",), tempo="fast", bpm=132, key=key.english))
        assert asked_tempo(sentence) == 132
        assert asked_key(sentence) == asked_key(key.chinese) is not None


def taught(words: dict) -> set[str]:
    return {form for forms in words.values() for form in forms}


def test_chips_write_words_that_nano_was_taught() -> None:
    assert set(english(GENRES)) <= taught(STYLE_EN)
    assert set(english(INSTRUMENTS)) - {"drums"} <= taught(INSTRUMENT_EN)
    assert set(english(MOODS)) <= taught(MOOD_EN)
    assert set(english(TEMPI)) <= taught(TEMPO_EN)


def meaning(word: str, words: dict) -> str:
    return next(name for name, forms in words.items() if word in forms)


def test_the_dice_rolls_what_goes_together() -> None:
    rolled = [roll(random.Random(seed)) for seed in range(600)]
    assert {chosen.genres[0] for chosen in rolled} == set(english(GENRES)) == set(PALETTES)
    assert len({compose(chosen) for chosen in rolled}) > 300
    for chosen in rolled:
        style = STYLES[meaning(chosen.genres[0], STYLE_EN)]
        for name in chosen.instruments:
            known = {*style.leads, *style.chords, *style.basses}
            assert name == "drums" or meaning(name, INSTRUMENT_EN) in known | {"synth", "chiptune"}, chosen
        (mood,) = chosen.moods
        assert meaning(mood, MOOD_EN) in style.moods, chosen
        assert style.bpm[0] - 8 <= (chosen.bpm or 0) <= style.bpm[1], chosen
        if chosen.key and mood in ("melancholic", "dark"):
            assert chosen.key.endswith("minor")
        if chosen.key and mood in ("happy", "playful"):
            assert chosen.key.endswith("major")


@pytest.mark.parametrize(("word", "kind", "meant"), _GLOSSARY, ids=[entry[0] for entry in _GLOSSARY])
def test_every_word_is_known_for_what_it_is(word: str, kind: str, meant: str) -> None:
    chosen, unknown = recognise(f"一首{word}的曲子")
    found = getattr(chosen, kind)
    assert found == (meant if kind == "tempo" else (meant,))
    assert unknown == ()
    fields = {name: value for name, value in vars(chosen).items() if name != kind and value}
    assert fields == {}


def test_a_word_means_one_thing() -> None:
    words = [word for word, _, _ in _GLOSSARY]
    assert len(words) == len(set(words))


@pytest.mark.parametrize(
    ("prompt", "line", "unknown"),
    [
        ("慢速的钢琴曲", "A slow piece with piano", ()),
        (
            "一首欢快的电吉他摇滚，每分钟120拍，降E小调",
            "A happy rock track with electric guitar, 120 bpm, in E flat minor",
            (),
        ),
        ("夜晚海边的慢速钢琴曲，不要鼓", "A slow piece with piano", ("夜晚海边", "不要鼓")),
        ("不太快的吉他", "A piece with acoustic guitar", ("不太快",)),
        ("lo-fi 慢速钢琴, sunset drive", "A slow lo-fi hip hop track with piano, sunset drive", ()),
        ("二胡独奏，3/4拍，古风", "A traditional Chinese piece with erhu, solo, in 3/4 time", ()),
        (
            "电钢琴和低音提琴，F#大调 90 bpm",
            "A piece with electric piano and double bass, 90 bpm, in F sharp major",
            (),
        ),
        ("不快不慢的爵士", "A mid-tempo jazz tune", ()),
        ("C大调，史诗般的管弦乐，有合唱", "An epic orchestral piece in C major", ("合唱",)),
    ],
)
def test_chinese_in_english(prompt: str, line: str, unknown: tuple[str, ...]) -> None:
    found = in_english(prompt)
    assert found.lines == (line,)
    assert found.prompt == line
    assert found.unknown == unknown


def test_lines_without_chinese_and_lines_not_understood_stay() -> None:
    found = in_english("slow piano\n\n欢快的长笛\n下雨了")
    assert found.prompt == "slow piano\n\nA happy piece with flute\n下雨了"
    assert found.lines == ("A happy piece with flute",)
    assert found.unknown == ("下雨了",)
    assert in_english("下雨了").lines == ()


def test_metas_checkpoints_know_english_only() -> None:
    for name, checkpoint in MENU.items():
        assert only_english(name) == (checkpoint.hub_id is not None)
    assert only_english("facebook/musicgen-small")
    assert not only_english("someone/else")
