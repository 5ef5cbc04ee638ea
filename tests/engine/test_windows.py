"""Pieces longer than the model holds, and prompts that change on the way, on tiny random checkpoints of 30 tokens.

Such a model's windows: 30 frames, then 18 each behind the last 12 of what is there.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from musicgen_ui.chroma import chroma_features
from musicgen_ui.decoding.tokens import DelayPattern, generate_tokens, undelayed
from musicgen_ui.request import Clip, Request, Settings
from musicgen_ui.tags import remembered
from tests.reference.cases import KINDS, LONG, MELODIES, PROMPTS, SAMPLING_RATE, SHORT, tune

ENGINES = ("mindnlp", "graph", "int8", "int4")
THREE = Settings(max_new_tokens=30 + 18 + 8 + 3)
WINDOWS = ((0, 0, 30), (30, 12, 18), (48, 12, 8))  # first frame, frames heard, new frames
CHANGING = "0:00 slow piano | 0:01 bright drums | 0:02 warm pads"


@pytest.fixture
def narrow(wide, monkeypatch):
    """`narrow("mono")` is the checkpoint of `wide`, its config saying that it holds 30 tokens."""

    def load(kind):
        model = wide(kind)
        config = {**model.info.generation_config, "max_length": 30}
        monkeypatch.setattr(model, "info", replace(model.info, generation_config=config))
        return model

    return load


def clips(*tunes, channels=1):
    return [Clip(tune(notes, seconds, channels), SAMPLING_RATE, notes) for notes, seconds in tunes]


def assert_same(take, other):
    np.testing.assert_array_equal(take.codes, other.codes)
    np.testing.assert_array_equal(take.samples, other.samples)


def by_hand(model, engine, prompts, settings, seed, windows=WINDOWS, chromas=None, given=None):
    """The codes (codebooks, frames) of continuations made one by one: `prompts` and `chromas` are the windows'."""
    generator = np.random.default_rng(seed)
    settings = settings.superseding(model.info.generation_config)
    codebooks = 4 * model.info.channels
    codes = np.empty((1, codebooks, 0), np.int64) if given is None else given
    for (start, heard, new), prompt, chroma in zip(windows, prompts, chromas or [None] * len(windows), strict=True):
        before = codes[..., start - heard : start] if heard else None
        told = Settings(**{**vars(settings), "max_new_tokens": new + 3})
        if engine == "mindnlp":
            width, config = model._conditioner.tokens([prompt]), model.info.generation_config
            columns = model.reference.generate_tokens(
                [prompt], width, chroma, before, told, config, [generator], lambda columns: True
            )
        else:
            columns = generate_tokens(
                model.decoder(engine),
                model.embeddings,
                model.conditions([prompt], (settings.guidance_scale or 1) > 1, 0, chroma),
                DelayPattern(1, codebooks, model.info.channels, model.start_token, new + 3, before),
                told,
                [generator],
                lambda columns: True,
            )
        codes = np.concatenate([codes, undelayed(columns, model.info.channels, before)[..., heard:]], axis=-1)
    return codes[0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["mono", "stereo"])
def test_three_windows_are_three_continuations(kind, engine, narrow):
    model = narrow(kind)
    take = model.generate(["slow piano"], THREE, seeds=(5,), engine=engine)[0]
    assert take.complete
    assert (take.record["windows"], take.record["tokens"]) == (3, 59)
    assert take.codes.shape[-1] == 56
    assert take.samples.shape == (KINDS[kind][1], 56 * 640)
    np.testing.assert_array_equal(take.codes, by_hand(model, engine, ["slow piano"] * 3, THREE, 5))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_same_seed_gives_the_same_piece_alone_and_in_a_batch(scale, engine, narrow):
    model = narrow("mono")
    settings = Settings(59, scale)
    batch = model.generate(PROMPTS[:1], settings, seeds=(5, 6, 7), engine=engine)
    assert len({take.codes.tobytes() for take in batch}) == 3
    for seed, take in zip((5, 6, 7), batch, strict=True):
        assert_same(take, model.generate(PROMPTS[:1], settings, seeds=(seed,), engine=engine)[0])


