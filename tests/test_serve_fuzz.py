"""Whatever is sent to `striate serve`: an answer or a refusal, never a fault, never a crash."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from serving import Served, answer, picture, served

from striate.serve.forms import Asked, asked
from striate.serve.multipart import parts
from striate.serve.refusal import Refusal

MOST = 8
PNG = picture(200)
EXAMPLES = settings(max_examples=300, deadline=None)
HTTP = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

boundaries = some.text("0123456789abcXYZ'()+_,-./:=?", min_size=1, max_size=70)
names = some.text(some.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'))
words = some.sampled_from(
    [
        *(b"--", b"\r\n", b"\r\n\r\n", b"x", b"--x", b"--x--", b": ", b"content-disposition"),
        *(
            b'form-data; name="a"; filename="b"',
            b"form-data; name*=x''%",
            b"content-type",
            b"image/",
        ),
        *(b"top", PNG, b"\xff\x00", b'"', b"=?utf-8?q?=", b";"),
    ]
)
scraps = some.lists(words | some.binary(max_size=8), max_size=30).map(b"".join)
kinds = some.sampled_from(
    [
        *("multipart/form-data; boundary=x", "multipart/form-data; boundary*=x''x", "image/png"),
        *("application/json", "multipart/form-data; boundary", "Application/JSON; charset=x", ""),
    ]
) | some.text(max_size=60)
texts = some.text(max_size=20) | some.just(b64encode(PNG).decode())
values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | texts,
    lambda inner: (
        some.lists(inner, max_size=4)
        | some.dictionaries(some.sampled_from(["image", "images", "top", "name"]) | texts, inner)
    ),
    max_leaves=12,
)
queries = some.lists(
    some.sampled_from([b"top", b"=", b"&", b"3", b"%", b";", b"token", b"%ff"])
    | some.binary(max_size=3)
).map(b"".join)


def read(kind: str, query: bytes, body: bytes) -> Asked | Refusal:
    """What comes of a request; nothing but a refusal may be raised."""
    try:
        found = asked(kind, query, body, MOST)
    except Refusal as refusal:
        assert 400 <= refusal.status < 500 and refusal.error and refusal.hint
        json.loads(bytes(refusal.response().body))
        return refusal
    assert 1 <= len(found.images) <= MOST and found.top >= 1
    for image in found.images:
        assert image.name is None or image.name.encode("utf-8") is not None
    return found


@EXAMPLES
@given(kinds, queries, scraps | values.map(lambda value: json.dumps(value).encode()))
def test_a_request_is_read_or_refused(kind: str, query: bytes, body: bytes) -> None:
    read(kind, query, body)


@EXAMPLES
@given(scraps)
def test_a_form_is_read_or_refused(body: bytes) -> None:
    read("multipart/form-data; boundary=x", b"", b"--x" + body)
    read("multipart/form-data; boundary=x", b"", b"--x\r\n" + body + b"\r\n--x--")


@EXAMPLES
@given(boundaries, some.lists(some.tuples(names, names, some.binary(max_size=50)), max_size=MOST))
def test_a_form_comes_back_as_it_was(boundary: str, files: list[tuple[str, str, bytes]]) -> None:
    mark = f"--{boundary}".encode()
    body = b""
    for name, file, content in files:
        if "<" in name + file:
            return  # Python's reading of headers takes <...> for quotation marks
        if b"\r\n" + mark in b"\r\n" + content:
            return
        head = f'\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
        body += mark + head.encode() + b"Content-Type: image/png\r\n\r\n" + content + b"\r\n"
    found = parts(body + mark + b"--", f'multipart/form-data; boundary="{boundary}"', MOST)
    assert [each.content for each in found] == [content for *_, content in files]
    assert [(each.name, each.file) for each in found] == [(name, file) for name, file, _ in files]


# -- over HTTP


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(images=MOST, body=100_000, head=2.0, reading=2.0) as found:
        yield found


def alive(server: Served) -> bool:
    status, _, told = server.ask(PNG)
    return status == 200 and told["predictions"][0]["top"][0]["class"] in server.fake.classes


@HTTP
@given(scraps, kinds)
def test_no_body_is_a_fault(server: Served, body: bytes, kind: str) -> None:
    printable = "".join(letter for letter in kind if " " <= letter <= "~")
    status, _, told = server.ask(body, printable)
    assert status < 500, told
    assert status == 200 or (told["error"] and told["hint"])


heads = some.sampled_from(
    [
        *(b"POST /predict HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n", b"host: 127.0.0.1\r\n"),
        *(b"content-length: 5\r\n", b"content-length: 99\r\n", b"transfer-encoding: chunked\r\n"),
        *(b"5\r\nhello\r\n", b"0\r\n\r\n", b"expect: 100-continue\r\n", b"\r\n", b"\n"),
        *(b"upgrade: websocket\r\nconnection: upgrade\r\n", b"connection: close\r\n"),
        *(b"OPTIONS * HTTP/1.1\r\n", b"fffffffff\r\n", b"CONNECT a:1 HTTP/1.1\r\n"),
        *(b"GET http://a/ HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n"),
    ]
)


@HTTP
@given(some.lists(heads | some.binary(max_size=12), max_size=12).map(b"".join))
def test_no_bytes_are_a_fault(server: Served, sent: bytes) -> None:
    own = f"host: 127.0.0.1:{server.port}\r\n".encode()
    with server.connect() as made, suppress(ConnectionError):
        made.sendall(sent.replace(b"host: 127.0.0.1\r\n", own))
        made.shutdown(1)  # nothing more comes: whoever waits for it may leave off
        told: Any = made.makefile("rb").read()
        for line in told.split(b"\r\n"):
            assert not line.startswith((b"HTTP/1.1 500", b"HTTP/1.1 501")), told
    assert alive(server)


def test_many_requests_at_once_on_one_connection(server: Served) -> None:
    one = f"GET /health HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\n\r\n".encode()
    with server.send(one * 5) as made:
        reading = made.makefile("rb")
        assert [answer(made, reading)[0] for _ in range(5)] == [200] * 5
    with server.connect() as made, suppress(ConnectionError):
        made.sendall(one * 5000)  # more than are kept
        made.makefile("rb").read()
    assert alive(server)
