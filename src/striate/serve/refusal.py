"""What a client is told that asked for what it cannot have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse


class Refusal(Exception):
    """A request that is not answered as it hoped for.

    Attributes:
        status: of HTTP.
        error: what was wrong, in one line.
        hint: the nearest way to mend it.
        headers: of the answer.
        more: further fields of the answer.
    """

    def __init__(
        self,
        status: int,
        error: str,
        hint: str,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(error)
        self.status, self.error, self.hint, self.headers = status, error, hint, headers
        self.more = more

    def response(self) -> JSONResponse:
        """The answer."""
        content = {"error": self.error, "hint": self.hint, **self.more}
        return JSONResponse(content, self.status, self.headers)


class Gone(Exception):
    """The client has closed its connection: nobody is there to be told."""