@pytest.mark.parametrize("kind", ["mono", "stereo", "melody"])
def test_the_exact_engine_is_the_reference_over_all_windows(kind, narrow):
    model = narrow(kind)
    greedy = Settings(59, do_sample=False)
    takes = [
        model.generate_with_chroma(clips(MELODIES[0]), ["slow piano"], settings=greedy, engine=engine)[0]
        if kind == "melody"
        else model.generate(["slow piano"], greedy, engine=engine)[0]
        for engine in ("mindnlp", "graph")
    ]
    assert len(np.unique(takes[0].codes)) > 4
    np.testing.assert_array_equal(takes[0].codes, takes[1].codes)


# Sections


@pytest.mark.parametrize("engine", ENGINES)
def test_each_section_begins_a_window_with_its_own_words(engine, narrow):
    model = narrow("mono")
    settings = Settings(113)
    take = model.generate([CHANGING], settings, seeds=(5,), engine=engine)[0]
    starts = (0, 30, 48, 50, 68, 86, 100, 110)  # 0:01 is frame 50 and 0:02 frame 100
    windows = [(start, 12 if start else 0, stop - start) for start, stop in itertools.pairwise(starts)]
    texts = ["slow piano"] * 3 + ["bright drums"] * 3 + ["warm pads"]
    np.testing.assert_array_equal(take.codes, by_hand(model, engine, texts, settings, 5, windows))
    assert (take.record["prompt"], take.record["section_frames"]) == (CHANGING, [50, 100])
    other = model.generate([CHANGING.replace("drums", "guitar")], settings, seeds=(5,), engine=engine)[0]
    np.testing.assert_array_equal(take.codes[:, :50], other.codes[:, :50])
    assert (take.codes[:, 50:100] != other.codes[:, 50:100]).any()


def test_sections_of_a_batch_are_made_again_alone(pipeline, narrow):
    narrow("mono")
    prompts = (CHANGING, "fast guitar", "calm strings | 0:03 happy bass")
    batch = pipeline.run(Request("text", prompts, model="wide-mono", settings=Settings(170), seed=3))
    for take in batch:
        assert take.record["section_frames"] == [50, 100, 150]
        assert_same(take, pipeline.run(remembered(take.record))[0])


def test_a_clips_sections_count_from_the_clips_beginning(narrow):
    model = narrow("mono")
    takes = model.generate_continuation(
        clips(("ceg", 1.0), ("gfedc", 2.0)), ["slow piano | 0:02 bright drums"], settings=Settings(80), seeds=(3,)
    )
    assert takes[0].record["section_frames"] == [100, 150]  # the shorter clip has 50 frames of padding before it
    assert [take.samples.shape[-1] for take in takes] == [(127) * 640, (177) * 640]
    longer = model._conditioner.tokens(["bright drums"])  # told to one row while the other is told "slow piano"
    assert [take.record["padded_tokens"] for take in takes] == [longer, longer]
    other = model.generate_continuation(
        clips(("ceg", 1.0), ("gfedc", 2.0)), ["slow piano | 0:02 warm pads"], settings=Settings(80), seeds=(3,)
    )
    for take, changed, border in zip(takes, other, (150, 100), strict=True):
        np.testing.assert_array_equal(take.codes[:, :border], changed.codes[:, :border])
        assert (take.codes[:, border:] != changed.codes[:, border:]).any()


# Melodies and clips


