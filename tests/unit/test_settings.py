"""Settings from a take, a link and the browser: what is taken over, and what is refused."""

import pytest

from musicgen_ui.errors import InputError
from musicgen_ui.ui.asks import Ask
from musicgen_ui.ui.settings import REMEMBERED, Filled, of_browser, of_link, of_record

KEPT = {
    "tab": "audio",
    "prompts": "one\ntwo",
    "mode": "melody",
    "description": "flute",
    "without_drums": True,
    "model": "nano-melody",
    "takes": 2,
    "seed": 7,
    "locked": True,
    "engine": "int8",
    "max_new_tokens": 250,
    "guidance_scale": 2.5,
    "do_sample": False,
    "temperature": 0.9,
    "top_k": 100,
    "top_p": 0.95,
}
SETTINGS = {name: KEPT[name] for name in list(KEPT)[10:]}


def test_a_link_fills_the_page() -> None:
    query = {
        "prompt": "slow bells",
        "seed": "7",
        "max_new_tokens": "250",
        "do_sample": "false",
        "top_p": "0.95",
        "x": "y",
    }
    filled = of_link(query)
    assert filled is not None
    assert (filled.tab, filled.prompts, filled.seed, filled.locked) == ("text", "slow bells", 7, True)
    assert filled.settings is not None
    assert {name: value for name, value in filled.settings.items() if value is not None} == {
        "max_new_tokens": 250,
        "do_sample": False,
        "top_p": 0.95,
    }
    assert (filled.model, filled.takes, filled.engine, filled.clip) == (None, None, None, None)


def test_a_link_to_a_melody_opens_the_audio_tab() -> None:
    filled = of_link({"mode": "melody", "prompt": "flute", "model": "melody", "engine": "int8", "takes": "3"})
    assert filled is not None
    assert (filled.tab, filled.mode, filled.description, filled.prompts) == ("audio", "melody", "flute", None)
    assert (filled.model, filled.engine, filled.takes, filled.locked) == ("melody", "int8", 3, False)


@pytest.mark.parametrize("query", [{}, {"__theme": "dark"}, {"prompt": ""}])
def test_an_address_that_asks_for_nothing(query: dict) -> None:
    assert of_link(query) is None


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"mode": "shout"}, "shout"),
        ({"seed": "x"}, "seed"),
        ({"max_new_tokens": "1e999"}, "max_new_tokens"),
        ({"guidance_scale": "21"}, "guidance_scale"),
        ({"do_sample": "maybe"}, "do_sample"),
        ({"takes": "two"}, "takes"),
    ],
)
def test_a_wrong_link_says_what_is_wrong(query: dict, named: str) -> None:
    with pytest.raises(InputError, match=named):
        of_link(query)


def test_the_browser_brings_everything_back() -> None:
    assert tuple(KEPT) == REMEMBERED
    filled = of_browser(KEPT)
    assert filled == Filled(**{name: KEPT[name] for name in list(KEPT)[:10]}, settings=SETTINGS)


@pytest.mark.parametrize("change", [{"tab": "x"}, {"mode": 1}, {"prompts": "x" * 30_000}])
def test_what_a_browser_has_wrong_is_left(change: dict) -> None:
    assert of_browser({**KEPT, **change}) is None
    assert of_browser(None) is None
    assert of_browser([KEPT]) is None


@pytest.mark.parametrize(("name", "value"), [("top_k", []), ("top_k", -1), ("guidance_scale", "x"), ("top_p", 7)])
def test_one_wrong_number_costs_nothing_else_that_was_kept(name: str, value: object) -> None:
    filled = of_browser({**KEPT, name: value})
    assert filled is not None
    assert filled.prompts == KEPT["prompts"]
    assert filled.settings == {**SETTINGS, name: None}


def test_a_wrong_seed_is_none_and_is_not_locked() -> None:
    filled = of_browser({**KEPT, "seed": "x", "takes": 2.5})
    assert filled is not None
    assert (filled.seed, filled.locked, filled.takes) == (None, False, None)


def test_a_seed_that_is_not_there_is_not_locked() -> None:
    filled = of_browser({**KEPT, "seed": None, "engine": "no such", "description": None})
    assert filled is not None
    assert (filled.locked, filled.engine, filled.description) == (False, None, "")


def test_a_record_fills_the_page() -> None:
    record = {**SETTINGS, "mode": "continue", "prompt": "more", "model": "nano", "seed": 3, "engine": "no such"}
    filled = of_record(record, "clip.wav")
    assert (filled.tab, filled.mode, filled.description, filled.clip) == ("audio", "continue", "more", "clip.wav")
    assert (filled.seed, filled.locked, filled.engine, filled.takes) == (3, True, "auto", 1)
    assert filled.settings == SETTINGS
    assert filled.batch == Ask("continue", ("more",), seed=3)
    batch = of_record({**record, "padded_seconds": 2, "padded_tokens": 9, "section_frames": [50]}).batch
    assert batch == Ask("continue", ("more",), seed=3, padded_seconds=2.0, padded_tokens=9, section_frames=(50,))
    with pytest.raises(InputError, match="top_k"):
        of_record({**record, "top_k": -1})
