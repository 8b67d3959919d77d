"""Who may ask: by name, by origin, by token; before any route is looked up or any body is read.

A page that somebody opened elsewhere can make their browser ask a server on their machine, under a
name of its own (DNS rebinding) or from another origin.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from striate.serve.refusal import Refusal
from striate.serve.settings import LOOPBACK, Settings
from striate.web import HEADERS, header, tokens, with_headers

OPEN = ("/health",)  # asked by what keeps a server running, which has no token
HTTP = 80  # the port that no address has to name


@dataclass(frozen=True)
class Guard:
    """Wraps a server. With a token, a visit to /?token=TOKEN leaves a cookie to be known by."""

    app: ASGIApp
    settings: Settings
    port: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except Refusal as refusal:
            await refusal.response()(scope, receive, with_headers(send))
            return
        if self.settings.token is not None and tokens(scope):
            await self._welcomed(scope, receive, send)
        else:
            await self.app(scope, receive, with_headers(send))

    def passes(self, scope: Scope) -> bool:
        """Whether a request may be made."""
        try:
            self._check(scope)
        except Refusal:
            return False
        return True

    def _check(self, scope: Scope) -> None:
        """Raise a Refusal for whoever may not ask."""
        hosts, origins = header(scope, b"host"), header(scope, b"origin")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        if len(hosts) > 1 or (self.settings.alone and not self._called(host)):
            raise Refusal(
                403,
                "this server answers to its own name on this machine alone",
                f"ask http://{self._own}, or start it with --name {_bare(host) or 'NAME'}",
            )
        if origins and not self._same(origins, hosts):
            raise Refusal(
                403,
                "another page asked",
                "open this server's own page, or start it with --name and the name of that page",
            )
        if self.settings.token is not None and scope["path"] not in OPEN and not self._known(scope):
            raise Refusal(
                401,
                "the token is missing or wrong",
                "send it as `Authorization: Bearer TOKEN`; a browser opens /?token=TOKEN",
                {"www-authenticate": "Bearer"},
            )

    @property
    def _own(self) -> str:
        host = self.settings.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def _called(self, host: str) -> bool:
        """Whether a request may call the server so: as it is, or as one before it is."""
        own = {f"[{each}]" if ":" in each else each for each in LOOPBACK}
        called = {f"{each}:{self.port}" for each in own}
        if self.port == HTTP:
            called |= own
        return host in called or _bare(host) in self.settings.names

    def _same(self, origins: list[str], hosts: list[str]) -> bool:
        try:
            origin = urlsplit(origins[0])
        except ValueError:
            return False
        if len(origins) > 1 or origin.scheme not in ("http", "https"):
            return False
        return origin.netloc in hosts or _bare(origin.netloc) in self.settings.names

    def _known(self, scope: Scope) -> bool:
        given = [
            each[7:] for each in header(scope, b"authorization") if each[:7].lower() == "bearer "
        ]
        # Each by itself: programs on other ports share the header, and write what they like.
        cookies = [cookie_parser(each) for each in header(scope, b"cookie")]
        given += [found[self._cookie] for found in cookies if self._cookie in found]
        given += tokens(scope)
        wanted = str(self.settings.token).encode()
        return any(secrets.compare_digest(each.encode(), wanted) for each in given)

    @property
    def _cookie(self) -> str:
        return f"striate-serve-{self.port}"  # cookies know no ports

    async def _welcomed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep the token in a cookie, and the address bar clear of it."""
        response = RedirectResponse("./", 303, HEADERS)
        token = str(self.settings.token)
        response.set_cookie(self._cookie, token, httponly=True, samesite="strict")
        await response(scope, receive, send)


def _bare(host: str) -> str:
    """Without the port."""
    return re.sub(r":[0-9]*$", "", host.lower())
