"""The lab's page in a real Chromium, on a lab that really trains."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from websockets.sync.client import connect

from striate.lab.frames import unframed
from striate.runs import open_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
PATIENCE = 30_000  # milliseconds: of a machine that does much else


class Lab:
    """`striate lab` as a process."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "striate", "lab", "--no-browser", *options]
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, text=True, env=os.environ
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        found = re.fullmatch(r"striate lab: (http://127\.0\.0\.1:\d+)/\?token=(\S+)\n", said)
        assert found, said
        self.origin, self.token = found[1], found[2]

    @property
    def address(self) -> str:
        return f"{self.origin}/?token={self.token}"

    def close(self) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(20) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()

    def frame(self, topic: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The newest frame of a topic, as another window gets it."""
        port = self.origin.rpartition(":")[2]
        cookie = f"striate-lab-{port}={self.token}"
        address = f"{self.origin.replace('http', 'ws')}/socket"
        headers = {"Cookie": cookie, "Origin": self.origin}
        with connect(address, additional_headers=headers, max_size=None) as window:
            for content in window:
                header, arrays = unframed(bytes(content))
                if header["topic"] == topic:
                    return header, arrays
        raise AssertionError(f"no frame of {topic}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("lab"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM, "the tests need Debian's chromium: make chromium"
    with sync_playwright() as playwright:
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *camera])
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser, lab: Lab) -> Iterator[Page]:
    """The page of a lab that trains its first network, without an error in the console."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    found = context.new_page()
    faults: list[str] = []
    found.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    found.on("pageerror", lambda error: faults.append(str(error)))
    found.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    found.goto(lab.address)
    expect(found.locator("#what")).to_contain_text("images seen")
    yield found
    context.close()
    assert faults == []


def seen(page: Page) -> int:
    """How many images it says it has seen."""
    found = re.search(r"([\d,]+) images seen", page.inner_text("#what"))
    assert found
    return int(found[1].replace(",", ""))


def rest(page: Page) -> None:
    """Pause, and wait until it does."""
    if page.inner_text("#run") == "Pause":
        page.click("#run")
    expect(page.locator("#run")).to_have_text("Train")


def pixels(page: Page, selector: str) -> np.ndarray[Any, Any]:
    """A canvas, (rows, columns, 4)."""
    found = page.evaluate(
        """(selector) => {
          const canvas = document.querySelector(selector);
          const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return [canvas.height, canvas.width, [...image.data]];
        }""",
        selector,
    )
    return np.array(found[2], dtype=np.uint8).reshape(found[0], found[1], 4)


def tiles(canvas: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """The grey tiles on a canvas, (tiles, rows, columns), at their own size."""
    count, height, width = shape
    times = next(
        times
        for times in (8, 4, 2, 1)
        if (canvas.shape[1] + 1) % (width * times + 1) == 0
        and (canvas.shape[0] + 1) % (height * times + 1) == 0
    )
    across = (canvas.shape[1] + 1) // (width * times + 1)
    found = []
    for tile in range(count):
        top, left = tile // across * (height * times + 1), tile % across * (width * times + 1)
        part = canvas[top : top + height * times : times, left : left + width * times : times]
        found.append(part[..., 0])
    return np.stack(found)


def test_it_trains_pauses_and_steps(page: Page) -> None:
    expect(page.locator("#run")).to_have_text("Pause")
    first = seen(page)
    expect(page.locator("#what")).not_to_contain_text(f" {first:,} images")
    rest(page)
    at = seen(page)
    page.click("#step")
    expect(page.locator("#what")).not_to_contain_text(f" {at:,} images")
    assert at < seen(page) <= at + 32, "one step, of an epoch's end with fewer images"
    page.click("#run")
    expect(page.locator("#run")).to_have_text("Pause")


@pytest.mark.parametrize(
    ("knob", "value"),
    [("learning_rate", "0.015"), ("momentum", "0.8"), ("batch", "16"), ("weight_decay", "0.001")],
)
def test_a_knob_that_is_turned_leaves_its_mark(page: Page, knob: str, value: str) -> None:
    page.fill(f"#knob-{knob}", value)
    page.press(f"#knob-{knob}", "Enter")
    expect(page.locator("#marks")).to_contain_text(re.compile(rf"{knob} .* → {value}"))
    expect(page.locator(f"#knob-{knob}")).to_have_value(value)


def test_a_knob_that_cannot_be_says_why_and_nothing_is_lost(page: Page) -> None:
    before = page.input_value("#knob-batch")
    page.fill("#knob-batch", "0")
    page.press("#knob-batch", "Enter")
    expect(page.locator("#status")).to_contain_text("batch")
    page.locator("#knob-batch").blur()
    expect(page.locator("#knob-batch")).to_have_value(before)


def test_an_error_in_the_text_is_shown_in_place_and_mended(page: Page) -> None:
    rest(page)
    text = page.input_value("#text")
    page.fill("#text", "[8x8x1] conv3-8/3 relu fc-10 softmax")
    expect(page.locator("#errors")).to_contain_text("Line 1, column 9")
    expect(page.locator("#errors")).to_contain_text("does not fit the 8x8x1 volume")
    expect(page.locator(".marks mark")).to_have_text("conv3-8/3")
    expect(page.locator("#apply")).to_be_disabled()
    page.fill("#text", "[8x8x1] conv3-8 relu maxpool2 fc-10 softmax")
    expect(page.locator("#errors")).to_be_empty()
    expect(page.locator(".margin")).to_contain_text("4x4x8")
    expect(page.locator("#kept")).to_contain_text("anew")
    page.click("#apply")
    expect(page.locator("#status")).to_contain_text("anew")
    expect(page.locator("#stack h3")).to_contain_text(["conv1", "relu1", "maxpool1", "fc1"])
    expect(page.locator("#stack h3").first).to_have_text("conv1 8 · 1 · 3 · 3 + 8 = 80 parameters")
    page.fill("#text", text)
    expect(page.locator("#apply")).to_be_enabled()
    page.click("#apply")
    expect(page.locator("#apply")).to_be_disabled()
    page.click("#run")


def test_a_fork_goes_on_beside_and_can_be_dropped(page: Page) -> None:
    page.fill("#knob-learning_rate", "0.002")
    page.click("[aria-label='Fork with this learning rate']")
    expect(page.locator("#branches li")).to_have_count(2)
    expect(page.locator("#branches")).to_contain_text("forked off main after")
    page.click("#branches button:text('fork 1')")
    expect(page.locator("#knob-learning_rate")).to_have_value("0.002")
    page.click("[aria-label='Drop fork 1']")
    expect(page.locator("#branches li")).to_have_count(1)


def test_an_own_image_is_looked_at(page: Page, tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 60), 255, dtype=np.uint8)).save(tmp_path / "white.png")
    page.set_input_files("#file", tmp_path / "white.png")
    expect(page.locator("#seen")).to_contain_text("your image, in evaluation mode")
    rest(page)
    assert (pixels(page, "#subject")[..., :3] == 255).all()
    page.set_input_files("#file", {"name": "b.png", "mimeType": "image/png", "buffer": b"no"})
    expect(page.locator("#status")).to_contain_text("image")
    page.click("#next-image")
    expect(page.locator("#seen")).to_contain_text("test image")
    page.click("#run")


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_an_image_can_be_dropped_or_pasted(page: Page, way: str) -> None:
    made = BytesIO()
    Image.fromarray(np.zeros((9, 9), dtype=np.uint8)).save(made, "png")
    page.evaluate(
        """([way, bytes]) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "black.png", { type: "image/png" }));
          const about = { bubbles: true, cancelable: true };
          const event = way === "drop"
            ? new DragEvent("drop", { ...about, dataTransfer: data })
            : new ClipboardEvent("paste", { ...about, clipboardData: data });
          document.querySelector("#drop").dispatchEvent(event);
        }""",
        [way, list(made.getvalue())],
    )
    expect(page.locator("#seen")).to_contain_text("your image")
    page.click("#next-image")


