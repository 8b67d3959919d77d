"""Where models are found: `timm:resnet50`, `torchvision:vgg16`, `package.module:function`."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from torch import nn

from striate.data import Preparation
from striate.errors import RunError, StriateError, nearest
from striate.layers import Volume
from striate.recover.faults import raised
from striate.recover.recovery import Recovered, recover

COMMON = Volume(224, 224, 3)  # where nothing says otherwise
SOURCE = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)")


class Found(NamedTuple):
    """A module, and of the images that it is for what is known: their volume, how they are
    prepared.
    """

    module: nn.Module
    input: Volume | None
    preparation: Preparation | None = None


def recovered(source: str, input: Volume | None = None, *, pretrained: bool = False) -> Recovered:
    """The network of a source.

    Args:
        source: `timm:NAME`, `torchvision:NAME`, `package.module:function` (a function or a class
            without arguments, or a module itself), an ONNX file, or a run.
        input: the volume of an image; by default what the source says, else 224x224x3.
        pretrained: whether timm or torchvision gives its own weights, which it downloads; else
            they are random.

    Raises:
        StriateError: there is no such source, or it cannot be read.
    """
    if pretrained and source.partition(":")[0] not in LIBRARIES:
        raise StriateError(f"{source} has the weights that it has: timm and torchvision alone ask")
    if source.endswith(".onnx"):
        onnx: Any = _imported("striate.recover.onnx", "onnx")
        return cast(Recovered, onnx.recovered_file(Path(source), input))
    if (named := SOURCE.fullmatch(source)) and not Path(source).exists():
        library, name = named.groups()
        find = LIBRARIES.get(library, _function_of(library))
        module, usual, preparation = find(name, pretrained)
        found = recover(module, input or usual or COMMON, front={"name": source})
        found = replace(found, preparation=preparation)
        if input or usual:
            return found
        guessed = f"{source} does not say what images it takes: read for {COMMON}, or say --input"
        return replace(found, aside=(guessed, *found.aside))
    return _of_run(source, input)


def _of_run(source: str, input: Volume | None) -> Recovered:
    from striate.runs import open_run

    try:
        run = open_run(source)
    except RunError as reason:
        if (Path(source) / "run.json").is_file():
            raise
        models = "timm:resnet50, torchvision:vgg16, package.module:function or a file.onnx"
        raise StriateError(f"{reason}; a model is named like {models}") from None
    found = recover(run.model(), input or run.network.input, front=run.network.front)
    return replace(found, preparation=run.preparation)


def _timm(name: str, pretrained: bool = False) -> Found:
    timm = _imported("timm", "timm")
    if name not in timm.list_models():
        raise StriateError(f"timm has no {name!r}: {nearest(name, timm.list_models())}")
    module = _made(lambda: timm.create_model(name, pretrained=pretrained), name)
    said = getattr(module, "pretrained_cfg", {})
    size = said.get("input_size")
    prepared = _prepared(said.get("mean"), said.get("std")) if pretrained else None
    return Found(module, Volume(size[1], size[2], size[0]) if size else None, prepared)


def _torchvision(name: str, pretrained: bool = False) -> Found:
    models = _imported("torchvision.models", "torchvision")
    if name not in models.list_models():
        raise StriateError(f"torchvision has no {name!r}: {nearest(name, models.list_models())}")
    weights = models.get_model_weights(name)
    wanted = weights.DEFAULT if pretrained and len(weights) else None
    slow = wanted is None and name in ("googlenet", "inception_v3")  # to draw weights at random
    options = {"init_weights": False} if slow else {}
    module = _made(lambda: models.get_model(name, weights=wanted, **options), name)
    said = weights.DEFAULT.transforms() if len(weights) else None
    crop = getattr(said, "crop_size", None)
    numbers = (getattr(said, name, None) for name in ("mean", "std"))
    prepared = _prepared(*numbers) if wanted else None
    return Found(module, Volume(crop[0], crop[0], 3) if crop else None, prepared)


def _prepared(
    mean: Sequence[float] | None, deviation: Sequence[float] | None
) -> Preparation | None:
    if not mean or not deviation:
        return None
    return Preparation.by_channel(mean, deviation)


def _made(make: Callable[[], Any], name: str) -> Any:
    try:
        return make()
    except Exception as reason:  # whatever other people's code raises
        raise StriateError(f"{name} cannot be made: {raised(reason)}") from reason


def _function_of(package: str) -> Callable[..., Found]:
    def found(name: str, pretrained: bool = False) -> Found:
        if "" not in sys.path:
            sys.path.insert(0, "")  # as `python -m` does: what lies here can be named
        home: Any = _imported(package, package)
        for part in name.split("."):
            if not hasattr(home, part):
                raise StriateError(f"{package} has no {name!r}: {nearest(part, dir(home))}")
            home = getattr(home, part)
        made = home if isinstance(home, nn.Module) else _made(home, f"{package}:{name}")
        if not isinstance(made, nn.Module):
            raise StriateError(f"{package}:{name} gives {made!r:.80}, which is no PyTorch module")
        return Found(made, None)

    return found


LIBRARIES: dict[str, Callable[..., Found]] = {"timm": _timm, "torchvision": _torchvision}


def _imported(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as reason:
        root = package.split(".")[0]
        if reason.name and reason.name.split(".")[0] == root:
            hint = f"pip install {root}, or mind the spelling"
            if package.endswith(".py"):
                hint = f"a module is named without its ending, {package.removesuffix('.py')}:NAME"
            raise StriateError(f"{package} is not here: {hint}") from None
        raise StriateError(f"{package} cannot be imported: {reason}") from reason
    except Exception as reason:
        raise StriateError(f"{package} cannot be imported: {raised(reason)}") from reason
