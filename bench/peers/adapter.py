"""Run airbench94_muon or hiverge's script, as it is, on the machine at hand.

    python adapter.py prepare IMAGES.zip FOLDER [--limit N]
    python adapter.py run SCRIPT --images FOLDER [--device cpu] [--how autocast,eager]

`prepare` writes the train.pt and test.pt that the scripts read. `run` executes the script's own
source under another name than __main__ and then does what its last lines do: make the model, train
and score it, a run in each turn (turns.py). On CUDA nothing is changed but the number of runs. On
a CPU, what asks for the GPU is given the CPU: events are wall time, `cuda` is where things already
lie, and half precision, which CPUs do not compute with at speed, is

    autocast    float32 weights and images, bfloat16 convolutions and products
    modules     bfloat16 weights and images, as near to the script as a CPU comes
    float32     neither

eager or compiled. A run's answer is the accuracy of its six views and the seconds that the script
itself counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import itertools
import os
import sys
import time
import types
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from turns import Turns

HALVES = {"autocast": torch.float32, "modules": torch.bfloat16, "float32": torch.float32}


def prepare(source: Path, folder: Path, limit: int | None) -> None:
    """Decode `.../train/CLASS/*.jpg` and `.../test/CLASS/*.jpg`, in an even mix of the classes."""
    import numpy as np
    from PIL import Image

    with zipfile.ZipFile(source) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        classes = sorted({name.split("/")[-2] for name in names})
        for part in ("train", "test"):
            chosen, seen = [], Counter[str]()
            for name in sorted(each for each in names if f"/{part}/" in each):
                label = name.split("/")[-2]
                seen[label] += 1
                if limit is None or seen[label] <= limit // len(classes):
                    chosen.append(name)
            decoded = (Image.open(io.BytesIO(archive.read(name))) for name in chosen)
            images = np.stack([np.asarray(image.convert("RGB")) for image in decoded])
            labels = torch.tensor([classes.index(name.split("/")[-2]) for name in chosen])
            (folder / "cifar10").mkdir(parents=True, exist_ok=True)
            kept = {"images": torch.from_numpy(images), "labels": labels, "classes": classes}
            torch.save(kept, folder / "cifar10" / f"{part}.pt")


class Normalize(nn.Module):
    """The one transform that the scripts take from torchvision."""

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.mean, self.deviation = mean[:, None, None], deviation[:, None, None]

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, h, w), to the same."""
        mean, deviation = self.mean.to(images), self.deviation.to(images)
        return (images - mean).div_(deviation)


def provide_torchvision() -> None:
    """Its compiled part fits few builds of torch; the scripts need only a name and `Normalize`."""
    package, transforms = (
        types.ModuleType("torchvision"),
        types.ModuleType("torchvision.transforms"),
    )
    transforms.Normalize = Normalize
    package.transforms = transforms
    sys.modules |= {"torchvision": package, "torchvision.transforms": transforms}


class Event:
    """torch.cuda.Event, by the clock on the wall."""

    def __init__(self, enable_timing: bool = False) -> None:
        self.at = 0.0

    def record(self) -> None:
        """Note the time."""
        self.at = time.perf_counter()

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds."""
        return 1000 * (end.at - self.at)


def onto_cpu(precision: str, compiled: bool) -> None:
    """Map to the CPU what the scripts ask of a GPU."""
    half = HALVES[precision]
    load, empty, compile_ = torch.load, torch.empty, torch.compile

    def arrives(model: nn.Module) -> nn.Module:
        if precision == "autocast":
            model.forward = torch.autocast("cpu", torch.bfloat16)(model.forward)
        return model

    def loaded(file: str, **_: Any) -> Any:
        torch.half = torch.float16  # by whose name PyTorch finds the kinds of storage
        try:
            return load(file, map_location="cpu")
        finally:
            torch.half = half

    torch.load = loaded
    torch.empty = lambda *size, **given: empty(*size, **_off_cuda(given))
    torch.half = half
    torch.cuda.Event = Event
    torch.cuda.synchronize = lambda *_: None
    nn.Module.cuda = arrives
    nn.Module.half = lambda self: self.to(half)
    Tensor.half = lambda self: self.to(half)
    Tensor.pin_memory = lambda self: self
    if not compiled:
        torch.compile = lambda function=None, **_: function or (lambda each: each)
        nn.Module.compile = lambda self, **_: None
    else:  # autotuning chooses kernels of GPUs; on a CPU it takes minutes and changes little
        torch.compile = lambda function=None, mode=None, **given: compile_(function, **given)
        plain = nn.Module.compile
        nn.Module.compile = lambda self, mode=None, **given: plain(self, **given)


def _off_cuda(given: dict[str, Any]) -> dict[str, Any]:
    return given | {"device": "cpu"} if given.get("device") == "cuda" else given


def executed(script: Path) -> types.ModuleType:
    """The script's functions: its source, but what stands under `if __name__ == "__main__"`."""
    sys.argv = [str(script)]  # it reads its own source by this name
    found = importlib.util.spec_from_file_location("peer", script)
    assert found and found.loader, script
    module = importlib.util.module_from_spec(found)
    sys.modules["peer"] = module
    found.loader.exec_module(module)
    return module


def run(script: Path, warm: bool, turns: Turns) -> None:
    """Train and score in each turn, and say how it went."""
    peer = executed(script)
    told: dict[str, Any] = {}
    show: Callable[..., None] = peer.print_training_details

    def print_training_details(variables: dict[str, Any], is_final_entry: bool) -> None:
        told.update(variables)
        show(variables, is_final_entry=is_final_entry)

    peer.print_training_details = print_training_details
    model = peer.CifarNet().cuda().to(memory_format=torch.channels_last)
    model.compile(mode="max-autotune")
    if warm:
        peer.main("warmup", model)
    turns.ready()
    for number in itertools.count():
        peer.main(number, model)
        turns.done(accuracy=told["tta_val_acc"], seconds=told["time_seconds"])


def main() -> None:
    """As the command line says."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    verbs = options.add_subparsers(dest="verb", required=True)
    preparing, running = verbs.add_parser("prepare"), verbs.add_parser("run")
    preparing.add_argument("source", type=Path)
    preparing.add_argument("folder", type=Path)
    preparing.add_argument("--limit", type=int, help="images of each part")
    running.add_argument("script", type=Path)
    running.add_argument("--images", type=Path, required=True)
    running.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    running.add_argument("--how", default="autocast,eager", help="PRECISION,eager|compiled")
    given = options.parse_args()
    if given.verb == "prepare":
        prepare(given.source, given.folder, given.limit)
        return
    turns = Turns()
    precision, _, how = given.how.partition(",")
    script = given.script.resolve()
    os.chdir(given.images)
    provide_torchvision()
    if given.device == "cpu":
        onto_cpu(precision, how == "compiled")
    # The scripts' first run only compiles; eager there is nothing to warm.
    run(script, given.device == "cuda" or how == "compiled", turns)


if __name__ == "__main__":
    main()
