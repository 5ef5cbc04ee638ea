"""The sentences: the same ones in both languages, and each that the code names is there."""

import ast
import string
from pathlib import Path

import pytest

from musicgen_ui.locales import LANGUAGES, catalogue, choose_language

ROOT = Path(__file__).resolve().parents[2]
NAMESPACES = ("page.", "error.", "progress.", "cli.")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def keys_in_code() -> set[tuple[str, str]]:
    """(file, key) of every string in the package that looks like a key and isn't put together from parts."""
    found = set()
    for path in [*(ROOT / "musicgen_ui").rglob("*.py"), ROOT / "app.py"]:
        if not path.exists():
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        pieces = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in pieces:
                name = node.value
                if name.startswith(NAMESPACES) and " " not in name and not name.endswith((".", ".py", ".json")):
                    found.add((path.name, name))
    return found


def test_both_languages_have_the_same_keys() -> None:
    first, *others = (set(catalogue(language)) for language in LANGUAGES)
    for other in others:
        assert first ^ other == set()


@pytest.mark.parametrize("key", sorted(catalogue(LANGUAGES[0])))
def test_both_languages_have_the_same_placeholders(key: str) -> None:
    first, *others = (placeholders(catalogue(language)[key]) for language in LANGUAGES)
    assert all(other == first for other in others)


def test_no_text_is_empty() -> None:
    assert [(lang, key) for lang in LANGUAGES for key, text in catalogue(lang).items() if not text.strip()] == []


def test_every_key_in_the_code_exists() -> None:
    missing = {(file, key) for file, key in keys_in_code() if key not in catalogue("en")}
    assert missing == set()


@pytest.mark.parametrize(
    ("preferences", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("en-GB,en;q=0.9,zh;q=0.3", "en"),
        ("fr,zh-TW;q=0.5", "zh-CN"),
        ("zh_CN.UTF-8", "zh-CN"),
        ("", "en"),
        (None, "en"),
        ("de", "en"),
    ],
)
def test_the_language_follows_the_preferences(preferences: str | None, language: str) -> None:
    assert choose_language(preferences) == language
