"""Faults as sentences, across languages and processes."""

import dataclasses
import pickle

import pytest

from musicgen_ui.errors import AppError, InputError, MachineError
from musicgen_ui.limits import Limits
from musicgen_ui.locales import choose_language


@pytest.mark.parametrize("kind", [InputError, MachineError, AppError])
def test_a_fault_survives_the_way_between_processes(kind):
    fault = kind("error.clip_rate", name="a b.wav", rate=100, low=2_000, high=768_000)
    back = pickle.loads(pickle.dumps(fault))
    assert type(back) is kind
    assert (back.key, back.params) == (fault.key, fault.params)
    assert str(back) == str(fault)
    assert back.in_language("zh-CN") == fault.in_language("zh-CN") != str(fault)


def test_exit_codes_are_the_command_lines():
    assert (InputError("error.prompt_empty").exit_code, MachineError("error.prompt_empty").exit_code) == (2, 1)


def test_what_a_user_typed_is_never_a_format():
    fault = InputError("error.clip_not_found", name="{key} {0} {name.__class__}")
    assert "{key} {0} {name.__class__}" in str(fault)


@pytest.mark.parametrize(
    ("preferences", "language"),
    [
        ("en;q=0.2, zh;q=0.9", "zh-CN"),
        ("zh;q=0, en", "en"),
        ("ZH-hans-CN", "zh-CN"),
        ("*", "en"),
        ("en;q=broken, zh;q=0.1", "zh-CN"),
        (",;q=,,", "en"),
        ("C.UTF-8", "en"),
        ("zh" * 10_000, "zh-CN"),
    ],
)
def test_the_language_is_chosen_by_rank(preferences, language):
    assert choose_language(preferences) == language


def test_limits_do_not_change_under_way():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().takes = 100


def test_limits_agree_with_each_other():
    limits = Limits()
    assert limits.takes <= limits.rows
    assert limits.prompts <= limits.rows
    assert limits.heard_seconds >= 30
    assert limits.heard_seconds <= limits.clip_seconds


def test_a_space_takes_no_strangers_models(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/space")
    assert not Limits.of_this_machine().own_models
    monkeypatch.delenv("SPACE_ID")
    assert Limits.of_this_machine().own_models