def test_the_camera_takes_a_picture(page: Page) -> None:
    page.click("#camera")
    expect(page.locator("#seen")).to_contain_text("your image")
    page.click("#next-image")
    expect(page.locator("#seen")).to_contain_text("test image")


def test_update_rules_are_compared_from_the_same_beginning(page: Page) -> None:
    page.click("#compare summary")
    page.click("#begin-comparison")
    for rule in ("sgd", "momentum", "adam"):
        expect(page.locator("#branches")).to_contain_text(rule)
    expect(page.locator("#branches li")).to_have_count(3)
    expect(page.locator("#knob-momentum")).to_be_disabled()
    expect(page.locator("#why-momentum")).to_have_text("the rule sgd does not read it")
    page.click("#branches button:text('adam')")
    expect(page.locator("#knob-momentum")).to_be_enabled()
    page.click("[aria-label='Drop sgd']")
    page.click("[aria-label='Drop adam']")
    expect(page.locator("#branches li")).to_have_count(1)


def test_the_past_can_be_scrubbed(page: Page) -> None:
    expect(page.locator("#moment")).to_have_attribute("max", re.compile(r"[3-9]|\d\d+"))
    page.evaluate(
        """() => {
          const slider = document.querySelector("#moment");
          slider.value = 1;
          slider.dispatchEvent(new Event("input"));
        }"""
    )
    expect(page.locator("#moment-seen")).to_contain_text("images")
    expect(page.locator("#moment-filters canvas").first).to_be_visible()


