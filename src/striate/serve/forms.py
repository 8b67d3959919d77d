"""What a request to /predict asks for, in any of the forms it may have."""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from striate.errors import nearest
from striate.serve.multipart import parts
from striate.serve.refusal import Refusal

TOP = 5  # classes that are told of an image
LONGEST_NAME = 200  # of an image, as it is told again
# The last is what curl says of --data-binary unless it is told otherwise.
RAW = ("", "application/octet-stream", "application/x-www-form-urlencoded")
JSON_HINT = '{"image": "BASE64"} or {"images": ["BASE64", ...], "top": 5} is what is taken'


@dataclass(frozen=True)
class Given:
    """An image file as it came, and the name it came with, if any."""

    content: bytes
    name: str | None = None


@dataclass(frozen=True)
class Asked:
    """What to look at, and how many of the likeliest classes to tell."""

    images: tuple[Given, ...]
    top: int = TOP


def asked(content_type: str, query: bytes, body: bytes, most: int) -> Asked:
    """Read a request.

    Args:
        query: of its address: `top=3`.
        most: images that it may hold.

    Raises:
        Refusal: 400, it cannot be read; 413, it holds more images; 415, it has another form.
    """
    top = _top(_queried(query))
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        images, fields = _form(body, content_type, most)
    elif kind == "application/json":
        images, fields = _json(body, most)
    elif kind in RAW or kind.startswith("image/"):
        images, fields = [Given(body)], {}
    else:
        raise Refusal(
            415,
            f"a body of {kind[:80]} is not read here",
            "send an image's bytes as image/jpeg and its likes, a form as multipart/form-data, "
            "or application/json",
        )
    if not images or (len(images) == 1 and not images[0].content):
        raise Refusal(400, "the request holds no image", "curl --data-binary @cat.jpg sends one")
    if len(images) > most:
        raise _too_many(most)
    return Asked(tuple(images), _top(fields["top"]) if "top" in fields else top)


def _queried(query: bytes) -> str:
    try:
        found = parse_qsl(query.decode("ascii", "replace"), True, max_num_fields=8)
    except ValueError:
        raise Refusal(400, "the address asks for too much", "?top=3 is what it may ask") from None
    _known((name for name, _ in found if name != "token"), ("top",), "the address's")
    return dict(found).get("top", str(TOP))


def _top(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value):
        value = int(value)
    if type(value) is not int or value < 1:
        raise Refusal(400, "top is not a number from 1", "top=3 tells the three likeliest classes")
    return value


def _known(names: Iterable[str], known: tuple[str, ...], whose: str) -> None:
    for name in names:
        if name not in known:
            error = f"{whose} {name[:80]!r} means nothing here"
            raise Refusal(400, error, nearest(name, known))


def _form(body: bytes, content_type: str, most: int) -> tuple[list[Given], dict[str, str]]:
    images, fields = [], {}
    for part in parts(body, content_type, most + 1):  # one may be `top`
        if part.file is None and not part.kind.startswith(("image/", "application/octet")):
            _known([part.name], ("top",), "the form's field")
            fields[part.name] = part.content.decode("utf-8", "replace")
        else:
            images.append(Given(part.content, tellable((part.file or part.name)[:LONGEST_NAME])))
    return images, fields


def _json(body: bytes, most: int) -> tuple[list[Given], dict[str, Any]]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as reason:
        words = str(reason)[:100] if isinstance(reason, json.JSONDecodeError) else "no JSON"
        raise Refusal(400, f"the body is not JSON: {words}", JSON_HINT) from None
    if not isinstance(given, dict):
        raise Refusal(400, "the body is not a JSON object", JSON_HINT)
    _known(given, ("image", "images", "top"), "the body's")
    several = given.get("images", [])
    if ("image" in given) == ("images" in given) or not isinstance(several, list):
        raise Refusal(400, 'the body holds neither "image" alone nor a list "images"', JSON_HINT)
    if len(several) > most:
        raise _too_many(most)
    named = {"image": given["image"]} if "image" in given else {}
    named |= {f"images[{number}]": each for number, each in enumerate(several)}
    fields = {"top": given["top"]} if "top" in given else {}
    return [_given(where, each) for where, each in named.items()], fields


def _given(where: str, value: Any) -> Given:
    name = None
    if isinstance(value, dict):
        _known(value, ("name", "image"), f"{where}'s")
        name, value = value.get("name"), value.get("image")
    if not isinstance(value, str) or not isinstance(name, str | None):
        raise Refusal(400, f"{where} is not a text of base64", JSON_HINT)
    if value.startswith("data:"):
        value = value.partition(",")[2]
    try:
        content = binascii.a2b_base64("".join(value.split()), strict_mode=True)
    except ValueError as reason:
        error = f"{where} is not base64: {str(reason)[:100]}"
        raise Refusal(400, error, "base64 -w 0 cat.jpg writes it") from None
    return Given(content, name and tellable(name[:LONGEST_NAME]))


def tellable(name: str) -> str:
    """A name as UTF-8 can hold it: JSON has halves of letters, and folders any bytes."""
    return name.encode("utf-8", "replace").decode()


def _too_many(most: int) -> Refusal:
    return Refusal(413, f"the request holds more than {most} images", "send fewer images at once")
