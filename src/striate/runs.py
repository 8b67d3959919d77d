"""The run folder: all that a run was made from, what happened, the weights, and the way back.

    network.net           the network's canonical text
    recipe.toml           how it is trained
    run.json              the data's source, fingerprint, classes and preparation; device, versions
    mean.safetensors      the mean image, where the recipe subtracts one
    metrics.jsonl         the records, a line each
    checkpoints/          the last ones and the best: all that training changes
    last.safetensors      the weights after the last whole epoch
    best.safetensors      the weights after the epoch with the least validation error, or the last
    weights.safetensors   the ones to use: the best where the recipe stops early, else the last

Nothing in it is a pickle, and nothing in it is run when it is read.
"""

from __future__ import annotations

import json
import platform
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from striate import __version__, pretrained
from striate.compute import Compute
from striate.data import Preparation, Splits, load
from striate.data.standard import SETS
from striate.data.tell import Tell, silent
from striate.disk import at_home
from striate.errors import RunError, StriateError, nearest
from striate.layers.volume import Volume
from striate.network import Network, read
from striate.origin import Origin, origin_from
from striate.recipes import Recipe, from_toml, to_toml
from striate.storage import read_tensors, write, write_tensors

# What a making that was killed may have left: a folder is a run once it holds run.json.
BEFORE_A_RUN = {"network.net", "recipe.toml", "mean.safetensors"}


