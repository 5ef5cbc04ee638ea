"""What can go wrong in a way that a person should read: one sentence each, in their language.

Anything that is not an `AppError` is a bug, and shows as one, with its traceback in the log.
"""

from musicgen_ui.locales import DEFAULT_LANGUAGE, sentence


class AppError(Exception):
    """A fault with a translatable sentence: `key` names it in assets/locales, `params` fill it in."""

    exit_code = 1

    def __init__(self, key: str, **params: object) -> None:
        super().__init__(key)
        self.key = key
        self.params = params

    def in_language(self, language: str) -> str:
        return sentence(language, self.key, **self.params)

    def __str__(self) -> str:
        return self.in_language(DEFAULT_LANGUAGE)

    def __reduce__(self):  # keyword arguments survive the way between the processes
        return _rebuild, (type(self), self.key, self.params)


class InputError(AppError):
    """What the user gave cannot be used (command line: exit 2)."""

    exit_code = 2


class MachineError(AppError):
    """The request was fine; the machine, the disk or the network was not (command line: exit 1)."""


def _rebuild(kind: type[AppError], key: str, params: dict) -> AppError:
    return kind(key, **params)
