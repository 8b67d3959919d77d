"""How much of torchvision and timm comes back: parameters, volumes, outputs, MACs.

    python bench/recover.py [--only timm:resnet50 ...] [--each 8]

All classification networks of torchvision that are ConvNets, and of each of timm's modules of
ConvNets the first few. Each is recovered, built, given the weights and run on the same random
images. Its MACs stand beside fvcore's and those of PyTorch's own counter, convolutions and matrix
products alone. Bar: the outputs of whatever comes back differ by less than 1e-4 of the largest.
Exit 1 where one does not, or a network makes it fail.
"""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import torch
from pairs import aligned, heading, here, tell, write
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from striate.errors import StriateError
from striate.layers import Volume
from striate.recover import recover
from striate.recover.sources import COMMON, LIBRARIES, Found

# What torchvision has beside ConvNets.
NO_CONVNET = ("vit", "swin", "maxvit", "raft", "deeplab", "fcn", "lraspp", "mvit", "s3d", "r3d")
# timm's modules whose networks are made of convolutions.
MODULES = [
    "byobnet",
    "convmixer",
    "convnext",
    "cspnet",
    "densenet",
    "dla",
    "dpn",
    "edgenext",
    "efficientnet",
    "fasternet",
    "ghostnet",
    "hardcorenas",
    "hgnet",
    "hrnet",
    "inception_next",
    "inception_resnet_v2",
    "inception_v3",
    "inception_v4",
    "mambaout",
    "mobilenetv3",
    "nasnet",
    "nfnet",
    "pnasnet",
    "regnet",
    "repghost",
    "repvit",
    "res2net",
    "resnest",
    "resnet",
    "resnetv2",
    "rexnet",
    "selecsls",
    "senet",
    "sknet",
    "starnet",
    "tresnet",
    "vgg",
    "vovnet",
    "xception",
    "xception_aligned",
]
MOST = 60_000_000  # parameters: larger ones are the same layers, more often
LARGEST = 300  # the side of an input


def names(each: int) -> Iterator[str]:
    """What is to come back."""
    import timm
    import torchvision

    models = torchvision.models
    for name in models.list_models(module=models):
        if not name.startswith(NO_CONVNET):
            yield f"torchvision:{name}"
    for module in MODULES:
        taken = 0
        for name in timm.list_models(module=module):
            if taken == each:
                break
            try:
                with torch.device("meta"):
                    made = timm.create_model(name)
            except Exception:  # it cannot be made without values
                made = timm.create_model(name)
            side = made.pretrained_cfg.get("input_size", (3, 224, 224))[-1]
            if sum(p.numel() for p in made.parameters()) <= MOST and side <= LARGEST:
                taken += 1
                yield f"timm:{name}"


def studied(source: str) -> dict[str, Any]:
    """One network: what came back of it."""
    began = time.perf_counter()
    library, name = source.split(":")
    try:
        module, usual, _ = LIBRARIES[library](name)
        module.eval()
        shaken(module)
        volume = usual or COMMON
        found = recover(module, volume)
        told = found.network.account().totals
        return {
            "source": source,
            "whole": found.whole,
            "parameters": found.parameters,
            "ours": told.parameters,
            "unused": sum(found.unused.values()),
            "difference": found.difference,
            "opaque": [step.layer.name for step in found.opaque],  # type: ignore[attr-defined]
            "lines": str(found.network).count("\n") + 1,
            "macs": told.macs,
            **counted(Found(module, volume)),
            "seconds": round(time.perf_counter() - began, 1),
        }
    except StriateError as reason:
        return {"source": source, "whole": False, "refused": str(reason)}
    except Exception as reason:  # a fault of ours
        return {"source": source, "whole": False, "failed": f"{type(reason).__name__}: {reason}"}


def shaken(module: nn.Module) -> None:
    """Statistics and scales as after training: at their start, mistakes could hide."""
    chance = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if name.endswith("running_mean") or name.endswith("bias"):
                tensor.normal_(0, 0.1, generator=chance)
            elif name.endswith("running_var") or (tensor.dim() == 1 and tensor.is_floating_point()):
                tensor.uniform_(0.8, 1.25, generator=chance)


def counted(found: Found) -> dict[str, int | None]:
    """Multiply-adds of convolutions and matrix products, as fvcore and PyTorch count them."""
    from fvcore.nn import FlopCountAnalysis

    module, volume = found.module, found.input
    height, width, depth = volume or Volume(*COMMON)
    images = torch.zeros(1, depth, height, width)
    with torch.inference_mode():
        analysis = FlopCountAnalysis(module, images).unsupported_ops_warnings(False)
        analysis = analysis.uncalled_modules_warnings(False)
        kinds = analysis.by_operator()
        with FlopCounterMode(display=False) as counter:
            module(images)
    products = ("conv", "linear", "matmul", "addmm", "bmm", "einsum")
    return {
        "fvcore": int(sum(kinds[each] for each in products)),
        "torch": counter.get_total_flops() // 2,
    }


def main() -> int:
    """Recover, compare, write, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--only", nargs="*", metavar="SOURCE")
    options.add_argument("--each", type=int, default=8, metavar="N", help="of timm's modules")
    given = options.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    found = []
    for source in given.only or names(given.each):
        found.append(studied(source))
        tell(f"{len(found)} {source}: {_word(found[-1])}")
        gc.collect()
    versions = {each: version(each) for each in ("torchvision", "timm", "fvcore")}
    result = here(torch.get_num_threads(), versions=versions, recovered=found)
    if not given.only:
        write("recover", result, f"{heading('Networks recovered', result)}\n\n{_table(found)}")
    bad = [each for each in found if "failed" in each or (each.get("difference") or 0) > 1e-4]
    return 1 if bad else 0


def _word(each: dict[str, Any]) -> str:
    if each["whole"]:
        return "whole"
    if each.get("opaque"):
        named = Counter(each["opaque"])
        said = (f"{name} x {count}" if count > 1 else name for name, count in named.items())
        return f"opaque: {', '.join(said)}"
    if "difference" in each:
        return f"{each['ours']} of {each['parameters']}, off by {each['difference']}"
    return each.get("refused") or each.get("failed") or "?"


def _table(found: list[dict[str, Any]]) -> str:
    said = []
    for library in LIBRARIES:
        ours = [each for each in found if each["source"].startswith(f"{library}:")]
        whole = [each for each in ours if each["whole"]]
        said.append(f"Of {library}, {len(whole)} of {len(ours)} came back whole.")
    rows = [["network", "came back", "parameters", "off by", "lines", "MACs", "fvcore", "torch"]]
    for each in found:
        if "macs" not in each:
            rows.append([each["source"], _word(each), *[""] * 6])
            continue
        difference = each["difference"]
        rows.append(
            [
                each["source"],
                _word(each) if not each["whole"] else "whole",
                f"{each['parameters']:,}",
                f"{difference:.0e}" if difference is not None else "",
                str(each["lines"]),
                f"{each['macs']:,}" if each["macs"] is not None else "unknown",
                *(_beside(each[name], each["macs"]) for name in ("fvcore", "torch")),
            ]
        )
    return "\n\n".join([" ".join(said), aligned(rows)])


def _beside(theirs: int, ours: int | None) -> str:
    return "the same" if theirs == ours else f"{theirs:,}"


if __name__ == "__main__":
    sys.exit(main())