def versions() -> dict[str, str]:
    """Of what computes here."""
    return {
        "striate": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


@dataclass(frozen=True)
class Run:
    """A run folder, read. Make one with `create_run`, read one with `open_run`.

    Attributes:
        data: the source of the images: a name, or a path from the root of the file system.
        fingerprint: of the images, their labels and their split.
        classes: their names, in the order of the network's scores.
        compute: what it trains on, and how.
        images: the volume of the images as they lay in the data, before they met the input.
        versions: of what made it.
        origin: the weights that it began with; None where they were drawn.
    """

    path: Path
    network: Network
    recipe: Recipe
    preparation: Preparation
    data: str
    fingerprint: str
    classes: tuple[str, ...]
    compute: Compute
    images: Volume
    versions: dict[str, str] = field(default_factory=versions)
    origin: Origin | None = None

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints lie."""
        return self.path / "checkpoints"

    def splits(self, source: str | None = None, *, tell: Tell = silent) -> Splits:
        """The images it was trained on, or others, as the network takes them."""
        wanted, resize = source or self.data, self.recipe.resize
        if lasting(wanted) != self.data:
            resize = self.resize
        return load(
            wanted,
            input=self.network.input,
            resize=resize,
            validation=self.recipe.validation,
            tell=tell,
        )

    @property
    def resize(self) -> int | None:
        """The side to which other images are scaled, to be seen as those of the run were."""
        return self.images.height if self.images.height == self.images.width else None

    def model(self, name: str = "weights") -> nn.Module:
        """The network with weights of the run, on the CPU, ready to predict: `.eval()` is called.

        Args:
            name: `weights`, `last` or `best`.

        Raises:
            RunError: there are no such weights, or they are damaged, or of another network.
        """
        path = self.path / f"{name}.safetensors"
        if not path.is_file():
            raise RunError(f"{self.path} holds no weights: it ended before its first epoch did")
        tensors, _ = read_tensors(path)
        with torch.random.fork_rng(devices=[]):  # its first weights are not to be used
            model = self.network.build()
        expected = model.state_dict()
        for what, names in (
            ("lacks", expected.keys() - tensors.keys()),
            ("has", tensors.keys() - expected.keys()),
        ):
            if names:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                raise RunError(f"{path} is of another network: it {what} {min(names)}{more}")
        for tensor, found in tensors.items():
            if found.shape != expected[tensor].shape:
                raise RunError(
                    f"{path} is of another network: its {tensor} is of {tuple(found.shape)}, "
                    f"this one's of {tuple(expected[tensor].shape)}"
                )
        model.load_state_dict(tensors)
        return model.eval()

    def watch(self) -> Any:
        """Its curves and maps in a notebook, as they are and as they become: a widget to show.

        Raises:
            StriateError: anywidget is not installed, or its images are no longer there.
        """
        from striate.lab.widget import Watch

        return Watch(self)

    def write(self) -> None:
        """Write what the run is made from."""
        about: dict[str, Any] = {
            "data": self.data,
            "fingerprint": self.fingerprint,
            "classes": self.classes,
            "preparation": {
                "input": self.preparation.input,
                "mean": self.preparation.mean,
                "deviation": self.preparation.deviation,
                "mean_image": self.preparation.mean_image is not None,
            },
            "compute": asdict(self.compute),
            "images": self.images,
            "versions": self.versions,
            "origin": None if self.origin is None else asdict(self.origin),
        }
        write(self.path / "network.net", f"{self.network}\n".encode())
        write(self.path / "recipe.toml", to_toml(self.recipe).encode())
        if self.preparation.mean_image is not None:
            image = torch.from_numpy(self.preparation.mean_image)
            write_tensors(self.path / "mean.safetensors", {"mean": image}, {})
        # The last: with it, the folder is a run.
        write(self.path / "run.json", json.dumps(about, indent=2).encode())


def create_run(
    path: Path | None,
    network: Network,
    splits: Splits,
    preparation: Preparation,
    recipe: Recipe,
    compute: Compute,
    origin: Origin | None = None,
) -> Run:
    """Make a run folder.

    Args:
        path: where; by default the first of runs/NETWORK-DATA-1, -2, ... that does not exist.
        origin: of the weights, where they are not drawn.

    Raises:
        RunError: the folder cannot be made, or is not empty.
    """
    if path is None:
        path = _next(Path("runs"), network.name or "network", Path(splits.source).resolve().stem)
    else:
        _make(path)
    run = Run(
        path,
        network,
        recipe,
        preparation,
        lasting(splits.source),
        splits.fingerprint,
        splits.train.classes,
        compute,
        splits.train.volume,
        origin=origin,
    )
    run.write()
    return run


def open_run(path: str | Path) -> Run:
    """Read a run folder, or one that comes along, by its name (`pretrained.names()`).

    Raises:
        RunError: a file of it is missing or damaged; the message names it.
    """
    path = _found(path)
    if path.is_file():
        raise RunError(f"{path} is a file: name the folder of a run")
    if not (path / "run.json").is_file():
        raise RunError(f"{path} is not a run folder: it holds no run.json")
    file = "run.json"
    try:
        about = json.loads((path / file).read_text("utf-8"))
        given = about["preparation"]
        mean = path / "mean.safetensors"
        preparation = Preparation(
            input=Volume(*map(int, given["input"])),
            mean=tuple(map(float, given["mean"])),
            deviation=tuple(map(float, given["deviation"])),
            mean_image=read_tensors(mean)[0]["mean"].numpy() if given["mean_image"] else None,
        )
        compute = Compute(**about["compute"])
        images = Volume(*map(int, about["images"]))
        data, classes = str(about["data"]), tuple(map(str, about["classes"]))
        fingerprint = str(about["fingerprint"])
        made_by = {str(what): str(version) for what, version in about["versions"].items()}
        origin = origin_from(about.get("origin"))  # runs of before have no word of it
        file = "network.net"
        network = read(path / file)
        file = "recipe.toml"
        recipe = from_toml((path / file).read_text("utf-8"))
    except KeyError as reason:
        raise RunError(f"{path / file} is damaged: it lacks {reason}") from None
    except (
        OSError,
        AttributeError,
        TypeError,
        ValueError,
        ArithmeticError,
        StriateError,
    ) as reason:
        raise RunError(f"{path / file} cannot be used: {reason}") from None
    if (preparation.input, len(classes)) != (network.input, network.output.depth):
        raise RunError(f"{path}: run.json and network.net are of different networks")
    return Run(
        path,
        network,
        recipe,
        preparation,
        data,
        fingerprint,
        classes,
        compute,
        images,
        made_by,
        origin,
    )


def _found(path: str | Path) -> Path:
    if Path(path).exists():
        return Path(path)
    if found := pretrained.folder(str(path)):
        return found
    beside = [each.parent for each in Path(path).parent.glob("*/run.json")]
    close = nearest(Path(path).name, [each.name for each in beside])
    if close.startswith("did"):
        raise RunError(f"there is no run at {path}; {close}")
    known = " and ".join(pretrained.names())
    raise RunError(f"there is no run at {path}; by name one opens those that come along, {known}")


def lasting(source: str) -> str:
    """A source's name as it is, its path from the root: a run may be gone on with elsewhere."""
    path = at_home(source)
    return str(path.resolve()) if source not in ("digits", *SETS) and path.exists() else source


def check_new(path: Path) -> None:
    """See that a folder, if it is there, is free for a run.

    Raises:
        RunError: it holds something, or is no folder.
    """
    try:
        held = (
            {each.name.removesuffix(".new") for each in path.iterdir()} if path.exists() else set()
        )
    except OSError as reason:
        raise RunError(f"{path} cannot be a run folder: {reason.strerror}") from None
    if "run.json" in held:
        raise RunError(
            f"{path} already holds a run: go on with it by --resume {path}, or name another folder"
        )
    if held - BEFORE_A_RUN:
        raise RunError(f"{path} is not empty: name another folder")


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise RunError(f"{path} cannot be a run folder: {reason.strerror}") from None
    check_new(path)


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
