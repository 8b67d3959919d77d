"""Downloads from a server that cuts, garbles, stalls, redirects and refuses."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from striate.data import standard
from striate.data.download import Patience, download, fetch
from striate.data.folders import cache_folder
from striate.data.standard import SETS, Remote, StandardSet
from striate.errors import DataError

CONTENT = np.random.default_rng(0).bytes(300_000)
FILE = Remote("set.bin", len(CONTENT), hashlib.md5(CONTENT).hexdigest())
QUICK = Patience(timeout=0.3, tries=3, wait=0.001)

Answer = Callable[["Handler", int], None]


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the answer that the test wrote down for its turn."""

    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        self.server.asked.append((self.path, first))
        turn = min(len(self.server.asked), len(self.server.answers)) - 1
        self.server.answers[turn](self, first)

    def log_message(self, *_: object) -> None:
        pass

    def give(self, content: bytes, first: int = 0, length: int | None = None) -> None:
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)


class Server(ThreadingHTTPServer):
    """A server on this machine; `asked` has the path and the first byte of each request."""

    block_on_close = False
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = [whole]
        self.asked: list[tuple[str, int]] = []
        self.released = threading.Event()

    def address(self, path: str = "/set.bin") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


def whole(handler: Handler, first: int) -> None:
    handler.give(CONTENT[first:], first)


def whole_whatever_is_asked(handler: Handler, first: int) -> None:
    handler.give(CONTENT)


def cut(handler: Handler, first: int) -> None:
    """A hundred thousand bytes, then the connection closes."""
    handler.give(CONTENT[first : first + 100_000], first, len(CONTENT) - first)


def cut_at_once(handler: Handler, first: int) -> None:
    handler.give(b"", 0, len(CONTENT))


def stalled(handler: Handler, first: int) -> None:
    cut(handler, first)
    handler.server.released.wait(10)


def silent_server(handler: Handler, first: int) -> None:
    handler.server.released.wait(10)


def garbled(handler: Handler, first: int) -> None:
    content = bytearray(CONTENT)
    content[1000] ^= 1
    handler.give(bytes(content[first:]), first)


def endless(handler: Handler, first: int) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.released.is_set():
        handler.wfile.write(bytes(2**16))


def login_page(handler: Handler, first: int) -> None:
    handler.give(b"<html>Welcome to our wireless network</html>")


def another_part(handler: Handler, first: int) -> None:
    handler.give(CONTENT[first - 7 :], first - 7)


def status(code: int) -> Answer:
    return lambda handler, first: handler.send_error(code)


def moved(address: str) -> Answer:
    def answer(handler: Handler, first: int) -> None:
        if handler.path == "/there":
            return whole(handler, first)
        handler.send_response(302)
        handler.send_header("Location", address)
        handler.end_headers()

    return answer


@dataclass
class Told:
    """What a reader of the progress was told."""

    said: list[tuple[str, int, int]] = field(default_factory=list)

    def __call__(self, what: str, done: int, total: int) -> None:
        self.said.append((what, done, total))


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    thread = threading.Thread(target=started.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield started
    started.released.set()
    started.shutdown()
    started.server_close()
    thread.join()


def got(server: Server, folder: Path, *answers: Answer, patience: Patience = QUICK) -> bytes:
    server.answers = [*answers]
    return download(FILE, [server.address()], folder, patience=patience).read_bytes()


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([whole], [0]),
        ([cut, whole], [0, 100_000]),
        ([cut, cut, cut], [0, 100_000, 200_000]),
        ([stalled, whole], [0, 100_000]),
        ([silent_server, whole], [0, 0]),
        ([cut, whole_whatever_is_asked], [0, 100_000]),
        ([cut, another_part, whole], [0, 100_000, 0]),
        ([cut, status(416), whole], [0, 100_000, 0]),
        ([cut, login_page, whole], [0, 100_000, 100_000]),
        ([cut, garbled], [0, 100_000]),
        ([status(503), status(429), whole], [0, 0, 0]),
    ],
)
def test_a_broken_download_goes_on_where_it_stopped(
    server: Server, tmp_path: Path, answers: list[Answer], asked: list[int]
) -> None:
    assert got(server, tmp_path, *answers) == CONTENT
    assert [first for _, first in server.asked] == asked
    assert left(tmp_path) == {"set.bin"}