@pytest.mark.parametrize("engine", ["mindnlp", "graph", "int8"])
@pytest.mark.parametrize("kind", ["melody", "stereo-melody"])
def test_the_melody_goes_on_over_the_windows(kind, engine, narrow):
    model = narrow(kind)
    (clip,) = clips(("cegcaf", 6.0))
    take = model.generate_with_chroma([clip], ["slow piano"], settings=THREE, seeds=(2,), engine=engine)[0]
    chroma = chroma_features([clip.samples[0]], SAMPLING_RATE)
    assert chroma.shape[1] == 47
    told = []
    for start, heard, _ in WINDOWS:
        first = round((start - heard) * 640 / 4096)
        told.append(np.concatenate([chroma[:, first:], chroma[:, :first]], axis=1))
    assert (told[0][:, :20] != told[1][:, :20]).any()
    np.testing.assert_array_equal(take.codes, by_hand(model, engine, ["slow piano"] * 3, THREE, 2, chromas=told))


@pytest.mark.parametrize(("tokens", "frames"), [(33, 235), (34, 282)])
def test_a_melody_of_more_than_thirty_seconds_is_followed_to_its_end(tokens, frames, narrow, monkeypatch):
    """Where the piece is one window, it is told what the reference is told: 30 s."""
    model, told = narrow("melody"), []
    monkeypatch.setattr(model, "_generate_tokens", lambda engine, texts, *rest: told.append(rest[4]))
    model.generate_with_chroma(clips(("cegcaf", 36.0)), settings=Settings(tokens))
    assert {chroma.shape for chroma in told} == {(1, frames, 12)}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_clip_that_fills_the_model_is_continued_from_its_end(engine, narrow):
    model = narrow("mono")
    (clip,) = clips(("cegcaf", 0.9))  # 45 frames
    settings = Settings(28)
    take = model.generate_continuation([clip], ["slow piano"], settings=settings, seeds=(4,), engine=engine)[0]
    assert take.codes.shape[-1] == 45 + 25
    given = take.codes[None, :, :45].astype(np.int64)
    windows = ((45, 12, 18), (63, 12, 7))
    np.testing.assert_array_equal(
        take.codes, by_hand(model, engine, ["slow piano"] * 2, settings, 4, windows, given=given)
    )
    other = model.generate_continuation([clip], ["slow piano"], settings=settings, seeds=(5,), engine=engine)[0]
    np.testing.assert_array_equal(take.codes[:, :45], other.codes[:, :45])
    assert (take.codes[:, 45:] != other.codes[:, 45:]).any()


def test_a_clip_is_a_piece_of_its_own_length_in_a_batch(pipeline, narrow):
    narrow("mono")
    request = Request(
        "continue", ("slow piano",), tuple(clips(SHORT, ("cegcaf", 0.9))), model="wide-mono", settings=THREE, seed=1
    )
    takes = pipeline.run(request)
    assert takes[1].samples.shape[-1] == (45 + 56) * 640
    assert takes[0].samples.shape[-1] == round(0.31 * SAMPLING_RATE) + 56 * 640
    for take, clip in zip(takes, request.clips, strict=True):
        again = pipeline.run(Request(**{**vars(remembered(take.record)), "clips": (clip,)}))[0]
        assert_same(take, again)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_long_clip_is_encoded_part_by_part_as_if_at_once(channels, narrow, monkeypatch):
    from musicgen_ui.decoding import codec

    model = narrow("stereo" if channels == 2 else "mono")
    samples = tune("cegcafbagfed", 9.3, channels)[None]
    mask = np.ones((1, samples.shape[-1]), np.int64)
    whole = codec.encode(model._codec, samples, mask)
    monkeypatch.setattr(codec, "_AT_ONCE", 465)
    np.testing.assert_array_equal(codec.encode(model._codec, samples, mask), whole)
    monkeypatch.setattr(codec, "_AT_ONCE", 300)
    parts = codec.encode(model._codec, samples, mask)
    assert parts.shape == whole.shape == (1, 4 * channels, 465)
    assert (parts == whole).mean() > 0.98


# Progress, stop, sound


