"""`striate serve`: every form of a request, every refusal, batches, clients that go, the end."""

from __future__ import annotations

import json
import re
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
import pytest
from serving import CLASSES, PATIENCE, Fake, Served, answer, picture, served, until

from striate.data.decode import NoMemory
from striate.errors import StriateError
from striate.serve.guard import Guard
from striate.serve.openapi import REFUSALS
from striate.serve.settings import Settings

WHITE, BLACK = picture(255), picture(0)
BROKEN = picture(255, (200, 200), "JPEG")[:300]


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(images=4, body=200_000, pixels=250_000) as found:
        yield found


def form(*parts: tuple[str, bytes], boundary: str = "x--y") -> bytes:
    """A form of parts, each the headers and the content."""
    return (
        b"".join(
            f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"
            for head, content in parts
        )
        + f"--{boundary}--\r\n".encode()
    )


def file(name: str, field: str = "image") -> str:
    said = f'Content-Disposition: form-data; name="{field}"; filename="{name}"'
    return f"{said}\r\nContent-Type: image/png"


def field(name: str) -> str:
    return f'content-disposition: form-data; name="{name}"'


FORM = "multipart/form-data; boundary=x--y"
JSON = "application/json"
TEXT = b64encode(WHITE).decode()


def said(**content: Any) -> bytes:
    return json.dumps(content).encode()


# -- what is asked, and what is answered

