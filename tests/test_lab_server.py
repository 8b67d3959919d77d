"""The lab's server: who may speak to it, what it sends, what the editor is told."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import striate
from striate.lab.editor import checked
from striate.lab.frames import frame, unframed
from striate.lab.guard import HEADERS, Guard
from striate.lab.hub import Hub
from striate.lab.server import server

NET = "[8x8x1] conv3-8 relu maxpool2 fc-10 softmax"
PORT, TOKEN = 8765, "a-token-of-this-test"


# -- who may speak to it


@pytest.fixture
def guarded() -> Iterator[Guard]:
    """The server, with pipes that lead nowhere."""
    commands, asks = Pipe(duplex=False)
    frames, tells = Pipe(duplex=False)
    yield server(PORT, TOKEN, asks, frames)
    for each in (commands, asks, frames, tells):
        each.close()


HOSTS = {
    f"127.0.0.1:{PORT}": True,
    f"localhost:{PORT}": True,
    f"[::1]:{PORT}": True,
    "127.0.0.1": False,
    "127.0.0.1:80": False,
    f"evil.example:{PORT}": False,
    f"127.0.0.1.evil.example:{PORT}": False,
    f"localhost.:{PORT}": False,
    "": False,
}
ORIGINS = {None: None, "own": True, "http://evil.example": False, "null": False, "https": False}
COOKIES = {
    "right": f"striate-lab-{PORT}={TOKEN}",
    "wrong": f"striate-lab-{PORT}=another",
    "of another port": f"striate-lab-1={TOKEN}",
    "none": "",
}


def every_route(guard: Guard) -> list[tuple[str, str]]:
    """The kind and a path of each route that there is, so that a new one is asked too."""
    found = [("GET", "/nothing-here")]
    for route in guard.app.routes:  # type: ignore[attr-defined]
        path = route.path + "/main.js" if type(route).__name__ == "Mount" else route.path
        if type(route).__name__ == "WebSocketRoute":
            found.append(("SOCKET", path))
        else:
            methods = getattr(route, "methods", None) or {"GET"}
            found += [(method, path) for method in sorted(methods)]
    return found


def reaches(guard: Guard, kind: str, path: str, headers: dict[str, str]) -> bool:
    """Whether the guard lets it through."""
    reached: list[str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect" if kind == "SOCKET" else "http.request"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    path, _, query = path.partition("?")
    scope = {
        "type": "websocket" if kind == "SOCKET" else "http",
        "method": kind,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(Guard(inner, guard.port, guard.token)(scope, receive, send))
    if not reached:
        refused = sent[0].get("status") == 403 or sent[0]["type"] == "websocket.close"
        assert refused or sent[0].get("status") == 303
    return bool(reached)


def test_every_route_of_every_host_origin_and_token(guarded: Guard) -> None:
    """The whole matrix: only the right host, its own origin, the right token come through."""
    asked = 0
    for (kind, path), host, origin, cookie in itertools.product(
        every_route(guarded), HOSTS, ORIGINS, COOKIES
    ):
        headers = {"host": host}
        if origin is not None:
            given = {"own": f"http://{host}", "https": f"https://{host}"}.get(origin, origin)
            headers["origin"] = given
        if COOKIES[cookie]:
            headers["cookie"] = COOKIES[cookie]
        reads = kind in ("GET", "HEAD")
        own = ORIGINS[origin] if origin is not None else reads
        right = HOSTS[host] and own and cookie == "right"
        assert reaches(guarded, kind, path, headers) == right, (kind, path, headers)
        asked += 1
    assert asked > 1000


def test_two_hosts_or_two_origins_are_refused(guarded: Guard) -> None:
    client = TestClient(guarded, base_url=f"http://127.0.0.1:{PORT}")
    client.cookies.set(f"striate-lab-{PORT}", TOKEN)
    assert client.get("/").status_code == 200
    twice = [("host", f"127.0.0.1:{PORT}"), ("host", "evil.example")]
    assert client.get("/", headers=twice).status_code == 403


def test_the_address_with_the_token_leaves_a_cookie_and_a_clean_address(guarded: Guard) -> None:
    client = TestClient(guarded, base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False)
    assert client.get("/").status_code == 403
    assert client.get("/?token=another").status_code == 403
    assert client.get(f"/page/main.js?token={TOKEN}").status_code == 403, "only the first page"
    many = "&".join(f"x{number}=1" for number in range(9))
    assert client.get(f"/?token={TOKEN}&{many}").status_code == 403, "too many to be looked through"
    arrived = client.get(f"/?token={TOKEN}")
    assert (arrived.status_code, arrived.headers["location"]) == (303, "/")
    cookie = arrived.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    page = client.get("/")
    assert page.status_code == 200 and "<title>striate lab</title>" in page.text
    assert all(page.headers[name] == value for name, value in HEADERS.items())


def test_what_is_sent_is_capped(guarded: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    client = TestClient(guarded, base_url=f"http://127.0.0.1:{PORT}")
    client.cookies.set(f"striate-lab-{PORT}", TOKEN)
    own = {"origin": f"http://127.0.0.1:{PORT}"}
    assert client.post("/check", content=NET, headers=own).json()["totals"]["parameters"] == 1370
    assert client.post("/check", content="x" * 500_000, headers=own).status_code == 413
    assert client.post("/image", content=b"x" * (33 * 2**20), headers=own).status_code == 413
    with (
        client.websocket_connect(f"ws://127.0.0.1:{PORT}/socket", headers=own) as window,
        pytest.raises(WebSocketDisconnect),
    ):
        window.send_text("x" * 300_000)
        window.receive_text()


# -- what it sends


@given(
    some.dictionaries(
        some.text("abc/.", min_size=1, max_size=8),
        arrays.arrays(
            some.sampled_from([np.uint8, np.int32, np.float32]),
            arrays.array_shapes(min_dims=1, max_dims=4, max_side=5),
        ),
        max_size=4,
    ),
    some.dictionaries(some.text(max_size=5), some.integers(-9, 9) | some.text(max_size=9)),
)
def test_a_frame_comes_back_as_it_was(
    given_arrays: dict[str, np.ndarray[Any, Any]], about: dict[str, Any]
) -> None:
    about = {key: value for key, value in about.items() if key not in ("topic", "arrays")}
    header, found = unframed(frame("maps", about, given_arrays))
    assert header["topic"] == "maps" and {**about}.items() <= header.items()
    assert found.keys() == given_arrays.keys()
    for name, each in given_arrays.items():
        np.testing.assert_array_equal(found[name], each)
    assert all(each["at"] % 4 == 0 for each in header["arrays"])


def test_numbers_that_json_has_no_word_for_are_null() -> None:
    header, _ = unframed(frame("vitals", {"values": [1.0, math.nan, {"x": math.inf}]}, {}))
    assert header["values"] == [1.0, None, {"x": None}]
    with pytest.raises(ValueError, match="is of float64"):
        frame("x", {}, {"wide": np.zeros(2)})


def test_a_window_gets_the_newest_of_each_topic_and_never_a_queue() -> None:
    async def run() -> list[bytes]:
        hub, seen = Hub(), []
        hub.publish("a", b"a0")
        frames = hub.frames()
        seen.append(await anext(frames))
        for number in range(1000):
            hub.publish("a", b"a%d" % number)
            hub.publish("b", b"b%d" % number)
        hub.publish("answer/1", b"once", once=True)
        seen += [await anext(frames) for _ in range(3)]
        await frames.aclose()  # type: ignore[attr-defined]
        assert not hub.windows and hub.newest.keys() == {"a", "b"}
        return seen

    assert asyncio.run(run()) == [b"a0", b"a999", b"b999", b"once"]


# -- the editor


def test_the_editor_has_each_words_numbers() -> None:
    found = checked("[32x32x3] (conv3-16 relu)*2 maxpool2 fc-10 softmax")
    first, *_ = found["words"]
    assert (first["times"], first["volume"], first["field"]) == (2, "32x32x16", "5x5")
    assert sum(each["parameters"] for each in found["words"]) == found["totals"]["parameters"]
    assert (
        found["totals"]["parameters"]
        == striate.read(found["canonical"]).account().totals.parameters
    )


def test_the_editor_has_the_place_of_an_error_and_its_repairs() -> None:
    text = "[32x32x3] conv5-16/3 fc-10 softmax"
    error = checked(text)["error"]
    assert text[error["start"] : error["end"]] == "conv5-16/3"
    assert error["hints"] and error["note"] and (error["line"], error["column"]) == (1, 11)
    assert "more than" in checked("x" * 200_000)["error"]["message"]


# -- what cannot begin


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lenet6"], "lenet5"),
        (["[8x8x1] conv3-4 relu fc-7 softmax"], "digits has 10 classes"),
        (["--data", "nothere.zip"], "nothere.zip"),
        (["--recipe", "labb"], "labb"),
        (["--set", "lr=abc"], "learning_rate must be a number"),
    ],
)
def test_what_cannot_begin_ends_with_the_reason(
    words: list[str], said: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "striate", "lab", "--no-browser", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 1
    assert said in done.stderr and "Traceback" not in done.stderr
