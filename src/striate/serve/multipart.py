"""multipart/form-data (RFC 7578): a body that lies in memory, cut at its boundary."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message
from email.utils import collapse_rfc2231_value

from striate.serve.refusal import Refusal

BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046, 5.1.1
LONGEST_HEAD = 8192  # bytes of a part's headers
LONGEST_HEADER = 2048  # letters of one of them, or of the content type
HINT = "curl -F image=@cat.jpg sends a form as it should be"


@dataclass(frozen=True)
class Part:
    """One field of a form, or one file.

    Attributes:
        name: of the field.
        file: its name, or None for a field that is not a file.
    """

    name: str
    file: str | None
    kind: str
    content: bytes


def parts(body: bytes, content_type: str, most: int) -> list[Part]:
    """The parts of a form, at most so many.

    Raises:
        Refusal: 400, it is not well formed; 413, there are more.
    """
    boundary = _parameter(content_type, "boundary")
    if boundary is None or not BOUNDARY.fullmatch(boundary):
        raise _bad("the content type names no boundary of 1 to 70 letters")
    mark = b"--" + boundary.encode()
    if body.startswith(mark):
        pieces = body[len(mark) :].split(b"\r\n" + mark, most + 1)
    else:
        _, *pieces = body.split(b"\r\n" + mark, most + 2)
    if not pieces:
        raise _bad("the body does not hold the boundary that the content type names")
    *whole, end = pieces
    if len(whole) > most:
        raise Refusal(413, f"the form has more than {most} parts", "send fewer images at once")
    if not end.startswith(b"--"):
        raise _bad("the body ends before the form does")
    return [_part(number, piece) for number, piece in enumerate(whole, 1)]


def _part(number: int, piece: bytes) -> Part:
    padding, line, rest = piece.partition(b"\r\n")
    head, blank, content = rest.partition(b"\r\n\r\n")
    if padding.strip(b" \t") or not line or not blank or len(head) > LONGEST_HEAD:
        raise _bad(f"part {number} of the form does not begin with headers and an empty line")
    headers: dict[str, str] = {}
    for each in head.split(b"\r\n"):
        name, colon, value = each.decode("utf-8", "replace").partition(":")
        if not colon or name.lower() in headers:
            raise _bad(f"part {number} of the form has a header that is not NAME: VALUE, or twice")
        headers[name.lower()] = value.strip()
    said = headers.get("content-disposition", "")
    field = _parameter(said, "name")
    if not said.lower().startswith("form-data") or field is None:
        raise _bad(f"part {number} of the form has no name in a Content-Disposition: form-data")
    if headers.get("content-transfer-encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
        raise _bad(f"part {number} of the form is encoded: send its bytes as they are")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return Part(field, _parameter(said, "filename"), kind, content)


def _parameter(header: str, name: str) -> str | None:
    """A parameter of a header's value, as `boundary` of `multipart/form-data; boundary=x`."""
    if len(header) > LONGEST_HEADER:  # a long one of many signs would take seconds
        return None
    message = Message()
    message["x"] = header.replace("\r", " ").replace("\n", " ")
    try:
        found = message.get_param(name, header="x")
        return None if found is None else collapse_rfc2231_value(found)
    except (ValueError, LookupError, TypeError):  # no such encoding, not closed, parts out of order
        return None


def _bad(error: str) -> Refusal:
    return Refusal(400, error, HINT)
