"""The environments that peers run in, under build/: made at first use, anew where a list changed.

requirements/NAME.txt says what each holds; constraints.txt at the root sets torch in all of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
BUILD = ROOT / "build" / "environments"
PEERS = BENCH / "peers"


class Missing(Exception):
    """A peer cannot run here; the message is what its row of the table says."""


def clean() -> dict[str, str]:
    """A peer's variables: ours without settings of Python, which would lead to our packages."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}


def python(name: str) -> str:
    """The interpreter of an environment.

    Raises:
        Missing: it cannot be made here.
    """
    folder = BUILD / name
    found, ready = str(folder / "bin" / "python"), folder / ".installed"
    files = [ROOT / "constraints.txt", BENCH / "requirements" / f"{name}.txt"]
    wanted = "\n".join([sys.version, *(file.read_text() for file in files)])
    if not ready.exists() or ready.read_text() != wanted:
        print(f"Installing into {folder}; this takes some minutes.", file=sys.stderr, flush=True)
        _must([sys.executable, "-m", "venv", "--clear", str(folder)], name)
        install = [found, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _must([*install, "-c", str(files[0]), "-r", str(files[1])], name)
        ready.write_text(wanted)
    return found


def convnetjs() -> Path:
    """The folder of ConvNetJS: CONVNETJS, or what npm installs.

    Raises:
        Missing: there is no Node, or neither of these.
    """
    if not shutil.which("node"):
        raise Missing("there is no Node here")
    if named := os.environ.get("CONVNETJS"):
        return Path(named)
    folder = BUILD / "node"
    package = folder / "node_modules" / "convnetjs"
    if not package.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _must(["npm", "install", "--silent", "--prefix", str(folder), "convnetjs@0.3.0"], "npm")
    return package


def checkout(variable: str, file: str) -> Path:
    """A script in a checkout that the person names by a variable of the environment.

    Raises:
        Missing: the variable is not set, or the script is not there.
    """
    named = os.environ.get(variable)
    if not named:
        raise Missing(f"no checkout: {variable}=DIR names it")
    if not (Path(named) / file).exists():
        raise Missing(f"{variable}: there is no {file} in {named}")
    return Path(named).resolve() / file


def _must(command: list[str], name: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=clean())
    except OSError as reason:
        raise Missing(f"{name} cannot be installed: {reason}") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Missing(f"{name} cannot be installed: {said[-1] if said else 'no reason given'}")
