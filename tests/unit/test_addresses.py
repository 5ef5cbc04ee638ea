"""Where requests come from, and how many of them one address of the internet may have waiting."""

from types import SimpleNamespace

import pytest

from musicgen_ui.engine import Engine
from musicgen_ui.errors import MachineError
from musicgen_ui.limits import Limits
from musicgen_ui.locales import LANGUAGES
from musicgen_ui.request import Request, Settings
from musicgen_ui.ui.addresses import address_of


def coming_from(host: object) -> SimpleNamespace:
    return SimpleNamespace(client=SimpleNamespace(host=host))


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("93.184.216.34", "93.184.216.34"),
        ("::ffff:93.184.216.34", "93.184.216.34"),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", "2606:2800:21f:cb07::/64"),
        ("2606:2800:21f:cb07::1", "2606:2800:21f:cb07::/64"),
        ("2606:2800:21f:cb08::1", "2606:2800:21f:cb08::/64"),
        ("127.0.0.1", ""),  # this machine, or a proxy on it
        ("::1", ""),
        ("192.168.1.7", ""),  # at home
        ("172.17.0.1", ""),  # a container's way out
        ("10.16.33.2", ""),  # a Space's proxy
        ("100.64.0.9", ""),
        ("fe80::1%eth0", ""),
        ("fd00::1", ""),
        ("testclient", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_an_address_tells_people_apart_or_nothing(host: object, address: str) -> None:
    assert address_of(coming_from(host)) == address


def test_a_call_without_a_network_has_no_address() -> None:
    assert address_of(None) == address_of(SimpleNamespace(client=None)) == ""


@pytest.fixture
def engine() -> Engine:
    """One whose process isn't started: everything waits."""
    return Engine(Limits(queue=6, queue_per_user=2, queue_per_address=3))


def ask(engine: Engine, owner: str, address: str):
    return engine.submit(Request("text", ("x",), settings=Settings(30)), owner, address)


def test_one_address_cannot_take_the_whole_queue_with_many_sessions(engine: Engine) -> None:
    jobs = [ask(engine, f"session {number}", "93.184.216.34") for number in range(3)]
    with pytest.raises(MachineError) as told:
        ask(engine, "session 3", "93.184.216.34")
    assert (told.value.key, told.value.params) == ("error.queue_full_for_address", {"limit": 3})
    for language in LANGUAGES:
        assert "3" in told.value.in_language(language)
    ask(engine, "somebody else", "93.184.216.35")
    jobs[0].stop()
    ask(engine, "session 3", "93.184.216.34")


def test_where_addresses_are_hidden_nobody_is_counted_by_them(engine: Engine) -> None:
    for number in range(6):
        ask(engine, f"session {number}", "")
    with pytest.raises(MachineError) as told:
        ask(engine, "session 6", "")
    assert told.value.key == "error.queue_full"


def test_a_user_is_told_of_the_nearest_limit(engine: Engine) -> None:
    for _ in range(2):
        ask(engine, "one", "93.184.216.34")
    with pytest.raises(MachineError) as told:
        ask(engine, "one", "93.184.216.34")
    assert told.value.key == "error.queue_full_for_you"
