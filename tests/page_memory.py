"""The lab's page for ten minutes in Chromium: its memory must not grow.

    python tests/page_memory.py [--minutes 10]

Every ten seconds the garbage is collected, and the heap of the page's JavaScript and its elements
are counted, while the lab trains and somebody turns knobs, scrubs and looks at other images. Exit 1
where the last third lies above the second by more than a tenth and a megabyte, in either.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, expect, sync_playwright
from test_lab_page import Lab

EVERY = 10.0  # seconds
GROWTH, MEGABYTE = 1.1, 2**20


def busy(page: Page, turn: int) -> None:
    """What a person might do meanwhile."""
    page.fill("#knob-learning_rate", f"{0.01 + 0.001 * (turn % 10):.3f}")
    page.press("#knob-learning_rate", "Enter")
    page.click("#next-image")
    page.evaluate(
        """(part) => {
          const slider = document.querySelector("#moment");
          slider.value = Math.round(part * slider.max);
          slider.dispatchEvent(new Event("input"));
        }""",
        turn % 5 / 5,
    )


def main() -> int:
    """Watch, measure, judge."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--minutes", type=float, default=10)
    given = options.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    heaps: list[float] = []
    elements: list[int] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(lab.address)
        expect(page.locator("#what")).to_contain_text("images seen", timeout=60_000)
        engine = page.context.new_cdp_session(page)
        until, turn = time.monotonic() + 60 * given.minutes, 0
        while time.monotonic() < until:
            busy(page, turn)
            page.wait_for_timeout(1000 * EVERY)
            engine.send("HeapProfiler.collectGarbage")
            heaps.append(engine.send("Runtime.getHeapUsage")["usedSize"])
            elements.append(page.evaluate("document.querySelectorAll('*').length"))
            turn += 1
            print(f"{turn * EVERY:5.0f} s  {heaps[-1] / MEGABYTE:6.2f} MB  {elements[-1]} elements")
        browser.close()
        lab.close()
    grown = [grows("heap, bytes", heaps, MEGABYTE), grows("elements", elements, 50)]
    return int(any(grown))


def grows(what: str, values: Sequence[float], slack: float) -> bool:
    """Whether the last third lies above the second by more than a tenth and some slack."""
    third = len(values) // 3
    middle, last = median(values[third : 2 * third]), median(values[2 * third :])
    grown = last > GROWTH * middle + slack
    said = "it grows" if grown else "flat"
    print(f"{what}: {middle:,.0f} in the middle, {last:,.0f} at the end: {said}")
    return grown


if __name__ == "__main__":
    sys.exit(main())
