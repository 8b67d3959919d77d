"""The run folder: all that a run was made from, what happened, and the weights.

    network.net           the network's canonical text
    recipe.toml           how it was trained
    run.json              the data's source, classes and preparation, and the versions that trained
    metrics.jsonl         the records, a line each
    weights.safetensors   the weights after the last whole epoch

Nothing in it is a pickle, and nothing in it is run when it is read.
"""

from __future__ import annotations

import json
import os
import platform
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes
from torch import nn

from striate import __version__
from striate.data import Preparation, Splits
from striate.errors import RunError, StriateError
from striate.layers.volume import Volume
from striate.network import Network, read
from striate.recipes import Recipe, from_toml, to_toml
from striate.records import Record, to_json


@dataclass(frozen=True)
class Run:
    """A run folder, read. Make one with `create_run`, read one with `open_run`.

    Attributes:
        data: the source of the images, as a person gave it.
        classes: their names, in the order of the network's scores.
    """

    path: Path
    network: Network
    recipe: Recipe
    preparation: Preparation
    data: str
    classes: tuple[str, ...]

    def record(self, record: Record) -> None:
        """Add a record to metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(to_json(record) + "\n")
        except OSError as reason:
            raise RunError(f"{path} cannot be written: {reason.strerror}") from None

    def save(self, model: nn.Module) -> None:
        """Keep a model's weights. A crash at any instant leaves the old ones or the new ones."""
        tensors = {name: each.contiguous() for name, each in model.state_dict().items()}
        _write(self.path / "weights.safetensors", safetensors_bytes(tensors))

    def model(self) -> nn.Module:
        """The network with the weights of the run.

        Raises:
            RunError: there are no weights, or none that fit.
        """
        path = self.path / "weights.safetensors"
        if not path.is_file():
            raise RunError(f"{self.path} holds no weights: it ended before its first epoch did")
        model = self.network.build()
        try:
            model.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as reason:
            raise RunError(f"{path} is damaged: {reason}") from None
        return model


def create_run(
    path: Path | None,
    network: Network,
    splits: Splits,
    preparation: Preparation,
    recipe: Recipe,
) -> Run:
    """Make a run folder.

    Args:
        path: where; by default the first of runs/NETWORK-DATA-1, -2, ... that does not exist.

    Raises:
        RunError: the folder cannot be made, or is not empty.
    """
    if path is None:
        path = _next(Path("runs"), network.name or "network", Path(splits.source).resolve().name)
    else:
        _claim(path)
    run = Run(path, network, recipe, preparation, splits.source, splits.train.classes)
    about = {
        "data": run.data,
        "classes": run.classes,
        "preparation": asdict(preparation),
        "threads": torch.get_num_threads(),
        "versions": {
            "striate": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }
    _write(path / "network.net", f"{network}\n".encode())
    _write(path / "recipe.toml", to_toml(recipe).encode())
    _write(path / "run.json", json.dumps(about, indent=2).encode())
    return run


def open_run(path: str | Path) -> Run:
    """Read a run folder.

    Raises:
        RunError: a file of it is missing or damaged; the message names it.
    """
    path = Path(path)
    if not (path / "run.json").is_file():
        raise RunError(f"{path} is not a run folder: it holds no run.json")
    file = "run.json"
    try:
        about = json.loads((path / file).read_text("utf-8"))
        preparation = Preparation(
            input=Volume(*map(int, about["preparation"]["input"])),
            mean=tuple(map(float, about["preparation"]["mean"])),
            deviation=tuple(map(float, about["preparation"]["deviation"])),
        )
        data, classes = str(about["data"]), tuple(map(str, about["classes"]))
        file = "network.net"
        network = read(path / file)
        file = "recipe.toml"
        recipe = from_toml((path / file).read_text("utf-8"))
    except KeyError as reason:
        raise RunError(f"{path / file} is damaged: it lacks {reason}") from None
    except (OSError, TypeError, ValueError, ArithmeticError, StriateError) as reason:
        raise RunError(f"{path / file} cannot be used: {reason}") from None
    if (preparation.input, len(classes)) != (network.input, network.output.depth):
        raise RunError(f"{path}: run.json and network.net are of different networks")
    return Run(path, network, recipe, preparation, data, classes)


def _claim(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        filled = any(path.iterdir())
    except OSError as reason:
        raise RunError(f"{path} cannot be a run folder: {reason.strerror}") from None
    if filled:
        what = "already holds a run" if (path / "run.json").exists() else "is not empty"
        raise RunError(f"{path} {what}: name another folder")


def _next(folder: Path, *names: str) -> Path:
    words = (re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-") for name in names)
    stem = "-".join(word or "run" for word in words)
    number = 1
    while True:
        path = folder / f"{stem}-{number}"
        try:
            path.mkdir(parents=True)  # made, not looked for: another process may be counting too
            return path
        except FileExistsError:
            number += 1
        except OSError as reason:
            raise RunError(f"{path} cannot be made: {reason.strerror}") from None


def _write(path: Path, content: bytes) -> None:
    """Write a file so that at any instant its name leads to all of the old or all of the new."""
    new = path.with_name(f"{path.name}.new")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the renaming must reach the disk too
        finally:
            os.close(folder)
    except OSError as reason:
        raise RunError(f"{path} cannot be written: {reason.strerror}") from None
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)  # what an interrupted writing left
