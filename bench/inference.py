"""What predicting costs: ours, beside each engine used by hand, on the same pixels in one run.

    python bench/inference.py [--rounds 5] [--network resnet50-torchvision] [--batches 1 32]

ResNet-50 at 224 with weights by chance. All take uint8 pixels (N, H, W, D) and give probabilities.
By hand: PyTorch eager, with channels last, and compiled by torch.compile; ONNX Runtime and OpenVINO
with the settings that their documentation starts with. Ours is what `striate predict` and `serve`
run, chosen by its probe. Bar: not below the fastest of them. Exit 1 where it is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pairs import ROOT, aligned, heading, here, in_turn, ratios, spread, tell, use_threads, write

sys.path.insert(0, str(ROOT / "tests"))
from shipped import model_of

from striate.data.tell import silent
from striate.ship.about import written
from striate.ship.choice import Subject, choose, images
from striate.ship.engines import PIXELS, PROBABILITIES
from striate.ship.model import Model, Whole
from striate.ship.onnx_graph import to_onnx

Infer = Callable[[NDArray[np.uint8]], Any]
BAR = 0.97  # of the fastest by hand: what two readings of the same thing differ by here
SECONDS = 3.0  # of each reading


def by_hand(model: Model, content: bytes, folder: Path) -> dict[str, Infer]:
    """Each engine, as a person would call it."""
    import onnxruntime
    import openvino

    whole = Whole(model, model.module)
    last = Whole(model, model.module).to(memory_format=torch.channels_last)
    compiled = torch.compile(whole)

    def torch_infer(module: Any) -> Infer:
        def infer(pixels: NDArray[np.uint8]) -> Any:
            with torch.inference_mode():
                return module(torch.from_numpy(pixels))[0].numpy()

        return infer

    file = folder / "model.onnx"
    file.write_bytes(content)
    session = onnxruntime.InferenceSession(file)
    request = openvino.compile_model(file, "CPU")
    return {
        "PyTorch eager": torch_infer(whole),
        "PyTorch eager, channels last": torch_infer(last),
        "PyTorch compiled": torch_infer(compiled),
        "ONNX Runtime": lambda pixels: session.run([PROBABILITIES], {PIXELS: pixels})[0],
        "OpenVINO": lambda pixels: request({PIXELS: pixels})[PROBABILITIES],
    }


def reading(infer: Infer, pixels: NDArray[np.uint8], seconds: float) -> float:
    """Images a second."""
    infer(pixels)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        infer(pixels)
        done += len(pixels)
    return done / (time.perf_counter() - began)


def main() -> int:
    """Measure, write, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--network", default="resnet50-torchvision")
    options.add_argument("--batches", type=int, nargs="*", default=[1, 32])
    options.add_argument("--threads", type=int, default=os.cpu_count())
    given = options.parse_args()
    use_threads(given.threads)
    model = model_of(given.network)
    content = to_onnx(model, written(model))
    subject = Subject(
        given.network,
        str(model.network),
        model.classes,
        model.volume,
        model.mark,
        model,
        lambda: content,
    )
    rows, found, kept = [["batch", "what", "images/s", "ours is", "n"]], {}, True
    with TemporaryDirectory() as folder:
        tell("compiling")
        chosen = choose(subject, "auto", given.threads, silent)
        contenders = {"striate": chosen.infer, **by_hand(model, content, Path(folder))}
        truth = images(model.volume, 4)
        wanted = model.exact(truth)
        for name, infer in contenders.items():
            off = float(np.abs(np.asarray(infer(truth)) - wanted).max())
            if off > 0.02:
                raise RuntimeError(f"{name} is off by {off}")
        for batch in given.batches:
            pixels = images(model.volume, batch, 1)
            rates = in_turn(
                {
                    name: lambda infer=infer, pixels=pixels: reading(infer, pixels, SECONDS)
                    for name, infer in contenders.items()
                },
                given.rounds,
            )
            against = {name: ratios(rates["striate"], rate) for name, rate in rates.items()}
            kept &= all(each["median"] >= BAR for each in against.values())
            for name, rate in rates.items():
                ratio = f"{against[name]['median']:.2f}x" if name != "striate" else ""
                rows.append([str(batch), name, f"{median(rate):,.1f}", ratio, str(len(rate))])
            found[str(batch)] = {name: spread(rate, 1) for name, rate in rates.items()}
    versions = {each: version(each) for each in ("onnxruntime", "openvino")}
    result = here(given.threads, versions=versions, way=chosen.words, inference=found)
    title = f"{heading(f'Predicting with {given.network}', result)}  \nOurs: {chosen.words}."
    write("inference", result, f"{title}\n\n{aligned(rows)}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
