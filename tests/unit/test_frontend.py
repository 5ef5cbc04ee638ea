"""Gradio's scripts and styles, as our route answers them."""

import re
from pathlib import Path

import brotli
import httpx
import pytest
from gradio.routes import BUILD_PATH_LIB
from starlette.applications import Starlette

from musicgen_ui.ui.broadcast import Broadcasts
from musicgen_ui.ui.routes import make_routes
from musicgen_ui.ui.sessions import Sessions
from tests.coroutines import run

FILES = sorted(Path(BUILD_PATH_LIB).iterdir())


def first(suffix: str) -> Path:
    return next(path for path in FILES if path.suffix == suffix)


def get(name: str, **headers: str) -> httpx.Response:
    """`Accept-Encoding` is "identity" unless it is given."""

    async def answer() -> httpx.Response:
        app = httpx.ASGITransport(Starlette(routes=make_routes(Broadcasts(), Sessions())))
        async with httpx.AsyncClient(transport=app, base_url="http://page") as client:
            return await client.get(f"/assets/{name}", headers={"Accept-Encoding": "identity"} | headers)

    return run(answer())


@pytest.mark.parametrize(("suffix", "kind"), [(".js", "text/javascript"), (".css", "text/css"), (".woff2", "font/")])
@pytest.mark.parametrize("coding", ["gzip, deflate, br", "gzip", "identity"])
def test_a_file_is_what_gradio_has(suffix: str, kind: str, coding: str) -> None:
    path = first(suffix)
    answer = get(path.name, **{"Accept-Encoding": coding})
    assert answer.content == path.read_bytes()  # httpx has undone the coding
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers.get("content-encoding") == ("br" if "br" in coding and suffix != ".woff2" else None)


def test_it_is_compressed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    name = first(".js").name
    before = get(name, **{"Accept-Encoding": "br"})
    monkeypatch.setattr(brotli, "compress", lambda *_, **__: pytest.fail("again"))
    assert get(name, **{"Accept-Encoding": "br"}).content == before.content


def test_browsers_keep_it_for_its_name_tells_what_is_in_it() -> None:
    assert "immutable" in get(first(".css").name).headers["cache-control"]
    assert [path.name for path in FILES if not re.fullmatch(r".+-[\w-]{8}\.\w+", path.name)] == []


def test_a_part_of_it_may_be_asked_for() -> None:
    path = first(".js")
    answer = get(path.name, Range="bytes=3-9")
    assert (answer.status_code, answer.content) == (206, path.read_bytes()[3:10])


@pytest.mark.parametrize("name", ["none-12345678.js", "..%2findex.html", "%2e%2e/index.html", ".", ""])
def test_nothing_else_is_there(name: str) -> None:
    assert get(name).status_code == 404
