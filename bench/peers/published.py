"""What torchvision and timm publish, from their own classes: names and shapes, or random weights.

    python bench/peers/published.py shapes > tests/published.json
    python bench/peers/published.py weights FOLDER [NAME ...]

The second writes NAME.safetensors and NAME.answer.safetensors. Weights are random, statistics of
normalisations too, so that a layer taken for another shows. The answer holds images as the
published way prepares them (float32, 2 of 224x224) and their scores.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

# torchvision's compiled operators load into one build of torch only; no classifier uses them.
operators = torch.library.Library("torchvision", "FRAGMENT")
for name in ("nms", "qnms"):
    operators.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")

import timm  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torchvision import models  # noqa: E402

VGG = [f"vgg{depth}{bn}" for depth in (11, 13, 16, 19) for bn in ("", "_bn")]
RESNET = [f"resnet{depth}" for depth in (18, 34, 50, 101, 152)]
NAMES = [f"torchvision:{name}" for name in ("alexnet", *VGG, "googlenet", *RESNET)]
NAMES += [f"timm:{name}" for name in (*VGG, *RESNET)]


def made(name: str) -> torch.nn.Module:
    """A peer's own module with the weights that it draws; GoogLeNet as its published one is."""
    library, _, model = name.partition(":")
    if library == "timm":
        return timm.create_model(model)
    options = {"transform_input": True, "init_weights": False} if model == "googlenet" else {}
    return getattr(models, model)(**options)


def counted(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Its tensors, without the counts of batches."""
    for name, each in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            yield name, each


def shapes() -> dict[str, object]:
    """Names and shapes of each model; of one that is another's to the last, that one's name."""
    found: dict[str, object] = {}
    for name in NAMES:
        with torch.device("meta"):
            model = made(name)
        listed = {key: "x".join(map(str, each.shape)) for key, each in counted(model)}
        found[name] = next((other for other, each in found.items() if each == listed), listed)
    return found


def weights(folder: Path, names: list[str]) -> None:
    """Files of weights, each with an answer."""
    for name in names or NAMES:
        torch.manual_seed(0)
        model = made(name).eval()
        state = model.state_dict()
        for key, each in state.items():
            if key.endswith("running_mean"):
                each.normal_(0, 0.1)
            elif key.endswith("running_var"):
                each.uniform_(0.5, 1.5)
        images = torch.randn(2, 3, 224, 224)
        with torch.inference_mode():
            scores = model(images)
        stem = folder / name.replace(":", "-")
        save_file({key: each.contiguous() for key, each in state.items()}, f"{stem}.safetensors")
        save_file({"images": images, "scores": scores}, f"{stem}.answer.safetensors")
        print(name, flush=True)


if sys.argv[1] == "shapes":
    rows = (f"{json.dumps(name)}: {json.dumps(each)}" for name, each in shapes().items())
    print("{\n" + ",\n".join(rows) + "\n}")
else:
    weights(Path(sys.argv[2]), sys.argv[3:])
