"""The verbs of MusicGen and Pipeline, on tiny random weights and real MindNLP."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from musicgen_ui import chroma
from musicgen_ui.errors import InputError
from musicgen_ui.request import Clip, Request, Settings
from tests.reference.cases import LONG, MELODIES, PROMPTS, SAMPLING_RATE, SHORT, tune

FEW = Settings(max_new_tokens=8)


def clips(*tunes, channels=1):
    return tuple(Clip(tune(notes, seconds, channels), SAMPLING_RATE, notes) for notes, seconds in tunes)


def assert_same(take, other):
    np.testing.assert_array_equal(take.codes, other.codes)
    np.testing.assert_array_equal(take.samples, other.samples)


# Settings: the model's generation config < this user's < the call's arguments


def test_defaults_are_read_from_the_generation_config(tiny):
    model = tiny("mono")
    config = model.info.generation_config
    assert (config["do_sample"], config["guidance_scale"], config["max_length"]) == (True, 3.0, 100)
    record = model.generate(["slow piano"], FEW)[0].record
    expected = {"do_sample": True, "guidance_scale": 3.0, "temperature": 1.0, "top_k": 50, "top_p": 1.0}
    assert {name: record[name] for name in expected} == expected


def test_without_max_new_tokens_all_the_room_is_used(pipeline, tiny):
    tiny("mono")
    take = pipeline.run(Request("text", ("slow piano",), model="mono", seed=1))[0]
    assert take.record["max_new_tokens"] == take.record["tokens"] == 100
    assert take.codes.shape == (4, 97)


def test_the_users_generation_config_supersedes_the_models(tiny):
    model = tiny("mono")
    edited = {"temperature": 0.3, "guidance_scale": 1.5, "top_k": 3}
    by_config = model.generate(["slow piano"], FEW, seeds=(4,), generation_config=edited)[0]
    by_arguments = model.generate(
        ["slow piano"], Settings(8, temperature=0.3, guidance_scale=1.5, top_k=3), seeds=(4,)
    )[0]
    assert {name: by_config.record[name] for name in edited} == edited
    assert_same(by_config, by_arguments)
    assert (by_config.codes != model.generate(["slow piano"], FEW, seeds=(4,))[0].codes).any()


def test_arguments_supersede_the_users_generation_config(tiny):
    model = tiny("mono")
    edited = {"temperature": 0.3, "guidance_scale": 1.5, "do_sample": True}
    settings = Settings(8, temperature=1.2, guidance_scale=2.0, do_sample=False)
    take = model.generate(["slow piano"], settings, generation_config=edited)[0]
    record = take.record
    assert (record["temperature"], record["guidance_scale"], record["do_sample"]) == (1.2, 2.0, False)
    assert_same(take, model.generate(["slow piano"], settings)[0])


def test_one_users_generation_config_leaves_the_model_as_it_was(tiny):
    model = tiny("mono")
    before = model.reference.model.generation_config.to_dict()
    model.generate(["slow piano"], FEW, generation_config={"temperature": 0.3, "do_sample": False})
    assert model.reference.model.generation_config.to_dict() == before
    assert model.generate(["slow piano"], FEW)[0].record["temperature"] == 1.0


# Lengths, progress, stop


@pytest.mark.parametrize(("kind", "codebooks", "channels"), [("mono", 4, 1), ("stereo", 8, 2)])
@pytest.mark.parametrize("tokens", [4, 5, 11])
def test_tokens_give_frames_less_the_delay(kind, codebooks, channels, tokens, tiny):
    model = tiny(kind)
    take = model.generate(["slow piano"], Settings(tokens))[0]
    assert take.codes.shape == (codebooks, tokens - 3)
    assert take.codes.dtype == np.int16
    assert take.samples.shape == (channels, 640 * (tokens - 3))
    assert take.samples.dtype == np.float32
    assert take.seconds == pytest.approx(model.info.seconds(tokens)) == pytest.approx(take.record["seconds"], abs=1e-3)
    assert take.sampling_rate == 32_000
    assert take.complete


def test_progress_counts_every_token(tiny):
    heard = []
    tiny("mono").generate(["slow piano"], FEW, progress=lambda *event: heard.append(event))
    assert heard == [*(("tokens", done, 8) for done in range(9)), ("codec", 8, 8)]


@pytest.mark.parametrize("mode", ["text", "continue", "melody"])
def test_stop_takes_effect_within_a_step_and_keeps_what_was_made(mode, tiny):
    model = tiny("melody" if mode == "melody" else "mono")
    done = []
    control = {
        "settings": Settings(40),
        "seeds": (3, 4),
        "progress": lambda stage, count, total: stage == "tokens" and done.append(count),
        "stopped": lambda: len(done) > 9,  # the tenth call of progress is of the ninth token
    }
    verbs = {
        "text": lambda control: model.generate(["slow piano"], **control),
        "continue": lambda control: model.generate_continuation(clips(SHORT), ["slow piano"], **control),
        "melody": lambda control: model.generate_with_chroma(clips(MELODIES[0]), ["slow piano"], **control),
    }
    takes = verbs[mode](control)
    assert done == list(range(10))
    whole = verbs[mode]({"settings": Settings(40), "seeds": (3, 4)})
    prompt_frames = 16 if mode == "continue" else 0  # of 0.31 s
    assert len(takes) == 2
    for take, all_of_it in zip(takes, whole, strict=True):
        assert not take.complete
        assert not take.record["complete"]
        assert take.record["tokens"] == 9
        assert take.codes.shape == (4, prompt_frames + 9 - 3)
        np.testing.assert_array_equal(take.codes, all_of_it.codes[:, : take.codes.shape[1]])
        assert all_of_it.complete
        assert all_of_it.record["tokens"] == 40


def test_stopped_before_the_first_frame_there_is_no_take(tiny):
    model = tiny("mono")
    assert model.generate(["slow piano"], FEW, stopped=lambda: True) == []
    assert model.generate_continuation(clips(SHORT), settings=FEW, stopped=lambda: True) == []


def test_after_a_stop_the_next_call_is_as_ever(tiny):
    model = tiny("mono")
    first = model.generate(["slow piano"], FEW, seeds=(1,))[0]
    model.generate(["slow piano"], FEW, stopped=lambda: True)
    assert_same(first, model.generate(["slow piano"], FEW, seeds=(1,))[0])


def test_a_fault_in_the_callback_comes_out_and_the_next_call_works(tiny):
    def broken(*event):
        raise RuntimeError("broken pipe")

    with pytest.raises(RuntimeError, match="broken pipe"):
        tiny("mono").generate(["slow piano"], FEW, progress=broken)
    assert tiny("mono").generate(["slow piano"], FEW)[0].complete


# Seeds


def test_the_same_seed_gives_the_same_samples_from_any_thread(pipeline, tiny):
    tiny("mono")
    request = Request("text", ("slow piano",), model="mono", settings=FEW, seed=11)
    here = pipeline.run(request)[0]
    elsewhere = []
    threads = [threading.Thread(target=lambda: elsewhere.append(pipeline.run(request)[0])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(elsewhere) == 2
    for take in elsewhere:
        assert_same(here, take)


def test_another_seed_gives_another_take(tiny):
    one, other = tiny("mono").generate(["slow piano"], FEW, seeds=(1, 2))
    assert (one.codes != other.codes).any()


def test_no_seed_draws_one_and_records_it(pipeline, tiny):
    tiny("mono")
    request = Request("text", ("slow piano",), model="mono", settings=FEW)
    one, other = pipeline.run(request)[0], pipeline.run(request)[0]
    assert one.record["seed"] != other.record["seed"]


def test_seeds_go_round_at_the_end(pipeline, tiny):
    tiny("mono")
    takes = pipeline.run(Request("text", ("slow piano",), model="mono", settings=FEW, seed=2**32 - 1, takes=2))
    assert [take.record["seed"] for take in takes] == [2**32 - 1, 0]


@pytest.mark.parametrize(
    "settings",
    [FEW, Settings(8, top_k=5), Settings(8, top_p=0.6), Settings(8, temperature=0.5), Settings(8, 1.0, top_k=0)],
    ids=["defaults", "top_k", "top_p", "temperature", "unguided, top_k off"],
)
def test_take_i_is_the_take_of_seed_plus_i_alone(settings, pipeline, tiny):
    tiny("mono")
    takes = pipeline.run(Request("text", PROMPTS[:1], model="mono", settings=settings, seed=20, takes=3))
    for i, take in enumerate(takes):
        alone = pipeline.run(Request("text", PROMPTS[:1], model="mono", settings=settings, seed=20 + i))[0]
        assert take.record["seed"] == alone.record["seed"] == 20 + i
        assert_same(take, alone)


def test_greedy_ignores_the_seed(tiny):
    one, other = tiny("mono").generate(["slow piano"], Settings(8, do_sample=False), seeds=(1, 2))
    assert_same(one, other)


RECORDED = {
    "unconditional": Request("unconditional", model="mono", settings=FEW, seed=1, takes=2),
    "prompts of two lengths": Request("text", PROMPTS, model="mono", settings=Settings(9, top_k=7), seed=2, takes=2),
    "stereo": Request("text", PROMPTS, model="stereo", settings=FEW, seed=3),
    "a clip": Request("continue", ("slow piano",), clips(LONG), model="mono", settings=FEW, seed=4, takes=2),
    "clips of two lengths": Request("continue", PROMPTS, clips(SHORT, LONG), model="mono", settings=FEW, seed=5),
    "stereo clips": Request("continue", clips=clips(SHORT, LONG, channels=2), model="stereo", settings=FEW, seed=6),
    "a melody": Request("melody", ("slow piano",), clips(MELODIES[0]), model="melody", settings=FEW, seed=7, takes=2),
    "melodies of two lengths": Request(
        "melody", ("slow piano",), clips(*MELODIES), model="melody", settings=FEW, seed=8
    ),
    "a melody without its drums": Request(
        "melody", ("slow piano",), clips(MELODIES[0]), model="melody", settings=FEW, seed=7, without_drums=True
    ),
    "melodies and prompts": Request("melody", PROMPTS, clips(*MELODIES), model="melody", settings=FEW, seed=9),
    "one prompt empty": Request("continue", ("", PROMPTS[1]), clips(SHORT), model="mono", settings=FEW, seed=11),
    "a melody checkpoint's prompts": Request("text", PROMPTS, model="melody", settings=FEW, seed=12),
    "the user's generation config": Request(
        "text", ("slow piano",), model="mono", settings=FEW, seed=10, generation_config={"temperature": 0.4, "top_k": 9}
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_record_makes_the_take_again_alone(name, pipeline, tiny):
    request = RECORDED[name]
    tiny(request.model)
    for take in pipeline.run(request):
        record = take.record
        again = Request(
            mode=record["mode"],
            prompts=(record["prompt"],),
            clips=tuple(clip for clip in request.clips if clip.name == record["clip"]),
            model=record["model"],
            settings=Settings(**{name: record[name] for name in vars(Settings())}),
            seed=record["seed"],
            padded_seconds=record.get("padded_seconds", 0.0),
            padded_tokens=record["padded_tokens"],
            without_drums=record.get("without_drums", False),
        )
        assert_same(take, pipeline.run(again)[0])


def test_drums_are_left_out_before_the_melody_is_told(tiny):
    """Asking for it is the same as handing over the clip without them."""
    (clip,) = clips(MELODIES[0])
    noise = np.random.default_rng(0).standard_normal(clip.samples.shape)
    hits = 3 * noise * (np.arange(clip.samples.shape[1]) % 4_000 < 800)
    hit = replace(clip, samples=(clip.samples + hits).astype(np.float32))
    tune_alone = replace(hit, samples=chroma.tune(hit, SAMPLING_RATE, without_drums=True)[None])
    model = tiny("melody")
    asked, same, other = (
        model.generate_with_chroma([given], ["slow piano"], without_drums=asked, settings=Settings(24), seeds=(3,))[0]
        for given, asked in ((hit, True), (tune_alone, False), (hit, False))
    )
    assert (asked.record["without_drums"], same.record["without_drums"]) == (True, False)
    assert_same(asked, same)
    assert (asked.codes != other.codes).any()


def test_a_record_is_json(tiny):
    import json

    for take in tiny("mono").generate_continuation(clips(SHORT, LONG), PROMPTS, settings=FEW):
        assert json.loads(json.dumps(take.record)) == take.record
        assert {"clip_encoder", "text_encoder", "decoder", "codec"} <= set(take.record["stages"])


# Clips


@pytest.mark.parametrize("kind", ["mono", "stereo"])
def test_a_continuation_starts_with_its_clip(kind, tiny):
    model = tiny(kind)
    takes = model.generate_continuation(clips(SHORT), ["slow piano"], settings=FEW, seeds=(1, 2))
    frames = 16
    one, other = takes
    assert one.codes.shape == (model.info.codebooks * model.info.channels, frames + 8 - 3)
    np.testing.assert_array_equal(one.codes[:, :frames], other.codes[:, :frames])
    assert (one.codes[:, frames:] != other.codes[:, frames:]).any()
    longer = model.generate_continuation(clips(SHORT), ["slow piano"], settings=Settings(12), seeds=(1,))[0]
    same = frames + 8 - 6  # the last three frames' later codebooks are drawn with the pattern's end in sight
    np.testing.assert_array_equal(longer.codes[:, :same], one.codes[:, :same])


def test_clip_and_new_music_are_held_within_a_users_max_length(pipeline, tiny):
    tiny("mono")
    request = Request(
        "continue", ("slow piano",), clips(LONG), model="mono", settings=Settings(5_000), seed=1,
        generation_config={"max_length": 90},
    )  # fmt: skip
    take = pipeline.run(request)[0]
    assert take.record["max_new_tokens"] == take.record["tokens"] == 90 - 24  # 24 frames in 0.475 s
    assert take.codes.shape == (4, 90 - 3)


def test_a_clip_that_fills_a_users_max_length_is_refused(pipeline, tiny):
    tiny("mono")
    config = {"max_length": 100}
    with pytest.raises(InputError) as fault:
        pipeline.run(Request("continue", clips=clips(("cde", 1.95)), model="mono", seed=1, generation_config=config))
    assert fault.value.key == "error.clip_fills_model"


def test_clips_are_resampled_and_mixed_for_the_model(tiny):
    samples = tune("ceg", 0.4, channels=2)
    at_48k = Clip(np.repeat(samples, 3, axis=1)[:, ::2], 48_000)
    mono = tiny("mono").generate_continuation([at_48k], settings=FEW)[0]
    stereo = tiny("stereo").generate_continuation([Clip(samples[:1], SAMPLING_RATE)], settings=FEW)[0]
    assert mono.codes.shape == (4, 20 + 5)
    assert stereo.codes.shape == (8, 20 + 5)
    np.testing.assert_array_equal(stereo.codes[::2, :20], stereo.codes[1::2, :20])  # one channel, heard on both sides


def test_wrong_verbs_are_refused(tiny):
    with pytest.raises(InputError) as fault:
        tiny("melody").generate_continuation(clips(SHORT))
    assert fault.value.key == "error.model_cannot_continue"
    with pytest.raises(InputError) as fault:
        tiny("mono").generate_with_chroma(clips(SHORT))
    assert fault.value.key == "error.model_cannot_follow"
    with pytest.raises(ValueError, match="as many prompts as clips"):
        tiny("mono").generate_continuation(clips(SHORT, LONG), ["a", "b", "c"])


# Odd settings and prompts


@pytest.mark.parametrize(
    "settings",
    [
        Settings(6, 1.0),
        Settings(6, top_k=10_000),
        Settings(6, top_k=0),
        Settings(6, top_p=0.01),
        Settings(6, 20.0, temperature=10.0),
    ],
    ids=["guidance 1", "top_k above the vocabulary", "top_k 0", "top_p small", "extremes"],
)
@pytest.mark.parametrize("kind", ["mono", "melody"])
def test_odd_settings_work(settings, kind, pipeline, tiny):
    tiny(kind)
    take = pipeline.run(Request("text", ("slow piano",), model=kind, settings=settings, seed=1))[0]
    assert take.codes.shape == (4, 3)
    assert np.isfinite(take.samples).all()
    assert take.codes.min() >= 0
    assert take.codes.max() < 64


@pytest.mark.parametrize(
    "prompt", ["🎹🔥", "عزف بيانو هادئ", "慢速钢琴", "a" * 2_000, "piano " * 600, "\u202eonaip", "<pad></s><unk>"],
    ids=["emoji", "right to left", "Chinese", "one long word", "many words", "control character", "special tokens"],
)  # fmt: skip
def test_odd_prompts_work(prompt, tiny):
    take = tiny("mono").generate([prompt], Settings(4))[0]
    assert take.codes.shape == (4, 1)
    assert np.isfinite(take.samples).all()


def test_unload_gives_the_model_back(pipeline, tiny_folder):
    pipeline.load("passing", tiny_folder("mono"))
    assert "passing" in pipeline
    pipeline.unload("passing")
    assert "passing" not in pipeline


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "{"),
        ("config.json", '{"model_type": "musicgen"}'),
        ("generation_config.json", "[1"),
        ("tokenizer.json", "{}"),
        ("model.safetensors", "not weights"),
        ("preprocessor_config.json", "?"),
    ],
)
def test_a_broken_checkpoint_gives_a_sentence_and_the_pipeline_goes_on(
    file, content, pipeline, tiny, tiny_folder, tmp_path
):
    import shutil

    folder = tmp_path / "broken"
    shutil.copytree(tiny_folder("mono"), folder)
    (folder / file).write_text(content)
    with pytest.raises(InputError) as fault:
        pipeline.load("broken", folder)
    assert fault.value.key == "error.checkpoint_broken"
    assert fault.value.params["file"] == file
    assert "broken" not in pipeline
    assert tiny("mono").generate(["slow piano"], Settings(4))[0].complete


def test_a_checkpoint_with_missing_weights_is_refused(pipeline, tiny_folder, tmp_path):
    import shutil

    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "missing"
    shutil.copytree(tiny_folder("mono"), folder)
    weights = load_file(folder / "model.safetensors")
    del weights["decoder.lm_heads.0.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError) as fault:
        pipeline.load("missing", folder)
    assert fault.value.key == "error.checkpoint_broken"
