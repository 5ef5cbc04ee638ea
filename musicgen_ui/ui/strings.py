"""The page's words: labels translated in the browser, sentences made here for the request's language."""

from html import escape

import gradio as gr
from gradio.i18n import I18nData

from musicgen_ui.errors import AppError
from musicgen_ui.locales import LANGUAGES, catalogue, choose_language, sentence

_PAGE = "page."
_MORE_CHINESE = (
    *("zh", "zh-TW", "zh-HK", "zh-MO", "zh-SG"),
    *("zh-Hans", "zh-Hant", "zh-Hans-CN", "zh-Hant-TW", "zh-Hant-HK"),
)


def translations() -> gr.I18n:
    """The page's own texts for the browser, which looks for its own locale's name to the letter."""
    texts = {
        language: {key: text for key, text in catalogue(language).items() if key.startswith(_PAGE)}
        for language in LANGUAGES
    }
    return gr.I18n(**texts, **dict.fromkeys(_MORE_CHINESE, texts["zh-CN"]))


def text(key: str) -> I18nData:
    """A fixed label, translated in the browser."""
    return I18nData(key)


def language_of(request: gr.Request | None) -> str:
    headers = getattr(request, "headers", None) or {}
    return choose_language(headers.get("accept-language"))


def say(language: str, key: str, **params: object) -> str:
    """A sentence made on the server: plain text, not yet escaped for HTML."""
    return sentence(language, key, **params)


def fault(language: str, error: AppError) -> str:
    return error.in_language(language)


def seconds(language: str, value: float) -> str:
    """`value` seconds as a person says it: 0.02 s, 4.2 s, 38 s, 2 min 10 s."""
    if value < 10:
        return say(language, "page.seconds", seconds=f"{value:.2f}" if value < 0.1 else f"{value:.1f}")
    whole = round(value)
    if whole < 90:
        return say(language, "page.seconds", seconds=whole)
    return say(language, "page.minutes", minutes=whole // 60, seconds=whole % 60)


def megabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def html(value: object) -> str:
    return escape(str(value), quote=True)
