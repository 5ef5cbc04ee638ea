"""Settings that come from elsewhere: a take's record, a link to the page, or what this browser had last time.

All are strangers' words: each becomes a `Filled`, which holds nothing but checked values for the page's fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from musicgen_ui.errors import InputError
from musicgen_ui.request import CONFIG_KINDS, ENGINES, MODES, check_ranges, number
from musicgen_ui.tags import remembered
from musicgen_ui.ui.asks import Ask

SETTINGS = ("max_new_tokens", "guidance_scale", "do_sample", "temperature", "top_k", "top_p")
LINKED = ("mode", "prompt", "without_drums", "model", "engine", "takes", "seed", *SETTINGS)
"""what a link may tell, by the names that a record has"""
REMEMBERED = (
    "tab",
    "prompts",
    "mode",
    "description",
    "without_drums",
    "model",
    "takes",
    "seed",
    "locked",
    "engine",
    *SETTINGS,
)
"""what the browser keeps, by the names of `Filled`"""
_SWITCHES = {"true": True, "1": True, "false": False, "0": False}
_LONGEST = 20_000  # characters of what a browser or a link brings


@dataclass(frozen=True)
class Filled:
    """Values for the page's fields; None leaves a field as it is."""

    tab: str | None = None
    prompts: str | None = None
    clip: str | None = None
    mode: str | None = None
    description: str | None = None
    without_drums: bool | None = None
    model: str | None = None
    takes: int | None = None
    seed: int | None = None
    locked: bool | None = None
    engine: str | None = None
    settings: Mapping[str, int | float | bool | None] | None = None
    """by the names in `SETTINGS`"""
    batch: Ask | None = None
    """of a take: what it takes over from the batch in which it was made, and to what it belongs"""


def of_record(record: Mapping[str, Any], clip: str | None = None) -> Filled:
    """What made a take. InputError where a value is none."""
    asked = remembered(record)
    hears = asked.mode in ("continue", "melody")
    prompt = "".join(asked.prompts)
    return Filled(
        tab="audio" if hears else asked.mode,
        prompts=prompt if asked.mode == "text" else None,
        clip=clip,
        mode=asked.mode if hears else None,
        description=prompt if hears else None,
        without_drums=bool(number("without_drums", asked.without_drums, bool)) if hears else None,
        model=asked.model,
        takes=1,
        seed=number("seed", asked.seed, int),
        locked=True,
        engine=asked.engine if asked.engine in ENGINES else ENGINES[0],
        settings=_numbers(vars(asked.settings)),
        batch=Ask(
            mode=asked.mode,
            prompts=asked.prompts,
            seed=number("seed", asked.seed, int),
            padded_seconds=number("padded_seconds", asked.padded_seconds, float) or 0.0,
            padded_tokens=number("padded_tokens", asked.padded_tokens, int) or 0,
            section_frames=tuple(number("section_frames", frame, int) or 0 for frame in asked.section_frames),
        ),
    )


def of_link(query: Mapping[str, str]) -> Filled | None:
    """What an address asks for; None if nothing. InputError for a wrong value."""
    told: dict[str, Any] = {name: query[name] for name in LINKED if query.get(name)}
    if not told:
        return None
    for name in ("do_sample", "without_drums"):
        if name in told:
            told[name] = _SWITCHES.get(told[name].lower(), told[name])
    mode = told.get("mode", "text")
    if mode not in MODES:
        raise InputError("error.mode", value=mode[:40], modes=", ".join(MODES))
    hears = mode in ("continue", "melody")
    prompt = told.get("prompt", "")[:_LONGEST]
    seed = number("seed", told.get("seed"), int)
    engine = told.get("engine")
    return Filled(
        tab="audio" if hears else mode,
        prompts=None if hears else prompt,
        mode=mode if hears else None,
        description=prompt if hears else None,
        without_drums=number("without_drums", told.get("without_drums"), bool),
        model=told.get("model"),
        takes=number("takes", told.get("takes"), int),
        seed=seed,
        locked=seed is not None,
        engine=engine if engine in ENGINES else None,
        settings=_numbers(told),
    )


def of_browser(kept: object) -> Filled | None:
    """What `REMEMBERED` were when they were last changed here, without numbers that are none or out of range.

    None where nothing of it can be read.
    """
    if not isinstance(kept, dict):
        return None
    names = ("tab", "prompts", "mode", "description", "model", "engine")
    texts: dict[str, Any] = {name: kept.get(name) or "" for name in names}
    if any(not isinstance(value, str) or len(value) > _LONGEST for value in texts.values()):
        return None
    if texts["tab"] not in ("unconditional", "text", "audio") or texts["mode"] not in ("continue", "melody"):
        return None
    seed = _kept_number(kept, "seed", int)
    engine = texts.pop("engine")
    locked = kept.get("locked") is True and seed is not None
    return Filled(
        **texts,
        without_drums=kept.get("without_drums") is True,
        takes=_kept_number(kept, "takes", int),
        seed=seed,
        locked=locked,
        engine=engine if engine in ENGINES else None,
        settings={name: _kept_number(kept, name, CONFIG_KINDS[name]) for name in SETTINGS},
    )


def _kept_number(kept: Mapping[str, Any], name: str, kind: type) -> Any:
    """What was kept under `name`; None where that is no such number, or out of range."""
    try:
        value = number(name, kept.get(name), kind)
        check_ranges({name: value})
    except InputError:
        return None
    return value


def _numbers(told: Mapping[str, Any]) -> dict[str, int | float | bool | None]:
    settings: dict[str, int | float | bool | None] = {
        name: number(name, told.get(name), CONFIG_KINDS[name]) for name in SETTINGS
    }
    check_ranges(settings)
    return settings
