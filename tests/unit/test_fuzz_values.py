"""Anything at all in the place of any parameter: a sentence or a request, never a traceback.

The same examples in every run; `HYPOTHESIS_PROFILE=deep` tries other ones, and more of them.
"""

import logging
import os
import signal
import sys
from dataclasses import fields
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musicgen_ui import cli
from musicgen_ui.errors import AppError, InputError, MachineError
from musicgen_ui.events import Finished
from musicgen_ui.limits import Limits
from musicgen_ui.locales import LANGUAGES, catalogue
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.request import ENGINES, MAX_SEED, MODES, Request, Settings, checked, checked_for_model
from musicgen_ui.tags import read_record, remembered
from musicgen_ui.take import Take
from musicgen_ui.ui.advice import Advice
from musicgen_ui.ui.api import Api
from musicgen_ui.ui.sessions import Sessions
from tests.watch import nothing_outside

QUIET = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)
settings.register_profile(
    "suite", max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=QUIET
)
settings.register_profile("deep", max_examples=5_000, deadline=None, database=None, suppress_health_check=QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

LIMITS = Limits()
MODEL = ModelInfo("nano", 32_000, 50.0, 4, 1, False, {"do_sample": True, "guidance_scale": 3.0, "max_length": 1_500})
texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)
# Without subnormals, which a library of the app turns off.
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_subnormal=False), texts,
    st.sampled_from([0, -1, 10**30, 10**4_000, 1e308, "1", "nan", "1e999", " 7 ", "１", "null", *MODES, *ENGINES]),
)  # fmt: skip
anything = st.recursive(scalars, lambda some: st.lists(some, max_size=3) | st.dictionaries(texts, some, max_size=3))
SETTINGS = [field.name for field in fields(Settings)]


def check_sentence(fault: AppError) -> None:
    assert fault.key != "error.unexpected"
    for language in LANGUAGES:
        assert 0 < len(fault.in_language(language).strip()) < 1_000


@given(st.dictionaries(st.sampled_from([*(f.name for f in fields(Request)), *SETTINGS]), anything))
def test_a_request_is_checked(values):
    given_settings = {name: values.pop(name) for name in list(values) if name in SETTINGS}
    values.pop("clips", None), values.pop("settings", None)  # these two are objects of our own
    config = values.get("generation_config")
    values |= {"generation_config": config if isinstance(config, dict) else {}}
    prompts = values.get("prompts", "x")
    values |= {"prompts": tuple(prompts) if isinstance(prompts, (list, tuple)) else (prompts,)}
    try:
        request = checked_for_model(checked(Request(**values, settings=Settings(**given_settings)), LIMITS), MODEL)
    except AppError as fault:
        check_sentence(fault)
        return
    assert request.mode in ("text", "unconditional")
    assert request.engine in ENGINES
    assert 1 <= request.takes <= LIMITS.takes
    assert request.seed is None or 0 <= request.seed <= MAX_SEED
    assert 4 <= request.settings.max_new_tokens <= 1_500
    assert 1 <= request.settings.guidance_scale <= 20
    assert 0 < request.settings.temperature <= 10
    assert 0 < request.settings.top_p <= 1
    assert request.settings.top_k >= 0
    assert type(request.settings.do_sample) is bool


class Answering:
    """An engine that checks requests as the real one does, and makes nothing of them."""

    def info(self, model):
        if model not in ("nano", "nano-melody"):
            raise InputError("error.model_unknown", model=str(model)[:80], models="nano")
        return MODEL

    def submit(self, request, owner="", address=""):
        checked_for_model(checked(request, LIMITS), self.info(request.model))
        return iter([Finished(())])


API = {
    "unconditional": [*SETTINGS, "seed", "takes", "model", "engine"],
    "text": ["prompt", *SETTINGS, "seed", "takes", "model", "engine"],
    "audio": ["prompt", "audio", "mode", "without_drums", *SETTINGS, "seed", "takes", "model", "engine"],
}


