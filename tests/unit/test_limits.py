"""Limits: what the machine can bear, what its owner says instead, and the one sentence for what can't be."""

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest

from musicgen_ui import limits
from musicgen_ui.errors import InputError
from musicgen_ui.limits import Limits
from musicgen_ui.locales import LANGUAGES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("cores", "gigabytes", "queue", "rows"), [(1, 2, 8, 2), (2, 5, 16, 4), (32, 64, 64, 8)])
def test_the_machine_decides(monkeypatch, cores, gigabytes, queue, rows):
    monkeypatch.setattr(limits, "processors", lambda environment: cores)
    monkeypatch.setattr(limits, "total_bytes", lambda: gigabytes * 1e9)
    chosen = Limits.of_this_machine({})
    assert (chosen.queue, chosen.rows) == (queue, rows)
    assert chosen.takes <= rows
    assert chosen.prompts <= rows
    assert chosen.queue_per_user <= queue
    assert chosen.queue_per_address == queue / 2


@pytest.mark.parametrize(
    ("gigabytes", "free", "sessions"), [(64, 1e12, 500), (64, 40e9, 100), (4, 1e12, 160), (0.1, 1e12, 10), (64, 1, 10)]
)
def test_as_many_browsers_are_remembered_as_disk_and_memory_bear(monkeypatch, gigabytes, free, sessions):
    monkeypatch.setattr(limits, "total_bytes", lambda: gigabytes * 1e9)
    monkeypatch.setattr(limits.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    assert Limits.of_this_machine({}).sessions == sessions


def test_its_owner_overrides_every_limit():
    given = {f"MUSICGEN_{field.name.upper()}": "1" for field in fields(Limits)}
    chosen = Limits.of_this_machine(given | {"SPACE_ID": "some/body", "MUSICGEN_QUEUE": " 8 "})
    assert chosen.queue == 8
    assert chosen.own_models is True
    assert {getattr(chosen, field.name) for field in fields(Limits) if field.name != "queue"} == {1}
    for field in fields(Limits):
        assert type(getattr(chosen, field.name)) is field.type, field.name


def test_security_md_tells_every_limit_and_its_default():
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ([^|]+) \|", (ROOT / "SECURITY.md").read_text("utf-8"), re.MULTILINE)
    told = {name: row[1] for row in rows for name in re.findall(r"\w+", row[0])}
    assert set(told) == {field.name for field in fields(Limits)}
    units = {"clip_bytes": 1 << 20, "clips_bytes": 1 << 20, "free_disk_bytes": 10**9, "forgotten_seconds": 3600}
    by_the_machine = {"queue", "queue_per_address", "sessions", "own_models"}
    for field in fields(Limits):
        if field.name not in by_the_machine:
            number = f"{int(field.default) // units.get(field.name, 1):,}"
            assert re.search(rf"(?<![\d,]){number}(?!\d)", told[field.name]), field.name


@pytest.mark.parametrize(("queue", "per_address"), [(1, 1), (2, 1), (5, 2), (40, 20)])
def test_an_address_has_half_of_the_queue_unless_its_owner_says_otherwise(queue, per_address):
    assert Limits.of_this_machine({"MUSICGEN_QUEUE": str(queue)}).queue_per_address == per_address
    given = {"MUSICGEN_QUEUE": str(queue), "MUSICGEN_QUEUE_PER_ADDRESS": str(queue)}
    assert Limits.of_this_machine(given).queue_per_address == queue


@pytest.mark.parametrize(
    ("environment", "own"),
    [
        ({}, True),
        ({"GRADIO_SERVER_NAME": "localhost"}, True),
        ({"GRADIO_SHARE": "False"}, True),
        ({"GRADIO_SHARE": "True"}, False),
        ({"GRADIO_SERVER_NAME": "0.0.0.0"}, False),
        ({"SPACE_ID": "some/body"}, False),
    ],
)
def test_strangers_choose_of_the_menu_alone(environment, own):
    assert Limits.of_this_machine(environment).own_models is own


def test_what_is_within_a_lowered_limit_follows_it():
    chosen = Limits.of_this_machine({"MUSICGEN_QUEUE": "2", "MUSICGEN_ROWS": "3", "MUSICGEN_CLIP_SECONDS": "20"})
    assert (chosen.queue_per_user, chosen.takes, chosen.prompts, chosen.heard_seconds) == (2, 3, 3, 20)


@pytest.mark.parametrize("value", ["0", "-3", "many", "1.5", "1e3", "9" * 5_000, "∞"])
def test_a_wrong_value_is_said(value):
    with pytest.raises(InputError) as told:
        Limits.of_this_machine({"MUSICGEN_QUEUE": value})
    for language in LANGUAGES:
        sentence = told.value.in_language(language)
        assert "MUSICGEN_QUEUE" in sentence
        assert value[:40] in sentence
        assert len(sentence) < 200


@pytest.mark.parametrize(
    "given",
    [
        {"MUSICGEN_OWN_MODELS": "2"},
        {"MUSICGEN_TAKES": "9", "MUSICGEN_ROWS": "4"},
        {"MUSICGEN_QUEUE_PER_USER": "5", "MUSICGEN_QUEUE": "4"},
        {"MUSICGEN_QUEUE_PER_ADDRESS": "5", "MUSICGEN_QUEUE": "4"},
    ],
)
def test_what_does_not_go_together_is_said(given):
    with pytest.raises(InputError) as told:
        Limits.of_this_machine(given)
    assert told.value.params["name"] in given


@pytest.mark.parametrize(("language", "word"), [("C.UTF-8", "whole number"), ("zh_CN.UTF-8", "整数")])
def test_the_app_does_not_start_with_a_wrong_one(language, word):
    environment = {**os.environ, "MUSICGEN_QUEUE": "lots", "LC_ALL": language, "PYTHONUTF8": "1"}
    process = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (process.returncode, process.stdout, process.stderr.count("\n")) == (2, "", 1)
    assert "MUSICGEN_QUEUE" in process.stderr
    assert word in process.stderr
