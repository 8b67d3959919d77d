"""Pictures of the lab's page from real runs, wide and narrow, light and dark: docs/images/lab-*.

    python examples/screens.py [cifar10-jpeg.zip]

Without images it trains on digits.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "images"
SCREENS = {1440: 2000, 390: 1600}  # widths and heights, in pixels
LEARNING = 90_000  # milliseconds of training before the first picture
QUALITY = 80  # of WebP
PATIENCE = 120_000


def main() -> None:
    """Start the lab, let it learn, turn a knob, fork; then take the pictures."""
    data = ["--data", str(Path(sys.argv[1]).resolve())] if len(sys.argv) > 1 else []
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    command = [sys.executable, "-m", "striate", "lab", "--no-browser", *data]
    lab = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert lab.stdout is not None
        address = re.search(r"http\S+", lab.stdout.readline())
        assert address, "the lab did not start"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            teach(browser, address[0])
            for width, height in SCREENS.items():
                for scheme in ("light", "dark"):
                    take(browser, address[0], width, height, scheme)
            browser.close()
    finally:
        lab.send_signal(signal.SIGINT)
        lab.wait()


def teach(browser: Browser, address: str) -> None:
    """What a person might do: watch, fork with a tenth of the rate, watch."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    expect(page.locator("#what")).to_contain_text("images seen", timeout=PATIENCE)
    page.wait_for_timeout(LEARNING * 2 // 3)
    page.fill("#knob-learning_rate", "0.002")
    page.click("[aria-label='Fork with this learning rate']")
    expect(page.locator("#branches li")).to_have_count(2)
    page.wait_for_timeout(LEARNING // 3)
    page.close()


def take(browser: Browser, address: str, width: int, height: int, scheme: str) -> None:
    """One picture."""
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme=scheme,  # type: ignore[arg-type]
        device_scale_factor=1,
    )
    page.goto(address)
    expect(page.locator("#stack canvas").first).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(5000)
    shot = Image.open(BytesIO(page.screenshot()))
    shot.save(PICTURES / f"lab-{width}-{scheme}.webp", quality=QUALITY, method=6)
    page.close()


if __name__ == "__main__":
    main()