def test_a_reload_finds_the_state_again_and_two_windows_the_same(page: Page) -> None:
    rest(page)
    at, text = seen(page), page.input_value("#text")
    page.reload()
    expect(page.locator("#what")).to_contain_text(f"{at:,} images seen")
    assert page.input_value("#text") == text
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator("#what")).to_contain_text(f"{at:,} images seen")
    other.click("#step")
    expect(page.locator("#what")).not_to_contain_text(f" {at:,} images seen")
    expect(page.locator("#run")).to_have_text("Train")
    other.close()
    page.click("#run")


def test_the_pictures_are_the_numbers(page: Page, lab: Lab) -> None:
    """Each pixel of a canvas against the array that was sent, tile by tile."""
    rest(page)
    for kind, topic in (("activations", "maps"), ("gradients", "maps"), ("weights", "weights")):
        for _ in range(100):  # the last frame may still be on its way, to either window
            sent = lab.frame(topic)[1][f"conv1/{kind}"]
            drawn = tiles(pixels(page, f"[data-layer=conv1][data-kind={kind}]"), sent.shape)
            if (drawn == sent).all():
                break
            page.wait_for_timeout(100)
        assert (drawn == sent).all(), kind
    page.click("#run")


def test_a_unit_has_a_page_by_its_own_address(page: Page) -> None:
    canvas = page.locator("[data-layer=relu1][data-kind=activations]")
    canvas.click(position={"x": 3, "y": 3})
    expect(page.locator("#unit-title")).to_have_text("Unit 0 of relu1")
    assert page.url.endswith("#unit/relu1/0")
    expect(page.locator("#unit .part")).to_have_count(10, timeout=120_000)
    expect(page.locator("#unit-told")).to_contain_text("test images that excite it most")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#unit-title")).to_have_text("Unit 1 of relu1")
    page.reload()
    expect(page.locator("#unit-title")).to_have_text("Unit 1 of relu1")
    expect(page.locator("#unit .part")).to_have_count(10, timeout=120_000)
    page.evaluate("location.hash = '#unit/relu1/99'")
    expect(page.locator("#unit-told")).to_contain_text("relu1 has no unit 99: they go from 0 to 15")
    page.click("#unit a")
    expect(page.locator("#unit")).to_be_hidden()


def test_pointing_at_a_map_says_its_value_and_what_it_sees(page: Page) -> None:
    canvas = page.locator("[data-layer=conv1][data-kind=activations]")
    canvas.hover(position={"x": 1, "y": 1})
    said = page.locator(".layer", has=page.locator("[data-layer=conv1]")).locator(".under").first
    expect(said).to_contain_text("map 0 at 0,0: about ")
    expect(said).to_contain_text("sees rows -1 to 1, columns -1 to 1")
    expect(page.locator("#box")).to_be_visible()