@pytest.mark.parametrize("engine", ["mindnlp", "graph"])
def test_progress_is_of_the_whole_piece_and_never_goes_back(engine, narrow):
    told = []
    narrow("mono").generate(["slow piano"], THREE, engine=engine, progress=lambda *event: told.append(event))
    done = [count for stage, count, _ in told if stage == "tokens"]
    assert done == sorted(done)
    assert set(done) == set(range(60))
    assert {total for _, _, total in told} == {59}
    assert told[-1] == ("codec", 59, 59)


@pytest.mark.parametrize(
    ("engine", "last"),
    [("graph", 15), ("graph", 30), ("graph", 33), ("graph", 34), ("graph", 50), ("mindnlp", 40), ("int8", 34)],
)
def test_stop_keeps_what_is_there(engine, last, narrow):
    model = narrow("mono")
    whole = model.generate(["slow piano"], THREE, seeds=(5,), engine=engine)[0]
    counts = []
    take = model.generate(
        ["slow piano"],
        THREE,
        seeds=(5,),
        engine=engine,
        progress=lambda stage, done, total: counts.append(done),
        stopped=lambda: counts[-1] >= last,
    )[0]
    frames = take.codes.shape[-1]
    assert not take.complete
    assert take.record["tokens"] == frames + 3 == last
    assert take.samples.shape[-1] == frames * 640
    np.testing.assert_array_equal(take.codes, whole.codes[:, :frames])
    same = max(0, frames - 10) * 640  # the codec's edge is heard before it
    np.testing.assert_array_equal(take.samples[:, :same], whole.samples[:, :same])


def test_stopped_at_a_border_the_windows_before_are_kept(narrow):
    counts = []
    take = narrow("mono").generate(
        ["slow piano"],
        THREE,
        progress=lambda stage, done, total: counts.append(done),
        stopped=lambda: len(counts) > 34,  # the start of the second window, before any step of it
    )[0]
    assert take.record["tokens"] == 33
    assert take.codes.shape[-1] == 30


@pytest.mark.parametrize("kind", ["mono", "stereo"])
def test_what_is_heard_on_the_way_is_the_piece_without_gaps(kind, narrow):
    pieces = []
    takes = narrow(kind).generate(
        ["slow piano"], Settings(203), seeds=(1, 2), heard=lambda piece, start: pieces.append((piece, start))
    )
    assert len(pieces) > 2
    assert [start for _, start in pieces] == list(np.cumsum([0] + [piece.shape[1] for piece, _ in pieces[:-1]]))
    np.testing.assert_array_equal(np.concatenate([piece for piece, _ in pieces], axis=1), takes[0].samples)


def test_the_sound_is_that_of_all_codes_decoded_at_once(narrow):
    model = narrow("mono")
    take = model.generate(["slow piano"], THREE, seeds=(5,))[0]
    at_once = model._streaming.stream().push(take.codes, last=True)
    np.testing.assert_allclose(take.samples[0], at_once, atol=1e-5 * np.abs(at_once).max())


def test_all_windows_share_the_decoders_room(narrow, monkeypatch):
    model = narrow("mono")
    decoder, rooms = model.decoder("graph"), []
    begin = decoder.begin
    monkeypatch.setattr(decoder, "begin", lambda rows, room, *told: (rooms.append(room), begin(rows, room, *told)))
    model.generate(["slow piano"], THREE, engine="graph")
    assert rooms == [33] * 3


def test_a_call_without_a_number_makes_what_the_model_holds(pipeline, narrow):
    narrow("mono")
    take = pipeline.run(Request("text", ("slow piano",), model="wide-mono", seed=1))[0]
    assert (take.record["windows"], take.record["tokens"]) == (1, 30)
    take = pipeline.run(Request("continue", clips=tuple(clips(LONG)), model="wide-mono", seed=1))[0]
    assert (take.record["windows"], take.record["tokens"]) == (1, 6)
