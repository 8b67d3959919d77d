"""What the peers do, each as a process of its own: a summary of ResNet-152, or what they count.

    python bench/peers/summary.py summary cpu|meta [--declare]
    python bench/peers/summary.py count [--declare]

torchvision's compiled operators load into one build of torch only. Where they do not, its import
stops at those that it describes and cannot find. No classifier uses them: `--declare` gives torch
their names.
"""

import sys

import torch

action, *options = sys.argv[1:]
if "--declare" in options:
    operators = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")

import torchinfo  # noqa: E402
from torchvision.models import resnet152  # noqa: E402

SHAPE = (1, 3, 224, 224)

if action == "summary":
    with torch.device(options[0]):
        model = resnet152()
    torchinfo.summary(model, SHAPE, device=options[0])
else:
    import json
    from importlib.metadata import version

    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model, image = resnet152(), torch.empty(SHAPE)
    summary = torchinfo.summary(model, SHAPE, device="meta", verbose=0)
    with FlopCounterMode(display=False) as counter:
        model(image)
    counts = {
        "parameters": summary.total_params,
        "torchinfo_mult_adds": summary.total_mult_adds,
        "torch_flops": counter.get_total_flops(),
        "scales_shifts_and_biases": sum(p.numel() for p in model.parameters() if p.dim() == 1),
    }
    versions = {name: version(name) for name in ("torch", "torchinfo", "torchvision")}
    print(json.dumps({"counts": counts, "threads": torch.get_num_threads(), "versions": versions}))
