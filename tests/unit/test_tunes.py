"""The picture of a clip's tune shows what the model is told, and a clip is read once however often it is looked at."""

import base64
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from PIL import Image

from musicgen_ui.chroma import chroma_features, tune
from musicgen_ui.limits import Limits
from musicgen_ui.paths import EXAMPLES
from musicgen_ui.request import Clip
from musicgen_ui.ui import tunes
from musicgen_ui.ui.asks import Ask
from musicgen_ui.ui.tunes import Tunes
from tests.ui.fake_engine import FakeEngine

PIANO = str(EXAMPLES / "piano-tune.ogg")
ENGLISH, CHINESE = (SimpleNamespace(headers={"accept-language": language}) for language in ("en", "zh-CN"))
RATE = 32_000


@pytest.fixture
def looked_at(monkeypatch):
    """Tunes on the fake engine, and the paths that were decoded."""
    read = []

    def read_clip(path, limits):
        read.append(path)
        return clip_reader(path, limits)

    clip_reader = tunes.read_clip
    monkeypatch.setattr(tunes, "read_clip", read_clip)
    return Tunes(FakeEngine(Limits()), Limits()), read


def pixels(picture):
    source = re.search(r"base64,([^\"]+)", picture)
    assert source
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source[1]))))


@pytest.mark.parametrize("without_drums", [False, True])
def test_what_is_seen_is_what_the_model_hears(looked_at, without_drums):
    picture = looked_at[0].picture(PIANO, "melody", without_drums, "nano", ENGLISH)
    samples, rate = soundfile.read(PIANO, dtype="float32", always_2d=True)
    told = chroma_features([tune(Clip(samples.T, rate), RATE, without_drums)], RATE)[0]
    seen = (pixels(picture) == (236, 196, 116)).all(axis=-1)[::-1].T  # (frames, 12)
    np.testing.assert_array_equal(seen, told.astype(bool))


def test_a_clip_is_decoded_once(looked_at):
    some, read = looked_at
    pictures = {some.picture(PIANO, "melody", drums, "nano", ENGLISH) for drums in (False, True, False)}
    assert len(pictures) == 2
    assert read == [PIANO]


def test_nothing_is_told_where_nothing_is_followed(looked_at):
    some, read = looked_at
    assert some.picture(PIANO, "continue", False, "nano", ENGLISH) == ""
    assert some.picture(None, "melody", False, "nano", ENGLISH) == ""
    assert read == []


def test_it_speaks_both_languages(looked_at):
    some, _ = looked_at
    english, chinese = (some.picture(PIANO, "melody", False, "nano", reader) for reader in (ENGLISH, CHINESE))
    assert "What the model will be told" in english
    assert "音级" in chinese
    assert "B E G E A" in re.findall('alt="([^"]+)"', chinese)[0]


def test_a_clip_that_can_not_be_read_is_one_sentence(looked_at, tmp_path):
    broken = tmp_path / "<b>.wav"
    broken.write_bytes(b"no sound")
    told = looked_at[0].picture(str(broken), "melody", False, "nano", ENGLISH)
    assert told.count("<p") == 1
    assert "can&#x27;t be read as sound" in told
    assert "<b>" not in told


def test_how_well_a_take_follows_its_clip(looked_at, tmp_path):
    samples, rate = soundfile.read(PIANO, dtype="float32", always_2d=True)
    same = Clip(samples.T, rate)

    def take(mode, sound, clips=(PIANO,)):
        return SimpleNamespace(ask=Ask(mode, clip_paths=clips), sound=(sound, RATE))

    some, _ = looked_at
    assert some.followed(take("melody", tune(same, RATE)[None])) == pytest.approx(1)
    assert some.followed(take("melody", tune(same, RATE)[None, ::-1])) < 0.5
    assert some.followed(take("continue", tune(same, RATE)[None])) is None
    assert some.followed(take("melody", samples.T, (str(tmp_path / "gone.wav"),))) is None
