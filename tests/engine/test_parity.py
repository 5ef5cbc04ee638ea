"""Our pipeline on MindNLP against plain torch + transformers, on the same tiny weights and inputs.

The reference values are stored: tests/reference/README.md says how they are made. Codes and melody features must be
equal in every place; sound may differ by 1e-4 of its peak (it is float32 through another library's convolutions).
"""

from pathlib import Path

import numpy as np
import pytest

from musicgen_ui.chroma import chroma_features
from musicgen_ui.request import Clip, Settings
from tests.reference.cases import CASES, CHROMA_CLIPS, KINDS, SAMPLING_RATE, STRIDE, TOKENS

REFERENCE = np.load(Path(__file__).parents[1] / "reference" / "reference.npz")


@pytest.mark.parametrize("engine", ["mindnlp", "graph"])
@pytest.mark.parametrize("name", CASES)
def test_codes_and_sound_equal_the_reference(name, engine, tiny):
    case = CASES[name]
    melody, channels = KINDS[case.kind]
    model = tiny(case.kind)
    clips = [Clip(sound, SAMPLING_RATE) for sound in case.sounds]
    settings = Settings(max_new_tokens=TOKENS, do_sample=False, guidance_scale=case.guidance_scale)
    if clips and melody:
        takes = model.generate_with_chroma(clips, case.prompts, settings=settings, engine=engine)
    elif clips:
        takes = model.generate_continuation(clips, case.prompts, settings=settings, engine=engine)
    elif any(case.prompts):
        takes = model.generate(case.prompts, settings, engine=engine)
    else:
        takes = model.generate_unconditional(settings, engine=engine)

    codes = REFERENCE[f"case/{name}/codes"]
    assert len(takes) == len(codes)
    for row, take in enumerate(takes):
        assert take.record["engine"] == engine
        np.testing.assert_array_equal(take.codes, codes[row])
        audio, peak = REFERENCE[f"case/{name}/audio{row}"], REFERENCE[f"case/{name}/peak{row}"]
        assert take.samples.shape == (channels, REFERENCE[f"case/{name}/samples{row}"])
        worst = np.abs(take.samples[:, ::STRIDE] - audio).max() / peak
        assert worst < 1e-4, f"row {row}: off by {worst:.1e} of the peak"


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if any(case.prompts)])
def test_prompts_become_the_same_tokens(name, tiny):
    case = CASES[name]
    prompts = list(case.prompts)
    ids = tiny(case.kind).reference.tokenizer(prompts, padding=True, return_tensors="np")["input_ids"]
    np.testing.assert_array_equal(ids, REFERENCE[f"case/{name}/input_ids"][: len(prompts)])


@pytest.mark.parametrize("name", CHROMA_CLIPS)
def test_melody_features_equal_the_reference_frame_for_frame(name):
    features = chroma_features(CHROMA_CLIPS[name], SAMPLING_RATE)
    classes = REFERENCE[f"chroma/{name}"]
    assert features.shape == (*classes.shape, 12)
    assert features.dtype == np.float32
    assert (features.sum(axis=-1) == 1).all()
    assert (features.max(axis=-1) == 1).all()
    np.testing.assert_array_equal(features.argmax(axis=-1), classes)


def test_the_padding_is_removed_as_the_processor_removes_it(tiny):
    import mindtorch as torch
    from transformers import MusicgenProcessor

    from tests.reference.cases import LONG, SHORT, tune

    model = tiny("mono")
    clips = [Clip(tune(*SHORT), SAMPLING_RATE), Clip(tune(*LONG), SAMPLING_RATE)]
    takes = model.generate_continuation(clips, settings=Settings(max_new_tokens=8, do_sample=False))
    inputs = model.feature_extractor(
        [clip.samples[0] for clip in clips], sampling_rate=SAMPLING_RATE, padding=True, return_tensors="np"
    )
    processor = MusicgenProcessor(model.feature_extractor, model.reference.tokenizer)
    codes = torch.tensor(np.stack([take.codes for take in takes]).astype(np.int64)[None])
    with torch.no_grad():
        whole = model.reference.model.audio_encoder.decode(codes, [None]).audio_values.numpy()  # with its padding
    expected = processor.batch_decode(whole, padding_mask=inputs["padding_mask"])
    for take, samples in zip(takes, expected, strict=True):
        assert take.samples.shape == samples.shape
        np.testing.assert_allclose(take.samples, samples, atol=1e-5 * np.abs(whole).max())
    assert takes[0].samples.shape[-1] < takes[1].samples.shape[-1]


@pytest.mark.parametrize("kind", ["mono", "melody"])
def test_both_namings_of_the_codecs_weights_load_alike(kind, tiny, tiny_folder, tmp_path):
    """weight_g and weight_v are the names in Meta's files; a checkpoint saved by today's torch has parametrizations."""
    import shutil

    from safetensors.numpy import load_file, save_file

    from musicgen_ui.musicgen import MusicGen
    from training.random_weights import RENAMED

    folder = tmp_path / kind
    shutil.copytree(tiny_folder(kind), folder)
    weights = load_file(folder / "model.safetensors")
    assert any(name.endswith(".weight_g") for name in weights)
    for torch_name, published_name in RENAMED:
        weights = {
            name.replace(published_name, torch_name) if name.endswith(published_name) else name: value
            for name, value in weights.items()
        }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    settings = Settings(max_new_tokens=6, do_sample=False)
    np.testing.assert_array_equal(
        MusicGen(kind, folder).generate(["slow piano"], settings)[0].samples,
        tiny(kind).generate(["slow piano"], settings)[0].samples,
    )
