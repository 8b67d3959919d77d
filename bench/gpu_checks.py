"""What must be right on a device before its speed counts; each check says what it found.

A check is a function of the device that returns a line, or raises Wrong.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import cross_entropy

from striate import see
from striate.compute import Compute
from striate.data import load
from striate.network import Network, read
from striate.probe import fastest
from striate.recipes import Recipe
from striate.runs import open_run
from striate.session import begin, resume

NETWORKS = ("lenet5", "convnetjs-cifar10", "resnet20", "airbench")
BATCH = 64
EXACT = 1e-3  # relative, float32 on the device and on the CPU: their sums have other orders
ROUNDED = 2.0  # times the error of PyTorch's own operations in the same precision
SMALL = "[8x8x1] conv3-16 bn relu conv3-16 bn relu maxpool2 dropout(0.1) fc-10 softmax"
RECIPE = Recipe(epochs=4, batch=64, learning_rate=0.05, shift=1)


class Wrong(Exception):
    """A check failed; the message says by how much."""


def values(network: Network, compute: Compute) -> tuple[Tensor, Tensor]:
    """Class scores and all gradients, in float32 on the CPU, for the same weights and images."""
    torch.manual_seed(0)
    model = network.build()
    height, width, depth = network.input
    images = torch.randn(BATCH, depth, height, width)
    labels = torch.arange(BATCH) % 10
    module = compute.training(compute.place(model)).train()
    with compute.autocast():
        scores = module(compute.arranged(images))
    cross_entropy(scores.float(), labels.to(compute.device)).backward()
    found = [each.grad.float().flatten() for each in model.parameters() if each.grad is not None]
    return scores.detach().float().cpu(), torch.cat(found).cpu()


def apart(found: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Relative errors of scores and of gradients."""
    return tuple(float((a - b).norm() / b.norm()) for a, b in zip(found, right, strict=True))


def computed(device: str) -> str:
    """float32 on the device is the CPU's; the fast path errs no more than its precision does."""
    said = []
    for name in NETWORKS:
        network = read(name)
        exact = Compute(device, threads=torch.get_num_threads())
        fast = fastest(network, 2000, device=device)
        right = values(network, replace(exact, device="cpu"))
        plain = Compute(device, fast.precision, fast.memory_format, exact.threads)
        errors = {
            "float32": apart(values(network, exact), right),
            "rounded": apart(values(network, plain), right),
            "fast": apart(values(network, fast), right),
        }
        said.append(f"{name} ({fast}) {errors['fast'][0]:.1e} and {errors['fast'][1]:.1e}")
        if max(errors["float32"]) > EXACT:
            raise Wrong(f"{name}: float32 on {device} and on the CPU differ by {errors['float32']}")
        for mine, theirs in zip(errors["fast"], errors["rounded"], strict=True):
            if mine > ROUNDED * theirs + EXACT:
                raise Wrong(f"{name}: the fast path errs by {mine:.2g}, PyTorch by {theirs:.2g}")
    return "relative errors of scores and gradients: " + "; ".join(said)


def resumed(device: str) -> str:
    """A run that was stopped within an epoch and resumed ends in the same bits."""
    network, splits = read(SMALL), load("digits")
    compute = fastest(network, RECIPE.batch, device=device)
    with tempfile.TemporaryDirectory() as folder:
        whole = begin(Path(folder) / "whole", network, splits, RECIPE, compute)
        for _ in whole.records():
            pass
        halves = begin(Path(folder) / "halves", network, splits, RECIPE, compute)
        for record in halves.records():
            if getattr(record, "step", 0) == 30:
                halves.state.asked_to_stop = True
        again = resume(open_run(Path(folder) / "halves"))
        before = again.state.progress.step
        for _ in again.records():
            pass
        first, second = (each.state.model.state_dict() for each in (whole, again))
        if other := [name for name in first if not torch.equal(first[name], second[name])]:
            raise Wrong(f"resumed at step {before}, these differ: {', '.join(other)}")
    return f"stopped after step {before} of {again.state.progress.step}: equal to the bit"


def commanded(device: str) -> str:
    """`striate train` and `striate score` on the device."""
    with tempfile.TemporaryDirectory() as folder:
        run = f"{folder}/run"
        asked = ["train", SMALL, "--data", "digits", "--device", device, "--run", run]
        striate = [sys.executable, "-m", "striate"]
        done = subprocess.run([*striate, *asked, "--epochs", "12", "--quiet"], capture_output=True)
        if done.returncode:
            raise Wrong(f"striate train: {done.stderr.decode()}")
        asked = [*striate, "score", run, "--views", "6", "--format", "json"]
        scored = subprocess.run(asked, capture_output=True)
        if scored.returncode:
            raise Wrong(f"striate score: {scored.stderr.decode()}")
    error = float(json.loads(scored.stdout)["top1_error"])
    if error > 0.2:
        raise Wrong(f"12 epochs on digits leave {error:.1%} of error")
    return f"12 epochs on digits leave {error:.1%} of error"


def seen(device: str) -> str:
    """What is seen on the device is what is seen on the CPU, of the same weights and image."""
    torch.manual_seed(0)
    network = read("[16x16x3] conv3-8 relu maxpool2 conv3-8 relu fc-10 softmax")
    here, image = network.build(), torch.randn(1, 3, 16, 16)
    there = deepcopy(here).to(device)
    ways: dict[str, Callable[[Module, Tensor], Tensor]] = {
        "gradient": lambda model, image: see.gradient(model, image, 3),
        "integrated": lambda model, image: see.integrated_gradients(model, image, 3),
        "guided": lambda model, image: see.guided_backpropagation(model, image, 3),
        "cam": lambda model, image: see.grad_cam(model, image, "conv2", 3),
        "occlusion": lambda model, image: see.occlusion(model, image, 3),
        "maps": lambda model, image: see.maps(model, image, ["conv2"])["conv2"],
    }
    errors = {}
    for name, way in ways.items():
        right, found = way(here, image), way(there, image.to(device)).cpu()
        errors[name] = float((found - right).norm() / right.norm())
        if errors[name] > EXACT:
            raise Wrong(f"{name} on {device} and on the CPU differ by {errors[name]:.1e}")
    return "relative differences: " + ", ".join(
        f"{name} {each:.0e}" for name, each in errors.items()
    )


CHECKS: dict[str, Callable[[str], str]] = {
    "the fast path against float32": computed,
    "a resumed run": resumed,
    "what is seen": seen,
    "train and score": commanded,
}


def checked(device: str) -> dict[str, tuple[bool, str]]:
    """Whether each check passed, and what it found."""
    found = {}
    for name, check in CHECKS.items():
        try:
            found[name] = True, check(device)
        except Wrong as reason:
            found[name] = False, str(reason)
    return found
