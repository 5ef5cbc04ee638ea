"""What the owner learns of requests: figures, lines, and nothing of what users wrote."""

import logging

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from musicgen_ui.errors import InputError, MachineError
from musicgen_ui.events import Finished
from musicgen_ui.journal import STATES, Health, Journal, Times
from musicgen_ui.request import Request
from musicgen_ui.take import Take

SECRET = 'my "secret"\nsong 慢'
ASKED = Request("text", (SECRET,), model="nano")
RECORD = {"engine": "graph", "tokens": 53, "stages": {"text_encoder": 0.02, "decoder": 1.5, "codec": 0.3}}
TAKE = Take(np.zeros((1, 32_000), np.float32), 32_000, np.zeros((4, 50), np.int16), RECORD)
READY = Health("ready", 0)


def figures(journal, health=READY):
    """{(name, labels): value} of all that Prometheus would read"""
    families = text_string_to_metric_families(journal.metrics(health).decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def figure(journal, name, **labels):
    return figures(journal).get((name, frozenset(labels.items())), 0)


KIND = {"mode": "text", "model": "nano", "engine": "graph"}


def test_what_was_made_is_counted():
    journal = Journal()
    times = Times()
    times.submitted -= 10
    times.begun = times.submitted + 4
    journal.ended(1, ASKED, times, Finished((TAKE, TAKE)), stopping=False)
    assert figure(journal, "musicgen_requests_total", outcome="done", **KIND) == 1
    assert figure(journal, "musicgen_takes_total", model="nano") == 2
    assert figure(journal, "musicgen_music_seconds_total", model="nano") == 2.0
    assert figure(journal, "musicgen_request_seconds_sum", **KIND) == pytest.approx(6, abs=0.2)
    assert figure(journal, "musicgen_wait_seconds_sum") == pytest.approx(4, abs=0.2)
    assert figure(journal, "musicgen_stage_seconds_sum", stage="decoder") == 1.5
    assert figure(journal, "process_resident_memory_bytes") > 1e6


@pytest.mark.parametrize(
    ("number", "end", "stopping", "outcome"),
    [
        (1, Finished((TAKE,)), True, "stopped"),
        (1, Finished(()), True, "stopped"),
        (1, MachineError("error.engine_died"), False, "failed"),
        (1, InputError("error.checkpoint_broken", model="x", file="y"), False, "refused"),
        (None, MachineError("error.queue_full", limit=16), False, "refused"),
    ],
)
def test_how_a_request_ended(number, end, stopping, outcome, caplog):
    journal = Journal()
    with caplog.at_level(logging.INFO, "musicgen_ui.requests"):
        journal.ended(number, ASKED, Times(), end, stopping)
    outcomes = {dict(labels)["outcome"] for (name, labels) in figures(journal) if name == "musicgen_requests_total"}
    assert outcomes == {outcome}
    (line,) = caplog.messages
    assert f"outcome={outcome}" in line
    assert ("fault=error." in line) == (not isinstance(end, Finished))


def test_a_line_is_logfmt_and_tells_no_prompt(caplog):
    with caplog.at_level(logging.INFO, "musicgen_ui.requests"):
        Journal().ended(7, ASKED, Times(), Finished((TAKE,)), stopping=False)
    (line,) = caplog.messages
    words = line.removeprefix("request ").split(" ")
    told = dict(word.split("=") for word in words)
    assert told.pop("waited") == told.pop("seconds") == "0.000"
    assert told == {
        "id": "7", "mode": "text", "model": "nano", "engine": "graph", "outcome": "done", "takes": "1", "tokens": "53",
        "text_encoder": "0.020", "decoder": "1.500", "codec": "0.300",
    }  # fmt: skip


def test_prompts_are_logged_where_that_is_wished_and_stay_one_line(caplog):
    with caplog.at_level(logging.INFO, "musicgen_ui.requests"):
        Journal(prompts=True).ended(7, ASKED, Times(), Finished((TAKE,)), stopping=False)
    (line,) = caplog.messages
    assert line.endswith(r'prompts="my \"secret\"\nsong 慢"')


@pytest.mark.parametrize("foreign", ["/home/me/models/secret", 'x"} 1\nevil', ["a"], None, {"a": 1}])
def test_foreign_names_are_no_labels(foreign, caplog):
    journal = Journal()
    with caplog.at_level(logging.INFO, "musicgen_ui.requests"):
        for request in (Request(foreign), Request(model=foreign), Request(engine=foreign)):
            journal.ended(None, request, Times(), InputError("error.mode", value="", modes=""), stopping=False)
    text = journal.metrics(READY).decode() + "".join(caplog.messages)
    assert 'mode="other"' in text
    assert 'model="other"' in text
    assert 'engine="other"' in text
    assert "secret" not in text
    assert "evil" not in text


def test_the_engine_is_in_one_state():
    journal = Journal()
    journal.engine_died()
    for state in STATES:
        told = figures(journal, Health(state, 3))
        states = {dict(labels)["state"]: v for (name, labels), v in told.items() if name == "musicgen_engine_state"}
        assert states == {**dict.fromkeys(STATES, 0), state: 1}
        assert told["musicgen_queue_length", frozenset()] == 3
        assert told["musicgen_engine_deaths_total", frozenset()] == 1
        assert Health(state, 0).usable == (state not in ("broken", "stopping"))
