"""Deeper plain networks train worse, residual ones do not: the lecture's point, from real runs.

    python bench/residual.py --data ../shared/data/cifar10-jpeg.zip [--epochs 16 --images 1000]

He et al. 2015 (arXiv:1512.03385, figure 6) at a small budget: plain20, plain56, resnet20, resnet56
on some CIFAR-10 images of each class. So short a run wants half of the paper's batch and rate, and
a warm-up, for all four. The runs stay in build/residual; the chart goes to docs/.
"""

import argparse
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "residual"
NETWORKS = ("plain20", "plain56", "resnet20", "resnet56")


def subset(source: Path, images: int) -> Path:
    """An archive with the first training images of each class, and every fifth test image."""
    path = WORK / f"cifar10-{images}.zip"
    if path.exists():
        return path
    seen: dict[str, int] = {}
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(path, "w") as part:
        for name in sorted(whole.namelist()):
            folder, _, file = name.rpartition("/")
            if not file:
                continue
            number = seen[folder] = seen.get(folder, 0) + 1
            if number <= images if "/train/" in name else number % 5 == 0:
                part.writestr(name, whole.read(name))
    return path


def striate(*arguments: str) -> None:
    """A command, as a person says it."""
    subprocess.run([sys.executable, "-m", "striate", *arguments], check=True)


def main() -> None:
    """Train what has not been trained yet, score, draw."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--epochs", type=int, default=16)
    options.add_argument("--images", type=int, default=1000, help="of each class")
    given = options.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    data = subset(given.data, given.images)
    runs = []
    for name in NETWORKS:
        run = WORK / name
        runs.append(str(run))
        if (run / "weights.safetensors").exists():
            continue
        striate(
            "train", name, "--data", str(data), "--recipe", "resnet-cifar-2015",
            "--epochs", str(given.epochs), "--set", "batch=64", "lr=0.05", "warm_up=0.1",
            "--run", str(run),
        )  # fmt: skip
    chart = ROOT / "docs" / "images" / "residual.svg"
    chart.parent.mkdir(exist_ok=True)
    striate("curve", *runs, "--to", str(chart), "--what", "error")
    for run in runs:
        striate("score", run)


if __name__ == "__main__":
    main()