FORMS = {
    "raw": ("image/png", WHITE, [None]),
    "bytes": ("application/octet-stream", WHITE, [None]),
    "of no type": ("", WHITE, [None]),
    "as curl says": ("application/x-www-form-urlencoded", WHITE, [None]),
    "form": (FORM, form((file("a.png"), WHITE)), ["a.png"]),
    "quoted boundary": ('Multipart/Form-Data; boundary="x--y"', form((file("a"), WHITE)), ["a"]),
    "preamble": (FORM, b"hello\r\n" + form((file("a"), WHITE)) + b"bye", ["a"]),
    "utf-8": (FORM, form((file("größe.png"), WHITE)), ["größe.png"]),
    "rfc 2231": (
        FORM,
        form(("Content-Disposition: form-data; name=i; filename*=utf-8''%C3%A4.png", WHITE)),
        ["ä.png"],
    ),
    "several": (FORM, form(*((file(f"{n}.png", f"f{n}"), WHITE) for n in "abc")), list("abc")),
    "base64": (JSON, said(image=TEXT), [None]),
    "in lines": (JSON, said(image=f"{TEXT[:20]}\n{TEXT[20:]}\n"), [None]),
    "data address": (JSON, said(image=f"data:image/png;base64,{TEXT}"), [None]),
    "list": (JSON, said(images=[TEXT, {"name": "b", "image": TEXT}]), [None, "b"]),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_has_the_same_answer(server: Served, name: str) -> None:
    kind, body, names = FORMS[name]
    status, headers, told = server.ask(body, kind)
    assert (status, told["model"]) == (200, "fake")
    assert [each["name"] for each in told["predictions"]] == [
        f"{each}.png" if each in ("a", "b", "c") and name == "several" else each for each in names
    ]
    wanted = server.fake(server.fake.pixels(WHITE)[None])[0]
    for each in told["predictions"]:
        assert [guess["class"] for guess in each["top"]] == ["bright", "grey", "dark"]
        assert [guess["index"] for guess in each["top"]] == [2, 1, 0]
        found = np.array([guess["probability"] for guess in each["top"]], np.float32)
        np.testing.assert_array_equal(found, wanted[::-1])  # the very number
    assert headers["cache-control"] == "no-store"


def test_top_is_asked_for_in_each_form(server: Served) -> None:
    asked = [
        server.ask(WHITE, path="/predict?top=1"),
        server.ask(form((file("a"), WHITE), (field("top"), b"1")), FORM),
        server.ask(said(image=TEXT, top=1), JSON),
        server.ask(said(image=TEXT, top=1), JSON, "/predict?top=2"),
    ]
    for status, _, told in asked:
        assert status == 200
        assert [each["class"] for each in told["predictions"][0]["top"]] == ["bright"]
    assert len(server.ask(WHITE, path="/predict?top=99")[2]["predictions"][0]["top"]) == 3


def test_one_bad_image_does_not_spoil_the_others(server: Served) -> None:
    body = form((file("a"), WHITE), (file("b"), BROKEN), (file("c"), BLACK), (file("d"), b""))
    status, _, told = server.ask(body, FORM)
    assert status == 200
    first, second, third, fourth = told["predictions"]
    assert (first["top"][0]["class"], third["top"][0]["class"]) == ("bright", "dark")
    assert "damaged" in second["error"] and "top" not in second
    assert "empty" in fourth["error"]


REFUSED = {
    "text": (422, WHITE[:0] + b"hello", "image/png", "", "not an image"),
    "broken": (422, BROKEN, "image/jpeg", "", "damaged"),
    "svg": (422, b"<svg/>", "image/svg+xml", "", "SVG"),
    "nothing": (400, b"", "image/png", "", "no image"),
    "other type": (415, b"hello", "text/plain", "", "text/plain"),
    "pixels": (413, picture(0, (600, 500)), "image/png", "", "600 x 500"),
    "body": (413, bytes(200_001), "image/png", "", "200,000 bytes"),
    "images": (413, said(images=[TEXT] * 5), JSON, "", "more than 4"),
    "parts": (413, form(*[(file("a"), WHITE)] * 6), FORM, "", "more than 5"),
    "top 0": (400, WHITE, "image/png", "?top=0", "top"),
    "top of the address": (400, said(image=TEXT, top=1), JSON, "?top=0", "top"),
    "top x": (400, WHITE, "image/png", "?top=x", "top"),
    "top list": (400, said(image=TEXT, top=[1]), JSON, "", "top"),
    "top true": (400, said(image=TEXT, top=True), JSON, "", "top"),
    "unknown query": (400, WHITE, "image/png", "?tpo=1", "did you mean top"),
    "no json": (400, b"{", JSON, "", "not JSON"),
    "deep json": (400, b"[" * 100_000, JSON, "", "not JSON"),
    "no utf-8": (400, b"\xff\xfe\x00", JSON, "", "not JSON"),
    "json list": (400, b"[]", JSON, "", "object"),
    "both": (400, said(image=TEXT, images=[TEXT]), JSON, "", "neither"),
    "neither": (400, said(top=1), JSON, "", "neither"),
    "no images": (400, said(images=[]), JSON, "", "no image"),
    "not base64": (400, said(images=[TEXT, "§"]), JSON, "", "images[1] is not base64"),
    "number": (400, said(image=3), JSON, "", "image is not a text"),
    "unknown key": (400, said(imgae=TEXT), JSON, "", "did you mean image"),
    "half a letter": (400, b'{"image": "\\ud800"}', JSON, "", "not base64"),
    "boundary": (400, form((file("a"), WHITE)), "multipart/form-data", "", "no boundary"),
    "long boundary": (400, b"", f"multipart/form-data; boundary={'x' * 5000}", "", "1 to 70"),
    "other boundary": (400, form((file("a"), WHITE)), FORM + "z", "", "does not hold"),
    "cut form": (400, form((file("a"), WHITE))[:-30], FORM, "", "ends before"),
    "no headers": (400, b"--x--y\r\nhello\r\n--x--y--", FORM, "", "begin with headers"),
    "no name": (400, form(("content-disposition: form-data", b"")), FORM, "", "no name"),
    "bad header": (400, form(("hello", b"")), FORM, "", "NAME: VALUE"),
    "parts out of order": (
        400,
        form(("content-disposition: form-data; name*=a; name*0=b", b"")),
        FORM,
        "",
        "no name",
    ),
    "long header": (400, form((file("a" * 5000), WHITE)), FORM, "", "no name"),
    "encoded": (
        400,
        form((file("a") + "\r\ncontent-transfer-encoding: base64", b"")),
        FORM,
        "",
        "encoded",
    ),
    "unknown field": (400, form((field("tip"), b"1")), FORM, "", "did you mean top"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_answered_says_why_and_what_would_help(server: Served, name: str) -> None:
    wanted, body, kind, query, words = REFUSED[name]
    status, _, told = server.ask(body, kind, f"/predict{query}")
    assert status == wanted, told
    assert words in f"{told['error']}: {told['hint']}"
    assert told["error"] and told["hint"] and "Traceback" not in str(told)
    assert str(status) in {str(each) for each in REFUSALS}, "described in the OpenAPI"


def test_ten_thousand_parts_are_not_read(server: Served) -> None:
    many = b"--x--y\r\n" * 20_000
    assert server.ask(many, FORM)[0] == 413
    assert server.ask(b"--x--y\r\n" + b"a: b\r\n" * 20_000, FORM)[0] == 400


def test_a_length_that_lies_is_refused(server: Served) -> None:
    with server.send(server.request(WHITE, content_length="999999999")) as made:
        status, _, told = answer(made)  # at once: nothing more is waited for
    assert (status, told["error"]) == (413, "the body is larger than 200,000 bytes")
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    head = server.request(b"", transfer_encoding="chunked").replace(b"content-length: 0\r\n", b"")
    with server.send(head) as made:
        with suppress(OSError):  # it may be told before all is sent
            made.sendall(chunk * 8)
        assert answer(made)[0] == 413


@pytest.mark.parametrize(
    "request_",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /predict HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        b"POST /predict HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"POST /predict HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"GET / HTTP/9.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_400(server: Served, request_: bytes) -> None:
    with server.send(request_) as made:
        status, _, told = answer(made)
    assert status in (400, 403), told  # 403: it was, and without a name
    assert told["hint"]


def test_addresses_and_methods_that_there_are_not(server: Served) -> None:
    status, _, told = server.get("/predic")
    assert (status, told["hint"]) == (404, "did you mean /predict?")
    status, headers, told = server.get("/predict")
    assert (status, headers["allow"]) == (405, "POST") and "GET" in told["error"]
    assert told["hint"] == "it takes POST"


def test_what_fails_here_is_no_fault_of_the_asker(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake()
    with served(fake) as server:
        fake.spoiled = MemoryError("no more")
        status, headers, told = server.ask(WHITE)
        assert (status, told["error"], headers["retry-after"]) == (503, "no more", "1")
        assert "the server's log has the reason" in told["hint"]
        assert "MemoryError: no more" in capsys.readouterr().err
        fake.spoiled = np.nan
        assert "not finite" in server.ask(WHITE)[2]["error"]
        fake.spoiled = None
        assert server.ask(WHITE)[0] == 200

        def full(self: Fake, content: bytes) -> None:
            raise NoMemory("memory ran out while it was decoded")

        monkeypatch.setattr(Fake, "pixels", full)
        status, headers, told = server.ask(WHITE)
        assert (status, told["hint"]) == (503, "ask again a little later")


# -- who may ask


def test_the_token_is_asked_for_everywhere_but_at_health() -> None:
    token = "a-token-of-this-test"
    with served(token=token) as server:
        routes = server.service.guard.app.routes  # type: ignore[attr-defined]
        paths = [route.path for route in routes]
        assert "/metrics" in paths
        for path in [*paths, "/nothing"]:
            for given in (
                {},
                {"authorization": "Bearer wrong"},
                {"authorization": f"Basic {token}"},
            ):
                status, headers, _ = server.get(path, **given)
                assert status == (200 if path == "/health" else 401), path
                assert path == "/health" or headers["www-authenticate"] == "Bearer"
            status = server.get(path, authorization=f"Bearer {token}")[0]
            assert status == {"/predict": 405, "/nothing": 404}.get(path, 200), path
        assert server.ask(WHITE)[0] == 401
        assert server.ask(WHITE, authorization=f"bearer {token}")[0] == 200
        # A browser comes by an address, and is known by a cookie from then on.
        assert server.get("/?token=wrong")[0] == 401
        assert server.get(f"/metrics?token={token}")[0] == 401, "only the first page"
        status, headers, _ = server.get(f"/?token={token}")
        assert (status, headers["location"]) == (303, "./")
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie
        status, _, page = server.get("/", cookie=cookie.partition(";")[0])
        assert status == 200 and "<title>striate serve</title>" in page
        assert server.ask(WHITE, cookie=cookie.partition(";")[0])[0] == 200
        others = f'lab={{"a": [1, 2]}}; b[=1; {cookie.partition(";")[0]}'  # of other ports
        assert server.ask(WHITE, cookie=others)[0] == 200


@pytest.mark.parametrize("token", ["", "short", "with a space", "größer-als-ASCII"])
def test_a_token_that_is_none(token: str) -> None:
    with pytest.raises(StriateError, match="a token has"):
        Settings(token=token)


def test_hosts_and_origins(server: Served) -> None:
    """On loopback, the own name alone; from a browser, the own page alone."""
    own = f"127.0.0.1:{server.port}"
    hosts = {own: 200, f"localhost:{server.port}": 200, f"LocalHost:{server.port}": 200}
    hosts |= {f"[::1]:{server.port}": 200, "127.0.0.1": 403, f"evil.example:{server.port}": 403}
    for host, wanted in hosts.items():
        assert server.ask(WHITE, host=host)[0] == wanted, host
    origins = {f"http://{own}": 200, "http://evil.example": 403, "null": 403, "file://": 403}
    origins |= {f"http://localhost:{server.port}": 403, "http://[": 403, "": 403}
    for origin, wanted in origins.items():
        assert server.ask(WHITE, origin=origin)[0] == wanted, origin
    with server.send(f"GET / HTTP/1.1\r\nhost: {own}\r\nhost: evil\r\n\r\n".encode()) as made:
        assert answer(made)[0] in (400, 403)


def test_a_port_that_addresses_leave_out() -> None:
    """Browsers name no port 80."""
    for port, passes in ((80, True), (8000, False)):
        asked = {"type": "http", "path": "/", "headers": [(b"host", b"127.0.0.1")]}
        guard = Guard(None, Settings(port=port), port)  # type: ignore[arg-type]
        assert guard.passes(asked) is passes


def test_a_proxys_name_is_let_in() -> None:
    with served(names=("cats.example",)) as server:
        assert server.ask(WHITE, host="cats.example")[0] == 200
        assert server.ask(WHITE, host="Cats.example:8443", origin="https://cats.example")[0] == 200
        assert server.ask(WHITE, origin="https://cats.example")[0] == 200
        assert server.ask(WHITE, host="dogs.example")[0] == 403


# -- batches, and too much


def test_what_comes_while_the_network_computes_is_gathered() -> None:
    with served() as server, ExitStack() as stack:
        fake = server.fake
        fake.hold()
        made = [stack.enter_context(server.send(server.request(WHITE)))]
        assert fake.entered.wait(10)
        made += [stack.enter_context(server.send(server.request(BLACK))) for _ in range(5)]
        until(lambda: server.counted("striate_inside") == 6)
        until(lambda: not line_of(server)._coming)
        fake.free.set()
        told = [answer(each)[2]["predictions"][0]["top"][0]["class"] for each in made]
    assert told == ["bright", *["dark"] * 5]
    best = line_of(server).speed.best
    assert fake.batches[0] == 1 and fake.batches[1] == min(best, 5) and sum(fake.batches) == 6


def line_of(server: Served) -> Any:
    assert server.service.predict is not None
    return server.service.predict.line


def test_too_much_is_refused_at_once_before_the_body_is_read() -> None:
    with served(queue=2) as server, ExitStack() as stack:
        server.fake.hold()
        made = [stack.enter_context(server.send(server.request(WHITE))) for _ in range(2)]
        until(lambda: server.counted("striate_inside") == 2)
        head = server.request(b"", content_length="100000")
        refused = stack.enter_context(server.send(head))  # of whose body nothing is sent
        status, headers, told = answer(refused)
        assert status == 429 and int(headers["retry-after"]) >= 1
        assert f"{headers['retry-after']} s" in told["hint"]
        server.fake.free.set()
        assert [answer(each)[0] for each in made] == [200, 200]
        refused.sendall(bytes(100_000) + server.request(WHITE))  # what was refused is passed over
        assert answer(refused)[0] == 200
        assert server.ask(WHITE)[0] == 200


def test_those_who_have_gone_are_not_computed() -> None:
    with served() as server:
        fake = server.fake
        fake.hold()
        staying = server.send(server.request(WHITE))
        assert fake.entered.wait(10)
        leaving = [server.send(server.request(WHITE)) for _ in range(5)]
        until(lambda: server.counted("striate_inside") == 6)
        for each in leaving:
            each.close()
        until(lambda: server.counted('striate_requests_total{status="499"}') == 5)
        fake.free.set()
        assert answer(staying)[0] == 200
        staying.close()
        assert server.ask(WHITE)[0] == 200
        assert sum(fake.batches) == 2, "the one that stayed, and the one after"
        assert server.counted('striate_images_total{fate="gone"}') == 5
        assert server.counted("striate_inside") == 0


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    with served(answer=0.1) as server:
        server.fake.hold()
        first, second = (server.send(server.request(WHITE)) for _ in range(2))
        for each in (first, second):
            status, headers, told = answer(each)
            assert (status, told["error"]) == (504, "no answer within 0.1 seconds")
            assert "retry-after" in headers
            each.close()
        server.fake.free.set()
        until(lambda: server.counted("striate_inside") == 0)


# -- slow clients


def test_a_body_that_does_not_arrive_ends() -> None:
    with served(reading=0.1) as server, server.send(server.request(WHITE)[:-5]) as made:
        status, _, told = answer(made)
        assert (status, told["error"]) == (408, "the body did not arrive in time")
        assert made.recv(1) == b"", "closed"


def test_a_head_that_does_not_arrive_ends() -> None:
    with served(head=0.2) as server:
        with server.send(b"POST /predict HTTP/1.1\r\n") as made, server.connect() as silent:
            status, _, told = answer(made)
            assert (status, told["error"]) == (
                408,
                "the head of the request did not arrive in time",
            )
            assert made.recv(1) == b""
            assert closed(silent)
        with server.send(server.request(WHITE)) as made:
            assert answer(made)[0] == 200
            assert closed(made), "and one that has nothing more to ask"


def closed(made: socket.socket) -> bool:
    try:
        return made.recv(1) == b""
    except ConnectionError:
        return True


class Talkative(Fake):
    """Has more to say than any buffer holds."""

    def __call__(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.full((len(pixels), len(self.classes)), 1 / len(self.classes), np.float32)


def test_who_does_not_read_the_answer_ends() -> None:
    """Also if it asks again meanwhile, which must not count as being at work."""
    classes = tuple(f"{number:0100}" for number in range(50_000))
    with served(Talkative(classes=classes), head=1.0) as server, socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.settimeout(PATIENCE)
        made.connect(("127.0.0.1", server.port))
        made.sendall(server.request(said(images=[TEXT] * 4), JSON, "/predict?top=50000"))
        until(lambda: server.counted('striate_images_total{fate="scored"}') == 4)
        made.sendall(f"GET /health HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        until(lambda: server.service.connections() == 0)


def test_a_second_request_has_as_long_as_the_first() -> None:
    """What is answered is not idle, though its head came long ago."""
    with served(head=0.2) as server:
        server.fake.hold()
        first = f"GET /health HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\n\r\n".encode()
        with server.send(first + server.request(WHITE)) as made:
            reading = made.makefile("rb")
            assert answer(made, reading)[0] == 200
            assert server.fake.entered.wait(PATIENCE)
            time.sleep(1.0)  # more than a head may take
            server.fake.free.set()
            assert answer(made, reading)[0] == 200


def test_a_head_without_an_end_is_refused(server: Served) -> None:
    with server.connect() as made, suppress(ConnectionError):
        made.sendall(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000)
        assert answer(made)[0] == 431


def test_where_too_much_is_held_the_slowest_gives_way() -> None:
    with served(held=100_000, body=90_000) as server, ExitStack() as stack:
        head = server.request(b"", content_length="80000")
        slow = stack.enter_context(server.send(head + bytes(60_000)))
        until(lambda: server.service.bodies.held == 60_000)
        padded = WHITE + bytes(60_000)
        assert server.ask(padded)[0] == 200
        status, headers, _ = answer(slow)
        assert (status, headers["retry-after"]) == (429, "1")
        until(lambda: server.service.bodies.held == 0)


def test_where_there_are_too_many_connections_the_quietest_goes() -> None:
    with served(connections=3) as server, ExitStack() as stack:
        first, *_ = (stack.enter_context(server.connect()) for _ in range(3))
        until(lambda: server.service.connections() == 3)
        assert server.ask(WHITE)[0] == 200
        assert closed(first)


# -- the end


def test_a_stop_finishes_what_was_accepted_and_refuses_the_rest() -> None:
    fake = Fake()
    with ExitStack() as stack:
        server = stack.enter_context(served(fake))
        fake.hold()
        made = [stack.enter_context(server.send(server.request(WHITE))) for _ in range(6)]
        slow = stack.enter_context(server.send(server.request(WHITE)[:-5]))
        idle = stack.enter_context(server.connect())
        until(lambda: server.counted("striate_inside") == 6)
        server.server.should_exit = True
        status, _, told = answer(slow)
        assert (status, told["error"]) == (503, "the server is about to end")
        assert closed(idle)
        with pytest.raises(ConnectionError):
            server.connect()
        fake.free.set()
        assert [answer(each)[0] for each in made] == [200] * 6


# -- what it tells


def test_metrics_are_prometheus(server: Served) -> None:
    before = server.counted('striate_requests_total{status="200"}')
    assert server.ask(WHITE)[0] == 200
    text = server.get("/metrics")[2]
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"]+"\})? [-+.e\d]+')
    described: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            described.add(line.split()[2])
        elif not line.startswith("#"):
            assert sample.fullmatch(line), line
            name = re.sub(r"_(bucket|sum|count)$", "", line.partition("{")[0].split()[0])
            assert {name, line.partition("{")[0].split()[0]} & described, line
    assert server.counted('striate_requests_total{status="200"}') > before
    buckets = re.findall(r'striate_batch_size_bucket\{le="[^"]+"\} (\d+)', text)
    assert [*map(int, buckets)] == sorted(map(int, buckets)) and int(buckets[-1]) > 0
    assert f"striate_batch_size_count {buckets[-1]}" in text


def test_who_is_turned_away_is_counted() -> None:
    """By the guard, which no application sees, and before there is a request at all."""
    with served() as server:
        assert server.ask(WHITE, host="evil.example")[0] == 403
        with server.send(b"hello\r\n\r\n") as made:
            assert answer(made)[0] == 400
        for status in (400, 403):
            assert server.counted(f'striate_requests_total{{status="{status}"}}') == 1


def test_names_that_are_no_utf_8() -> None:
    """Folders may have any bytes for names, and so may runs and classes."""
    with served(Fake("caf\udce9", ("dark", "grey", "h\udce9ll"))) as server:
        status, _, told = server.ask(WHITE)
        assert (status, told["model"]) == (200, "caf?")
        assert told["predictions"][0]["top"][0]["class"] == "h?ll"


def test_the_description_describes_what_there_is(server: Served) -> None:
    described = server.get("/openapi.json")[2]
    for path, methods in described["paths"].items():
        for method in methods:
            if method == "get":
                assert server.get(path)[0] == 200
    text = json.dumps(described)
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', text):
        found = described
        for key in reference.split("/"):
            found = found[key]
    asked = described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert asked["schema"]["properties"]["images"]["maxItems"] == 4


def test_health_and_ready(server: Served) -> None:
    assert server.get("/health")[2] == {"health": "alive"}
    assert server.get("/ready")[2] == {"ready": True, "model": "fake"}
    ready, server.service.predict = server.service.predict, None
    try:
        assert server.get("/health")[0] == 200
        for status, headers, _ in (server.get("/ready"), server.ask(WHITE)):
            assert (status, headers["retry-after"]) == (503, "1")
    finally:
        server.service.predict = ready


def test_the_page_needs_nothing_from_elsewhere(server: Served) -> None:
    for path in ("/", "/page.js", "/page.css"):
        status, headers, text = server.get(path)
        assert status == 200 and "http://" not in text and "https://" not in text
        assert "default-src 'self'" in headers["content-security-policy"]
    assert CLASSES
