"""Bytes from an http or https address, from any place on; every failure has a reason."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from urllib import request
from urllib.error import HTTPError, URLError

BLOCK = 2**18
AGAIN = {408, 425, 429, 500, 502, 503, 504}  # what a server says that may answer later


class Failed(Exception):
    """An address does not give the file.

    Attributes:
        again: it may at another try.
        spoilt: what is here is no beginning of that file.
    """

    def __init__(self, message: str, *, again: bool = False, spoilt: bool = False) -> None:
        super().__init__(message)
        self.again, self.spoilt = again, spoilt


def ask(address: str, first: int, timeout: float) -> tuple[int, HTTPResponse]:
    """Ask for a file from byte `first` on.

    Args:
        timeout: seconds without a byte after which the connection is given up.

    Returns:
        the byte that the answer begins with, `first` or 0 where the server only gives all of it,
        and the answer, to be closed.

    Raises:
        Failed: there is no such answer.
    """
    if not address.startswith(("http://", "https://")):
        raise Failed("only http and https are read")
    headers = {"User-Agent": "striate", "Accept-Encoding": "identity"}
    if first:
        headers["Range"] = f"bytes={first}-"
    try:
        response = _opener().open(request.Request(address, headers=headers), timeout=timeout)
        assert isinstance(response, HTTPResponse)
    except HTTPError as error:
        error.close()
        if error.code == 416 and first:
            raise Failed("it has no such part", again=True, spoilt=True) from None
        answer = f"it answers {error.code} {error.reason}"
        raise Failed(answer, again=error.code in AGAIN) from None
    except (OSError, HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, socket.gaierror):
            raise Failed("the name cannot be resolved: is this machine online?") from None
        if isinstance(reason, TimeoutError):
            raise Failed(f"no answer in {timeout:g} seconds", again=True) from None
        raise Failed(f"no connection ({reason})", again=isinstance(reason, OSError)) from None
    if not first or response.status != 206:
        return 0, response
    sent = response.headers.get("Content-Range", "")
    if sent.startswith(f"bytes {first}-"):
        return first, response
    response.close()
    raise Failed(f"it sent another part than was asked for: {sent[:40]!r}", again=True, spoilt=True)


def blocks(response: HTTPResponse) -> Iterator[bytes]:
    """The bytes of an answer as they arrive.

    An answer that ends early may end here without a word: count the bytes.

    Raises:
        Failed: the connection broke or stalled.
    """
    try:
        while block := response.read1(BLOCK):
            yield block
    except TimeoutError:
        raise Failed("it stopped sending", again=True) from None
    except (OSError, HTTPException) as reason:
        said = f"the connection broke ({reason or type(reason).__name__})"
        raise Failed(said, again=True) from None


def _opener() -> request.OpenerDirector:
    """What opens http and https, redirected or through a proxy, and no file or ftp."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPRedirectHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPErrorProcessor,
        request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener
