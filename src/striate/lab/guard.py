"""Who may speak to the page's server: a browser on this machine that holds the token, nobody else.

A page that somebody opened elsewhere can make their browser ask this server too, under its own name
(DNS rebinding) or another's; sockets are not even held to one origin. So every request and every
socket passes here before any route is looked up: what is added later is guarded as well.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from striate.web import HEADERS, header, tokens, with_headers

NAMES = ("127.0.0.1", "localhost", "[::1]")
READS = ("GET", "HEAD")


def new_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Guard:
    """Wraps a server. A visit to /?token=TOKEN leaves a cookie with the token to be known by.

    Attributes:
        port: on which the server listens; hosts of another port are refused.
    """

    app: ASGIApp
    port: int
    token: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        reason = self._refusal(scope)
        if reason is None and self._arrives(scope):
            await self._welcomed(scope, receive, send)
        elif reason is None:
            await self.app(scope, receive, with_headers(send))
        elif scope["type"] == "websocket":
            await receive()  # the handshake
            await send({"type": "websocket.close", "code": 1008, "reason": reason[:120]})
        else:
            await PlainTextResponse(reason, 403, HEADERS)(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        """Why a request is refused, or None."""
        hosts, origins = header(scope, b"host"), header(scope, b"origin")
        if len(hosts) != 1 or hosts[0] not in {f"{name}:{self.port}" for name in NAMES}:
            return "refused: this server answers to its own name on this machine alone"
        reads = scope["type"] == "http" and scope["method"] in READS
        if origins != [f"http://{hosts[0]}"] and (origins or not reads):
            return "refused: another page asked"
        if not self._known(scope):
            return "refused: open the address that `striate lab` printed"
        return None

    def _known(self, scope: Scope) -> bool:
        given = [*self._cookies(scope), *tokens(scope)]
        return any(secrets.compare_digest(each.encode(), self.token.encode()) for each in given)

    def _cookies(self, scope: Scope) -> list[str]:
        """Those of this lab. Programs on other ports share the header, and write what they like."""
        given = (each for every in header(scope, b"cookie") for each in every.split(";"))
        pairs = (each.strip().partition("=") for each in given)
        return [value for name, _, value in pairs if name == self._name]

    @property
    def _name(self) -> str:
        return f"striate-lab-{self.port}"  # cookies know no ports: two labs would share a name

    def _arrives(self, scope: Scope) -> bool:
        return bool(tokens(scope))

    async def _welcomed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep the token in a cookie, and the address bar clear of it."""
        response = RedirectResponse("/", 303, HEADERS)
        response.set_cookie(self._name, self.token, httponly=True, samesite="strict", path="/")
        await response(scope, receive, send)
