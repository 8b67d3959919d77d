"""All benchmarks that can run here, one after the other: what `make bench` does.

    CIFAR10=file MNIST=folder AIRBENCH=DIR HIVERGE=DIR python bench/run.py [NAME ...]

Exit 1 where one of them missed a bar.
"""

from __future__ import annotations

import os
import subprocess
import sys

from environments import BENCH

# Each with its arguments and the variable without which there is nothing to measure.
ALL = {
    "startup": ([], None),
    "feeding": ([], None),
    "throughput": ([], None),
    "cifar": (["--data"], "CIFAR10"),
    "exact": ([], None),
    "gpu": (["--data"], "CIFAR10"),
}


def main() -> int:
    """Run those named, or all but `gpu` where there is none."""
    names = sys.argv[1:] or list(ALL)
    if unknown := [name for name in names if name not in ALL]:
        print(f"there is no benchmark {unknown[0]}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    ended: dict[str, str] = {}
    for name in names:
        arguments, variable = ALL[name]
        if variable and not os.environ.get(variable):
            ended[name] = f"not run: {variable}=PATH names its images"
            continue
        if name == "gpu" and not sys.argv[1:] and not _has_gpu():
            ended[name] = "not run: there is no GPU here"
            continue
        given = [*arguments, os.environ[variable]] if variable else arguments
        done = subprocess.run([sys.executable, str(BENCH / f"{name}.py"), *given])
        ended[name] = (
            "all bars hold" if done.returncode == 0 else "a bar is missed, or it broke off"
        )
    for name, how in ended.items():
        print(f"{name}: {how}")
    return 1 if any("missed" in how for how in ended.values()) else 0


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    sys.exit(main())
