"""What every engine of ours must do, on tiny random checkpoints whose attention heads have 64 dimensions, as Meta's.

test_parity.py holds `graph` to the reference's greedy codes; here the others are held to `graph`.
"""

import numpy as np
import pytest

from musicgen_ui.errors import InputError
from musicgen_ui.request import Clip, Request, Settings
from tests.reference.cases import KINDS, LONG, MELODIES, PROMPTS, SAMPLING_RATE, SHORT, tune

ENGINES = ("graph", "float32", "int8", "int4")
FEW = Settings(max_new_tokens=10)
# Of logits, relative L2: random weights are the hardest to round.
LARGEST_ERROR = {"float32": 5e-6, "int8": 0.04, "int4": 0.3}


def clips(*tunes, channels=1):
    return [Clip(tune(notes, seconds, channels), SAMPLING_RATE, notes) for notes, seconds in tunes]


def generate(model, engine, prompts=PROMPTS[:1], given=(), **control):
    control = {"settings": FEW, "engine": engine} | control
    if given and model.info.melody:
        return model.generate_with_chroma(clips(*given), prompts, **control)
    if given:
        return model.generate_continuation(clips(*given, channels=model.info.channels), prompts, **control)
    if any(prompts):
        return model.generate(prompts, **control)
    return model.generate_unconditional(**control)


def assert_same(take, other):
    np.testing.assert_array_equal(take.codes, other.codes)
    np.testing.assert_array_equal(take.samples, other.samples)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
def test_all_modes_run_and_are_the_same_again(kind, engine, wide):
    model = wide(kind)
    melody, channels = KINDS[kind]
    for prompts, given in ((PROMPTS, ()), (("",), ()), (PROMPTS, MELODIES if melody else (SHORT, LONG))):
        takes = generate(model, engine, prompts, given, seeds=(3,))
        assert len(takes) == max(len(prompts), len(given))
        for take, again in zip(takes, generate(model, engine, prompts, given, seeds=(3,)), strict=True):
            assert take.record["engine"] == engine
            assert take.samples.shape[0] == channels
            assert np.isfinite(take.samples).all()
            assert_same(take, again)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("prompts", "given"), [(PROMPTS[:1], ()), (("",), ()), (PROMPTS[:1], (SHORT,))])
def test_a_take_is_the_same_alone_and_among_eight(prompts, given, engine, wide):
    model, seeds = wide("mono"), range(5, 13)
    batch = generate(model, engine, prompts, given, seeds=seeds)
    assert len({take.codes.tobytes() for take in batch}) == 8
    for seed, take in list(zip(seeds, batch, strict=True))[::3]:
        assert_same(take, generate(model, engine, prompts, given, seeds=(seed,))[0])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_continuation_goes_on_from_its_clip(engine, wide):
    model = wide("mono")
    for take, frames in zip(generate(model, engine, given=(SHORT, LONG)), (24, 24), strict=True):
        assert take.codes.shape[-1] == frames + 10 - 3  # the shorter clip is padded to the longer
    one, other = (generate(model, engine, given=(clip,), seeds=(1,))[0] for clip in (SHORT, ("bag", 0.31)))
    assert (one.codes[:, 16:] != other.codes[:, 16:]).any()  # what follows depends on the clip


@pytest.mark.parametrize("engine", ENGINES)
def test_melodies_and_descriptions_are_heard(engine, wide):
    model = wide("melody")
    codes = [
        generate(model, engine, (prompt,), given, seeds=(1,))[0].codes
        for prompt, given in ((PROMPTS[0], MELODIES[:1]), (PROMPTS[0], MELODIES[1:]), (PROMPTS[1], MELODIES[:1]))
    ]
    assert (codes[0] != codes[1]).any()
    assert (codes[0] != codes[2]).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_stop_keeps_what_was_made(engine, wide):
    model = wide("stereo")
    counts = []
    take = generate(
        model,
        engine,
        settings=Settings(40),
        seeds=(3,),
        progress=lambda stage, done, total: counts.append(done),
        stopped=lambda: len(counts) > 30,
    )[0]
    assert not take.complete
    assert take.record["tokens"] == 30
    whole = generate(model, engine, settings=Settings(40), seeds=(3,))[0]
    same = 30 - 4  # frames; the next one's later codebooks may have the pattern's end in sight
    np.testing.assert_array_equal(take.codes[:, :same], whole.codes[:, :same])


@pytest.mark.parametrize("engine", ENGINES)
def test_pieces_heard_while_it_is_made_are_the_first_takes_sound(engine, wide):
    model = wide("stereo")
    pieces = []
    takes = generate(
        model, engine, settings=Settings(90), seeds=(1, 2), heard=lambda piece, start: pieces.append((piece, start))
    )
    assert len(pieces) > 1
    assert [start for _, start in pieces] == list(np.cumsum([0] + [piece.shape[1] for piece, _ in pieces[:-1]]))
    np.testing.assert_array_equal(np.concatenate([piece for piece, _ in pieces], axis=1), takes[0].samples)


