"""`striate serve` as a process: the run's own answers, a clean stop, workers begun again."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from serving import PATIENCE, picture, until

from striate.compute import Compute
from striate.errors import StriateError
from striate.recipes import Recipe
from striate.serve.opening import Opening
from striate.serve.serving import serve
from striate.serve.settings import Settings
from striate.session import begin
from striate.ship.predictor import open_predictor


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the toy: 4x4 images, dark, grey or bright."""
    path = tmp_path_factory.mktemp("runs") / "brightness"
    session = begin(path, toy.NETWORK, toy.splits(), Recipe(epochs=2, batch=8), Compute())
    for _ in session.records():
        pass
    return path


def workers(parent: int) -> list[int]:
    """Processes that listen, in the order in which they began."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    found = [int(each) for each in children.read_text().split()]
    return [each for each in found if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


class Process:
    """`striate serve` that has said where it listens."""

    def __init__(self, run: Path, *options: str) -> None:
        command = [sys.executable, "-m", "striate", "serve", str(run), "--port", "0", *options]
        command += [] if "--engine" in options else ["--engine", "exact"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
        )
        assert self.process.stdout is not None
        self.about = self.process.stdout.readline()
        said = re.fullmatch(r"striate serve: http://127\.0\.0\.1:(\d+)/\n", self.line())
        assert said, self.process.communicate()
        self.port = int(said[1])

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def ask(self, body: bytes) -> Any:
        made = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            made.request("POST", "/predict?top=3", body, {"content-type": "image/png"})
            answer = made.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            made.close()

    def get(self, path: str) -> str:
        made = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            made.request("GET", path)
            return made.getresponse().read().decode()
        finally:
            made.close()

    def workers(self) -> list[int]:
        return workers(self.process.pid)

    def stop(self, how: int = signal.SIGTERM) -> str:
        """Its standard error, and that it ended well."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        _, errors = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, errors
        assert "Traceback" not in errors
        return errors


@pytest.fixture(scope="module")
def process(run: Path) -> Iterator[Process]:
    """One that several tests ask; Ctrl-C ends it well."""
    made = Process(run)
    try:
        yield made
        assert made.stop(signal.SIGINT) == ""
    finally:
        made.process.kill()
        made.process.communicate()


def test_it_answers_what_the_run_does(run: Path, process: Process) -> None:
    predictor = open_predictor(run, engine="exact", threads=1)
    assert re.fullmatch(
        r"brightness: 3 classes, 4x4x1, pytorch; [\d,]+ images/s in batches of \d+\n",
        process.about,
    )
    for content in (picture(0), picture(127, (40, 20), "JPEG"), picture(255, (9, 9))):
        status, told = process.ask(content)
        assert status == 200
        wanted = predictor(predictor.pixels(content)[None])[0]
        guesses = told["predictions"][0]["top"]
        assert [each["index"] for each in guesses] == [*np.argsort(-wanted, kind="stable")]
        for each in guesses:
            assert each["class"] == predictor.classes[each["index"]]
            assert np.float32(each["probability"]) == wanted[each["index"]]


@pytest.mark.skipif(not shutil.which("curl"), reason="runs curl")
def test_the_examples_of_the_docs(process: Process, tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs/serving.md").read_text("utf-8")
    examples = re.findall(r"^curl .+$", page, re.MULTILINE)
    assert len(examples) >= 5
    (tmp_path / "cat.jpg").write_bytes(picture(0, (60, 40), "JPEG"))
    (tmp_path / "dog.png").write_bytes(picture(255))
    for line in examples:
        command = line.replace(":8000/", f":{process.port}/")
        done = subprocess.run(
            ["bash", "-c", f"{command} --silent --fail-with-body"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        likeliest = [each["top"][0]["class"] for each in json.loads(done.stdout)["predictions"]]
        given = re.findall(r"cat\.jpg|dog\.png", line)
        assert likeliest == [{"cat.jpg": "dark", "dog.png": "bright"}[each] for each in given]


def test_a_stop_in_full_traffic_loses_nothing_that_was_accepted(run: Path) -> None:
    process = Process(run)
    content = picture(255, (3000, 3000))  # takes a while to decode

    def ask(number: int) -> str:
        with socket.create_connection(("127.0.0.1", process.port), PATIENCE) as made:
            made.settimeout(PATIENCE)
            head = f"POST /predict HTTP/1.1\r\nhost: 127.0.0.1:{process.port}\r\n"
            made.sendall(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
            return made.makefile("rb").readline().decode().split()[1]

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, number) for number in range(6)]
        until(lambda: inside(process) + sum(each.done() for each in asked) == 6)
        stopping = pool.submit(process.stop)
        assert [each.result() for each in asked] == ["200"] * 6
        assert stopping.result() == ""


def inside(process: Process) -> float:
    found = re.search(r"^striate_inside (\d+)$", process.get("/metrics"), re.MULTILINE)
    assert found
    return float(found[1])


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_workers_share_the_port_and_are_begun_again(run: Path) -> None:
    made = Process(run, "--workers", "2")
    try:
        assert {made.ask(picture(n))[0] for n in range(12)} == {200}, "once it is said to listen"
        first, second = made.workers()
        os.kill(first, signal.SIGKILL)
        assert "ended by signal 9 and is begun again" in made.line() + made.line()
        assert {made.ask(picture(n))[0] for n in range(12)} == {200}, "while the other is loaded"
        until(lambda: len(made.workers()) == 2 and "striate_ready 2" in made.get("/metrics"))
        assert first not in made.workers() and second in made.workers()
        assert made.ask(picture(255))[0] == 200
        text = made.get("/metrics")
        assert "striate_begun_again_total 1" in text
        left = made.workers()
        made.process.kill()  # whoever began them ends without a word: so do they
        made.process.wait()
        until(lambda: not any(alive(each) for each in left))
    finally:
        made.process.kill()
        made.process.communicate()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_ctrl_c_while_it_begins_is_a_stop_like_any_other(run: Path) -> None:
    """To all at once, as a terminal sends it."""
    command = [sys.executable, "-m", "striate", "serve", str(run), "--port", "0"]
    made = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        until(lambda: workers(made.pid))
        time.sleep(0.3)  # it imports what it needs
        os.killpg(made.pid, signal.SIGINT)
        _, errors = made.communicate(timeout=PATIENCE)
        assert (made.returncode, errors) == (0, "")
    finally:
        made.kill()
        made.communicate()


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_what_cannot_be_served_ends_with_the_reason(tmp_path: Path) -> None:
    words = ["serve", str(tmp_path / "nothere"), "--port", "0"]
    command = [sys.executable, "-m", "striate", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(f"there is no run at {tmp_path / 'nothere'}; ")
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StriateError, match=f"port {port} .* --port 0 takes a free one"):
            serve(Opening(str(tmp_path), "auto", 1), Settings(port=port))
    with pytest.raises(StriateError, match=r"a\.\.b port 8000 cannot be listened on"):
        serve(Opening(str(tmp_path), "auto", 1), Settings(host="a..b"))
