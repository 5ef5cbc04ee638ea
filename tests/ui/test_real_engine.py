"""The whole app in a browser: the real page on the real engine, with the bundled checkpoints."""

import re
from collections.abc import Callable

import pytest
import soundfile
from gradio_client import Client
from playwright.sync_api import Page, expect

from musicgen_ui.locales import catalogue

WORDS = catalogue("en")
PATIENCE = 240_000  # ms: the first request waits for the engine to warm up
TOKENS = "28"


@pytest.fixture
def page(real_app: str, open_page: Callable[..., Page]) -> Page:
    page = open_page(real_app)
    length = page.get_by_role("spinbutton", name=re.compile(WORDS["page.length"]))
    length.fill(TOKENS)
    length.press("Tab")
    return page


def generate(page: Page) -> None:
    page.get_by_role("button", name=WORDS["page.generate"], exact=True).click()
    done = WORDS["page.status.done"].split("{")[0]
    expect(page.get_by_role("button", name=WORDS["page.generate"], exact=True)).to_be_disabled()
    expect(page.get_by_role("status").filter(has_text=done)).to_be_visible(timeout=PATIENCE)


def record_row(page: Page, name: str) -> str:
    rows = page.get_by_role("row", name=re.compile(f"^{name} "))
    if not rows.first.is_visible():
        page.get_by_role("button", name=WORDS["page.result.record"]).click()
    return rows.first.inner_text()


def test_text(page: Page) -> None:
    page.get_by_label(WORDS["page.prompt"]).fill("slow piano")
    generate(page)
    expect(page.get_by_role("heading", level=2)).to_have_text("slow piano")
    assert TOKENS in record_row(page, "max_new_tokens")
    assert "mindnlp" in record_row(page, "versions")


def test_unconditional(page: Page) -> None:
    page.get_by_role("tab", name=WORDS["page.tab.unconditional"]).click()
    generate(page)
    assert "unconditional" in record_row(page, "mode")


@pytest.mark.parametrize(("mode", "model"), [("continue", "nano"), ("melody", "nano-melody")])
def test_an_example_clip(page: Page, mode: str, model: str) -> None:
    page.get_by_role("tab", name=WORDS["page.tab.audio"]).click()
    page.get_by_role("button", name="Piano tune").click()
    page.get_by_role("radio", name=WORDS[f"page.mode.{mode}"]).check()
    generate(page)
    assert mode in record_row(page, "mode")
    assert record_row(page, "model").split()[-1] == model


def test_the_endpoint_needs_only_a_prompt(real_app: str, tmp_path) -> None:
    client = Client(real_app, verbose=False, download_files=str(tmp_path))
    files, records = client.predict(prompt="slow piano", max_new_tokens=int(TOKENS), seed=3, api_name="/text")
    assert records[0]["seed"] == 3
    assert soundfile.info(files[0]).duration == pytest.approx(0.5)