@pytest.mark.parametrize("endpoint", API)
def test_an_endpoint_answers(endpoint, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    api = Api(Answering(), Sessions(), LIMITS)
    caplog.set_level(logging.ERROR)
    unexpected = {catalogue(language)["error.unexpected"] for language in LANGUAGES}
    sentences: list[str] = []
    client = SimpleNamespace(headers={"accept-language": "zh"}, session_hash="fuzz")

    @given(st.dictionaries(st.sampled_from(API[endpoint]), anything))
    def answers(values):
        with nothing_outside(tmp_path):
            try:
                assert getattr(api, endpoint)(**values, request=client) == ([], [])
            except gr.Error as told:
                sentences.append(told.message)

    answers()
    assert len(set(sentences)) > 5
    assert all(sentence.strip() and sentence not in unexpected for sentence in sentences)
    assert caplog.records == []


@given(st.dictionaries(st.sampled_from(["prompt", "model", "engine", "seed", "padded_seconds", "padded_tokens", "clip",
                                        "complete", *SETTINGS]), anything), st.sampled_from(MODES))  # fmt: skip
def test_a_record_is_a_proposal(record, mode):
    if not isinstance(record.get("prompt", ""), str):
        del record["prompt"]  # what `read_record` looks at
    record["mode"] = mode
    try:
        checked(remembered(record), LIMITS)
    except InputError as fault:
        check_sentence(fault)


@given(st.dictionaries(st.sampled_from(["prompt", "model", "engine", "seed", "clip", *SETTINGS]), anything))
def test_a_record_restores_or_says_why_not(record):
    if not isinstance(record.get("prompt", ""), str):
        del record["prompt"]
    advice = Advice(Answering(), Sessions(), LIMITS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("musicgen_ui.ui.advice.read_record", lambda path: {"mode": "text", **record})
        updates = advice.restore("/uploads/take.wav", {}, None, SimpleNamespace(headers={}, session_hash="fuzz"))
    numbers = [value for value in updates if isinstance(value, int)]
    numbers += [update["value"] for update in updates if isinstance(update, dict) and "maximum" in update]
    assert all(abs(value) <= 2**53 for value in numbers)  # what goes to a browser


def test_a_file_whose_name_is_no_text(nothing_made, monkeypatch, capfdbinary, tmp_path):
    """Linux lets a name be any bytes."""
    name = os.fsdecode(b"\xff\xfe.wav")
    soundfile.write(tmp_path / "clip.wav", 0.3 * np.sin(np.arange(32_000) / 9), 32_000)
    os.rename(tmp_path / "clip.wav", tmp_path / name)
    pipeline = sys.modules["musicgen_ui.pipeline"].Pipeline

    def run(self, request, progress, stopped):
        record = {"mode": "continue", "clip": request.clips[0].name, "max_new_tokens": 50, "seed": 1, "tokens": 50}
        record |= {"engine": "graph", "stages": {}}
        return [Take(np.full((1, 640), 0.1, np.float32), 32_000, np.zeros((4, 1), np.int16), record)]

    monkeypatch.setattr(pipeline, "run", run)
    for more in ([], ["--json"]):
        assert cli.main(["--audio", name, "--out", name.replace("wav", "flac"), *more]) == 0
        told = capfdbinary.readouterr()
        assert b"\xff\xfe.flac" in told.out
        assert told.err == b""
    assert read_record(tmp_path / name.replace("wav", "flac"))["clip"] == "??.wav"


OPTIONS = ["--unconditional", "--audio", "--mode", "--model", "--engine", "--from", "--seconds", "--max-new-tokens",
           "--guidance", "--greedy", "--without-drums", "--loop", "--temperature", "--top-k", "--top-p",
           "--seed", "--takes", "--out", "--json", "-x", "--", "--seconds=", "--out=x.ogg"]  # fmt: skip


@pytest.fixture
def nothing_made(monkeypatch, tmp_path):
    """The command line up to the point where it would load a model, in an empty folder."""

    class Pipeline:
        def __init__(self, *given):
            pass

        def load(self, *given):
            pass

        def run(self, request, progress, stopped):
            return []

    def no_network(*given):
        raise MachineError("error.hub_offline", model="x", endpoint="x")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "musicgen_ui.pipeline", SimpleNamespace(Pipeline=Pipeline))
    monkeypatch.setattr(cli, "download", no_network)
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_command_line_ends_in_one_line(nothing_made, capsys, tmp_path):
    words = st.one_of(st.sampled_from(OPTIONS), texts, scalars.map(str))

    @given(st.lists(words, max_size=8))
    def ends(arguments):
        code = cli.main(arguments)
        told = capsys.readouterr()
        assert code in (0, 1, 2)
        assert "(--debug)" not in told.err, "a fault that nobody foresaw"
        assert "Traceback" not in told.err
        if code:
            assert told.out == "" or "--json" in arguments
            assert len(told.err.rstrip("\n").splitlines()) >= 1
            assert len(told.err) < 2_000

    ends()
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []
