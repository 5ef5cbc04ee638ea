"""What the page says only on a Space of the hub, on the fake engine."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.ui.conftest import launched
from tests.ui.steps import words

OpenPage = Callable[..., Page]
FAKE = Path(__file__).with_name("fake_app.py")


def test_a_space_can_be_duplicated(open_page: OpenPage, tmp_path: Path) -> None:
    with launched(FAKE, tmp_path / "log.txt", SPACE_ID="some-body/music.gen") as url:
        for locale, width in (("en-US", 1280), ("zh-CN", 390)):
            page = open_page(url, locale=locale, width=width)
            link = page.get_by_role("link", name=words("page.space.duplicate", locale))
            expect(link).to_be_visible()
            address = "https://huggingface.co/spaces/some-body/music.gen?duplicate=true"
            expect(link).to_have_attribute("href", address)
            expect(link).to_have_attribute("target", "_blank")


def test_elsewhere_nothing_is_said_of_it(fake_app: str, open_page: OpenPage) -> None:
    page = open_page(fake_app)
    expect(page.get_by_role("link", name=words("page.space.duplicate"))).to_have_count(0)