def test_another_process_goes_on_with_what_was_left(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="broke off after 100,000 of 300,000 bytes"):
        got(server, tmp_path, cut, patience=Patience(0.3, tries=1))
    assert left(tmp_path) == {"set.bin.part"}
    assert got(server, tmp_path, cut, whole) == CONTENT
    assert server.asked[1] == ("/set.bin", 100_000)


@pytest.mark.parametrize("leftover", [b"of another file" * 1000, CONTENT[:-1] + b"?", CONTENT * 2])
def test_leftovers_of_another_file_do_no_harm(
    server: Server, tmp_path: Path, leftover: bytes
) -> None:
    (tmp_path / "set.bin.part").write_bytes(leftover)
    assert got(server, tmp_path, whole) == CONTENT
    assert left(tmp_path) == {"set.bin"}


def test_a_whole_leftover_needs_no_connection(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.bin.part").write_bytes(CONTENT)
    assert got(server, tmp_path, whole) == CONTENT
    assert server.asked == []


def test_what_is_there_is_not_downloaded_again_but_a_damaged_file_is(
    server: Server, tmp_path: Path
) -> None:
    got(server, tmp_path, whole)
    got(server, tmp_path, whole)
    assert len(server.asked) == 1
    (tmp_path / "set.bin").write_bytes(CONTENT[:-5])
    assert got(server, tmp_path, whole) == CONTENT
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("answer", "message", "requests"),
    [
        (garbled, rf"its MD5 is [0-9a-f]{{32}}, not {FILE.md5}", 1),
        (endless, "sends more than the 300,000 bytes", 1),
        (cut_at_once, "broke off after 0 of 300,000 bytes", 3),
        (login_page, "it sends 44 bytes, not the 300,000 of the file", 3),
        (silent_server, "no answer in 0.3 seconds", 3),
        (status(404), "it answers 404 Not Found", 1),
        (status(500), "it answers 500 Internal Server Error", 3),
        (moved("file:///etc/passwd"), "it answers 302 .*not allowed", 1),
        (moved("ftp://127.0.0.1/set.bin"), "no connection .*ftp", 1),
        (moved("/round"), "it answers 302 .*infinite loop", 5),
    ],
    ids=["md5", "endless", "cut", "login", "silent", "404", "500", "file", "ftp", "round"],
)
def test_an_address_that_gives_no_file_is_named_with_the_reason_and_the_next_is_tried(
    server: Server, tmp_path: Path, answer: Answer, message: str, requests: int
) -> None:
    server.answers = [answer]
    with pytest.raises(DataError, match=message) as caught:
        download(FILE, [server.address("/first")], tmp_path, patience=QUICK)
    said = str(caught.value)
    assert said.startswith("set.bin cannot be downloaded\n") and server.address("/first") in said
    assert f"put it at {tmp_path / 'set.bin'}" in said and FILE.md5 in said
    assert "set.bin" not in left(tmp_path)
    assert len(server.asked) == requests

    server.asked.clear()
    server.answers = [answer] * requests + [whole]
    both = [server.address("/first"), server.address("/second")]
    assert download(FILE, both, tmp_path, patience=QUICK).read_bytes() == CONTENT
    assert server.asked[-1][0] == "/second"


def test_redirects_are_followed(server: Server, tmp_path: Path) -> None:
    assert got(server, tmp_path, moved("/there")) == CONTENT
    assert [path for path, _ in server.asked] == ["/set.bin", "/there"]