def test_a_saved_run_can_be_begun_with(page: Page) -> None:
    page.click("#save")
    expect(page.locator("#status")).to_contain_text("Saved as runs/")
    name = re.search(r"(runs/\S+),", page.inner_text("#status"))
    assert name
    page.select_option("#runs", name[1])
    expect(page.locator("#status")).to_contain_text(f"begun with the weights of {name[1]}")


def test_a_server_that_ends_and_begins_again(browser: Browser, tmp_path: Path) -> None:
    first = Lab(tmp_path)
    port = first.origin.rpartition(":")[2]
    window = browser.new_page()
    window.goto(first.address)
    expect(window.locator("#what")).to_contain_text("images seen")
    window.fill("#text", "[8x8x1] conv3-4 relu fc-10 softmax")
    first.close()
    expect(window.locator("#status")).to_contain_text("The lab does not answer")
    second = Lab(tmp_path, "--port", port)
    expect(window.locator("#status")).to_contain_text("started anew: open the address")
    assert window.input_value("#text") == "[8x8x1] conv3-4 relu fc-10 softmax"
    window.goto(second.address)
    expect(window.locator("#what")).to_contain_text("images seen")
    expect(window.locator("body")).not_to_have_class("lost")
    window.close()
    second.close()


def test_a_notebooks_view_draws_what_it_is_sent(browser: Browser, tmp_path: Path) -> None:
    """The modules as anywidget loads them, with a model that hands over the frames of a run."""
    command = [sys.executable, "-m", "striate", "train", "[8x8x1] conv3-8 relu fc-10 softmax"]
    command += ["--data", "digits", "epochs=1", "--run", str(tmp_path / "run")]
    subprocess.run(command, check=True, capture_output=True, env=os.environ)
    watch = open_run(tmp_path / "run").watch()
    sent: list[bytes] = []
    watch.send = lambda content, buffers=None: sent.extend(buffers)
    watch.look()
    window = browser.new_page()
    faults: list[str] = []
    window.on("pageerror", lambda error: faults.append(str(error)))
    window.set_content("<div id='cell'></div>")
    module = watch._esm.replace("export default", "window.widget =")
    window.add_script_tag(content=module, type="module")
    window.evaluate(
        """(frames) => {
          const model = { send: () => {}, on: (name, heard) => { model.heard = heard; } };
          window.widget.render({ model, el: document.querySelector("#cell") });
          for (const bytes of frames) model.heard({}, [new DataView(new Uint8Array(bytes).buffer)]);
        }""",
        [list(each) for each in sent],
    )
    expect(window.locator(".what")).to_contain_text("epoch 2")
    expect(window.locator("#stack h3")).to_contain_text(["conv1", "relu1", "fc1"])
    kept = next(each for header, each in map(unframed, sent) if header["topic"] == "weights")
    filters = kept["conv1/weights"]
    drawn = tiles(pixels(window, "[data-layer=conv1][data-kind=weights]"), filters.shape)
    assert (drawn == filters).all()
    assert pixels(window, ".loss")[..., 3].any() and faults == []
    window.close()


def test_overfitting_and_checking_gradients(page: Page) -> None:
    page.click("#gradients")
    expect(page.locator("#status")).to_contain_text(re.compile("right: .* 4[5-8] weights compared"))
    page.click("#overfit")
    expect(page.locator("#branches")).to_contain_text("by heart")
    page.click("#overfit")
    expect(page.locator("#branches li")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [380, 1440])
def test_nobody_is_left_out(page: Page, scheme: str, width: int) -> None:
    """Axe finds no serious fault, and nothing is wider than the window."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 900})
    expect(page.locator("#stack canvas").first).to_be_visible()
    found = Axe().run(page)
    grave = [
        (each["id"], each["nodes"][0]["target"])
        for each in found.response["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert grave == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_reaches_every_knob(page: Page) -> None:
    page.locator("body").focus()
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"run", "text", "knob-learning_rate", "logarithmic", "moment", "scale"} <= reached
