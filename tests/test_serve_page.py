"""The page of `striate serve` in a real Chromium: an image is dropped, its classes are told."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect, sync_playwright
from serving import Served, picture, served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
PATIENCE = 30_000  # milliseconds
TOKEN = "a-token-of-this-test"


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(token=TOKEN) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM, "the tests need Debian's chromium: make chromium"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_images_are_answered_on_the_page(server: Served, browser: Browser, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 844})  # type: ignore[arg-type]
    page = context.new_page()
    faults: list[str] = []
    asked: list[str] = []
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page.goto(f"http://127.0.0.1:{server.port}/?token={TOKEN}")
    expect(page.locator("#model")).to_have_text("fake")
    assert TOKEN not in page.url
    page.set_input_files(
        "#files",
        [
            {"name": "snow.png", "mimeType": "image/png", "buffer": picture(255)},
            {"name": "night.jpg", "mimeType": "image/jpeg", "buffer": picture(0, (60, 40), "JPEG")},
        ],
    )
    expect(page.locator("#answers > li")).to_have_count(2)
    night, snow = page.locator("#answers > li").all()
    expect(night.locator("h2")).to_have_text("night.jpg")
    expect(night.locator(".classes li").first).to_contain_text("dark")
    expect(snow.locator(".classes li").first).to_contain_text("bright")
    expect(page.locator("#status")).to_contain_text("night.jpg: dark")
    axe = Axe().run(page)
    assert axe.violations_count == 0, axe.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert faults == []
    assert all(each.startswith((f"http://127.0.0.1:{server.port}/", "blob:")) for each in asked)
    # What cannot be used says why.
    bad = {"name": "notes.png", "mimeType": "image/png", "buffer": b"hello"}
    page.set_input_files("#files", [bad])
    expect(page.locator("#answers > li").first).to_contain_text("not an image of a known format")
    context.close()
