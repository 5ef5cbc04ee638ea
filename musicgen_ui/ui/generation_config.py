"""The generation config as a table: the model's own values, this session's changes, what the last take used."""

from collections.abc import Mapping, Sequence

import gradio as gr

from musicgen_ui.errors import InputError
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.request import CONFIG_KINDS, Settings, check_ranges, number
from musicgen_ui.ui.strings import say

_SESSION = 2  # the column that can be edited


def table(info: ModelInfo, changes: Mapping[str, object], record: Mapping[str, object], language: str) -> dict:
    """The value of the Dataframe: a row per parameter, the sampling parameters first."""
    own = info.generation_config
    names = [*CONFIG_KINDS, *(name for name in own if name not in CONFIG_KINDS)]
    fallback = vars(Settings().superseding({}))
    rows = [
        [name, _shown(own.get(name, fallback.get(name))), _shown(changes.get(name)), _shown(record.get(name))]
        for name in names
    ]
    return {"headers": headers(language), "data": rows}


def headers(language: str) -> list[str]:
    return [say(language, f"page.config.{column}") for column in ("parameter", "default", "session", "used")]


def read_changes(rows: Sequence[Sequence[object]], info: ModelInfo) -> dict[str, object]:
    """This session's changes as the edited table says. Raises InputError for what can't be used."""
    changes: dict[str, object] = {}
    for row in rows:
        name, written = str(row[0]), str(row[_SESSION] if row[_SESSION] is not None else "").strip()
        if not written:
            continue
        if name not in CONFIG_KINDS:
            raise InputError("error.config_key", name=name, names=", ".join(CONFIG_KINDS))
        kind = CONFIG_KINDS[name]
        if kind is bool:
            words = {"true": True, "1": True, "false": False, "0": False}
            changes[name] = number(name, words.get(written.lower(), written), bool)
        else:
            value = number(name, written, kind)
            if name in ("max_length", "max_new_tokens") and (value is None or value <= info.codebooks):
                raise InputError("error.too_few_tokens", minimum=info.codebooks + 1, value=written)
            changes[name] = value
    check_ranges(changes)
    return changes


def build_generation_config(first: dict) -> gr.Dataframe:
    return gr.Dataframe(
        value=first,
        type="array",
        datatype="str",
        interactive=True,
        static_columns=[0, 1, 3],
        column_count=4,
        show_label=False,
        wrap=True,
        buttons=[],
        elem_classes="mg-config",
    )


def _shown(value: object) -> str:
    return "" if value is None else str(value)