@pytest.mark.parametrize("kind", ["mono", "melody"])
def test_logits_are_near_the_graphs(kind, wide):
    model = wide(kind)
    rng = np.random.default_rng(2)
    inputs = rng.standard_normal((2, 40, 128)).astype(np.float32)
    states = None if kind == "melody" else rng.standard_normal((2, 6, 128)).astype(np.float32)
    mask = None if states is None else np.array([[True] * 6, [True] * 4 + [False] * 2])
    logits = {}
    for engine in ENGINES:
        decoder = model.decoder(engine)
        decoder.begin(2, 64, states, mask)
        steps = [decoder.feed(inputs[:, :30])] + [decoder.feed(inputs[:, step : step + 1]) for step in range(30, 40)]
        logits[engine] = np.stack(steps)
    for engine, largest in LARGEST_ERROR.items():
        error = np.linalg.norm(logits[engine] - logits["graph"]) / np.linalg.norm(logits["graph"])
        assert 0 < error < largest, f"{engine}: {error:.3f}"


@pytest.mark.parametrize("kind", KINDS)
def test_float32_makes_the_codes_of_mindnlp(kind, wide):
    """Also where they are drawn."""
    melody, _ = KINDS[kind]
    for prompts, given in ((PROMPTS, ()), (("",), ()), (PROMPTS, MELODIES if melody else (SHORT, LONG))):
        for sampled in (False, True):
            settings = Settings(16, do_sample=sampled)
            takes, others = (
                generate(wide(kind), engine, prompts, given, settings=settings, seeds=(3, 4))
                for engine in ("float32", "mindnlp")
            )
            for take, other in zip(takes, others, strict=True):
                np.testing.assert_array_equal(take.codes, other.codes)


@pytest.mark.parametrize("engine", ENGINES)
def test_without_guidance_no_second_row_is_computed(engine, wide, monkeypatch):
    model = wide("mono")
    decoder, rows = model.decoder(engine), []
    begin = decoder.begin
    monkeypatch.setattr(decoder, "begin", lambda count, *rest: (rows.append(count), begin(count, *rest)))
    generate(model, engine, seeds=(1, 2))
    generate(model, engine, settings=Settings(10, guidance_scale=1.0), seeds=(1, 2))
    generate(model, engine, ("",), seeds=(1, 2))
    assert rows == [4, 2, 2]


def test_a_description_is_read_once(wide, monkeypatch):
    model = wide("mono")
    calls = []
    encoder = model._conditioner.text_encoder
    monkeypatch.setattr(model._conditioner, "text_encoder", lambda **inputs: calls.append(1) or encoder(**inputs))
    for seed in (1, 2):
        generate(model, "graph", ("a song that nobody has asked for",), seeds=(seed,))
    assert len(calls) == 1
    generate(model, "graph", ("",), seeds=(1,))
    assert len(calls) == 1


def test_auto_is_exact_for_what_is_small(wide):
    assert generate(wide("mono"), "auto")[0].record["engine"] == "float32"


def test_other_heads_can_only_be_run_exactly(pipeline, tiny, tiny_folder):
    tiny("mono")
    with pytest.raises(InputError) as fault:
        pipeline.run(Request("text", PROMPTS, model="mono", engine="int8", seed=1, settings=FEW))
    assert fault.value.key == "error.engine_model"
    with pytest.raises(InputError):
        pipeline.load("mono", tiny_folder("mono"), "int4")


def test_quantised_weights_are_kept_and_made_again_where_broken(wide, tmp_path, monkeypatch):
    from musicgen_ui.decoding import store

    model = wide("mono")
    monkeypatch.setattr(store.constants, "HF_HOME", str(tmp_path))
    monkeypatch.setattr(store, "_WORTH_KEEPING", 0)
    made = {name: array.copy() for name, array in store.quantized_weights(model.weights, model.tensors, 8).items()}
    path = store.kept_path(model.tensors, 8)
    assert path.is_relative_to(tmp_path)
    monkeypatch.setattr(store, "pack_decoder", lambda *_: pytest.fail("made again"))
    kept = store.quantized_weights(model.weights, model.tensors, 8)
    monkeypatch.undo()
    monkeypatch.setattr(store.constants, "HF_HOME", str(tmp_path))
    monkeypatch.setattr(store, "_WORTH_KEEPING", 0)
    assert made.keys() == kept.keys()
    for name in made:
        np.testing.assert_array_equal(made[name], kept[name])
    path.write_bytes(path.read_bytes()[:-100])
    left = path.with_name(f".{path.stem}-0123456789abcdef.part")
    left.write_bytes(b"of a process that was killed")
    again = store.quantized_weights(model.weights, model.tensors, 8)
    np.testing.assert_array_equal(again["heads"], made["heads"])
    assert not left.exists()
