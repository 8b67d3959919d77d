"""What tests share: golden files, and `striate` as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
SOURCE = Path(__file__).parents[1] / "src"
# What a process of the tests knows of the environment.
KEPT = {
    "COVERAGE_PROCESS_START",
    "HOME",
    "LANG",
    "OMP_NUM_THREADS",
    "PATH",
    "STRIATE_CACHE",
    "SYSTEMROOT",
    "VIRTUAL_ENV",
}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--overwrite-golden", action="store_true", help="write tests/golden anew from the output"
    )


@pytest.fixture(autouse=True, scope="session")
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills the cache of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRIATE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with a file of tests/golden, or writes that file anew."""

    def compare(name: str, text: str) -> None:
        file = GOLDEN / name
        if request.config.getoption("--overwrite-golden"):
            file.write_text(f"{text}\n", "utf-8")
        assert text.splitlines() == file.read_text("utf-8").splitlines(), name

    return compare


@cache
def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`striate ARGUMENTS` as a process of its own, 100 columns wide and not in a terminal."""
    return python("-m", "striate", *arguments, **environment)


@cache
def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python of this environment that finds this source; an empty variable is unset."""
    given = {name: value for name, value in os.environ.items() if name in KEPT}
    given |= {"COLUMNS": "100", "PYTHONPATH": str(SOURCE), "PYTHONIOENCODING": "utf-8"}
    given |= {"PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", "")}
    given = {name: value for name, value in (given | environment).items() if value}
    return subprocess.run(
        [sys.executable, *arguments],
        env=given,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@pytest.fixture(name="run")
def _run() -> Run:
    return run


@pytest.fixture(name="python")
def _python() -> Run:
    return python
