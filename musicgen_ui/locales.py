"""Sentences in English and Chinese, read from assets/locales/<language>.json (flat: key → text).

The page's fixed labels are translated in the browser from the same files; the sentences made on
the server follow the request's Accept-Language, and those of the command line the shell's locale.
"""

import functools
import json
import os
from collections.abc import Mapping

from musicgen_ui.paths import LOCALES

DEFAULT_LANGUAGE = "en"
LANGUAGES = ("en", "zh-CN")


@functools.cache
def catalogue(language: str) -> Mapping[str, str]:
    """All texts of one of `LANGUAGES`."""
    return json.loads((LOCALES / f"{language}.json").read_text(encoding="utf-8"))


def sentence(language: str, key: str, **params: object) -> str:
    """The text `key` in `language`, with `{name}` filled from `params`. KeyError if there is none."""
    return catalogue(language)[key].format(**params)


def shells_language(environment: Mapping[str, str] = os.environ) -> str:
    """The language for who started this process, from LC_ALL, LC_MESSAGES or LANG."""
    given = (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return choose_language(next(filter(None, given), "").replace("_", "-"))


def choose_language(preferences: str | None) -> str:
    """The language to answer in, from an Accept-Language header or a locale name like `zh_CN.UTF-8`."""
    ranked = []
    for position, part in enumerate((preferences or "").split(",")):
        tag, _, quality = part.partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            weight = 0.0
        ranked.append((-weight, position, tag.strip().lower()))
    for _, _, tag in sorted(ranked):
        if tag.startswith("zh"):
            return "zh-CN"
        if tag.startswith("en"):
            return "en"
    return DEFAULT_LANGUAGE
