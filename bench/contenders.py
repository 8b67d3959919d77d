"""Processes that train by turns: see peers/turns.py."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import Any


class Failed(Exception):
    """A loop could not start or broke off; the message is the last line that it wrote."""


class Contender:
    """A process that trains when it is asked to.

    Args:
        command: of a loop that calls `Turns`.
        variables: its environment.

    Raises:
        Failed: it did not come so far as to wait for its first turn.
    """

    def __init__(self, command: list[str], variables: Mapping[str, str]) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # lives as long as this
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=dict(variables),
        )
        self.about: dict[str, Any] = self._answer()

    def turn(self) -> dict[str, Any]:
        """One turn, and what the process says of it.

        Raises:
            Failed: it broke off.
        """
        assert self._process.stdin
        try:
            print("go", file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise Failed(self._last_line()) from None
        return self._answer()

    def rate(self) -> float:
        """One turn: images a second."""
        found = self.turn()
        return float(found["images"] / found["seconds"])

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin and self._process.stdout
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise Failed(self._last_line())
        found: dict[str, Any] = json.loads(line)
        return found

    def _last_line(self) -> str:
        self._process.kill()
        self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().strip()
        self.stop()
        print(said, file=sys.stderr)
        return said.splitlines()[-1] if said else f"ended with {self._process.returncode}"