def test_a_slow_server_that_keeps_breaking_off_is_borne_with_while_it_delivers(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tries are counted anew wherever there was progress; one that never gets further ends."""
    monkeypatch.setattr("striate.data.download.PROGRESS", 50_000)
    assert got(server, tmp_path, cut, patience=Patience(0.3, tries=2, wait=0.001)) == CONTENT

    def never_further(handler: Handler, first: int) -> None:
        handler.give(CONTENT[:100_000], 0, len(CONTENT))

    server.asked.clear()
    with pytest.raises(DataError, match="broke off after 100,000"):
        got(server, tmp_path / "other", never_further)
    assert len(server.asked) < 8


def test_a_steady_trickle_is_no_stall(server: Server, tmp_path: Path) -> None:
    """However long it takes in all: the timeout is of silence, not of the download."""

    def trickle(handler: Handler, first: int) -> None:
        handler.give(CONTENT[:1000], 0, len(CONTENT))
        for at in range(1000, len(CONTENT), 20_000):
            handler.server.released.wait(0.1)
            handler.wfile.write(CONTENT[at : at + 20_000])

    assert got(server, tmp_path, trickle, patience=Patience(timeout=0.8, tries=1)) == CONTENT
    assert len(server.asked) == 1


def test_without_a_network_the_message_says_what_to_do(tmp_path: Path) -> None:
    nowhere = ["http://striate.invalid/set.bin", "ftp://127.0.0.1/set.bin", "file:///etc/passwd"]
    with pytest.raises(DataError) as caught:
        download(FILE, nowhere, tmp_path, patience=QUICK)
    lines = str(caught.value).splitlines()
    assert lines[1].startswith("  http://striate.invalid/set.bin: ")
    assert lines[2:] == [
        "  ftp://127.0.0.1/set.bin: only http and https are read",
        "  file:///etc/passwd: only http and https are read",
        f"If you have the file (MD5 {FILE.md5}), put it at {tmp_path / 'set.bin'}",
    ]
    (tmp_path / "set.bin").write_bytes(CONTENT)
    assert download(FILE, nowhere, tmp_path, patience=QUICK) == tmp_path / "set.bin"


def test_progress_is_told_in_bytes_and_goes_on_after_a_break(
    server: Server, tmp_path: Path
) -> None:
    server.answers, told = [cut, whole], Told()
    download(FILE, [server.address()], tmp_path, tell=told, patience=QUICK)
    done = [done for _, done, _ in told.said]
    assert {(what, total) for what, _, total in told.said} == {("downloading set.bin", 300_000)}
    assert done == sorted(done) and done[-1] == 300_000


def test_two_downloaders_take_turns_and_the_second_downloads_nothing(
    server: Server, tmp_path: Path
) -> None:
    begun = threading.Event()

    def slow(handler: Handler, first: int) -> None:
        begun.set()
        handler.server.released.wait(10)
        whole(handler, first)

    server.answers, told = [slow], Told()
    patient = Patience(timeout=10)

    def waits(what: str, done: int, total: int) -> None:
        told(what, done, total)
        server.released.set()  # the first goes on only once the second waits

    first = threading.Thread(
        target=download, args=(FILE, [server.address()], tmp_path), kwargs={"patience": patient}
    )
    first.start()
    begun.wait(10)
    download(FILE, [server.address()], tmp_path, tell=waits, patience=patient)
    first.join()
    assert told.said == [("waiting for set.bin", 0, 0)]
    assert len(server.asked) == 1
    assert left(tmp_path) == {"set.bin"}


def test_a_folder_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"file/sets cannot be written: Not a directory"):
        download(FILE, [server.address()], tmp_path / "file" / "sets", patience=QUICK)


def test_a_set_of_several_files_becomes_a_folder_and_of_one_a_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Remote("other.bin", FILE.size, FILE.md5)
    sets = {"one": StandardSet((), (FILE,)), "two": StandardSet((), (FILE, other))}
    monkeypatch.setattr("striate.data.download.SETS", sets)
    base = [server.address("/sets/")]
    assert fetch("one", addresses=base, cache=tmp_path).read_bytes() == CONTENT
    folder = fetch("two", addresses=[server.address("/sets")], cache=tmp_path)
    assert left(folder) == {"set.bin", "other.bin"}
    assert {path for path, _ in server.asked} == {"/sets/set.bin", "/sets/other.bin"}


def test_an_unknown_set_is_told_the_nearest_name() -> None:
    with pytest.raises(DataError, match="no standard set 'cifar-10': did you mean cifar10"):
        fetch("cifar-10")


def test_the_cache_folder_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("STRIATE_CACHE")
    assert cache_folder().name == "striate"


def test_the_standard_sets_are_written_down_in_full() -> None:
    assert set(standard.SETS) == {"mnist", "fashion-mnist", "cifar10", "cifar100"}
    for each in SETS.values():
        assert all(address.endswith("/") for address in each.addresses)
        assert all(len(remote.md5) == 32 and remote.size > 1000 for remote in each.files)
