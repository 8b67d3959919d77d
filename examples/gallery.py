"""Every way of seeing, on one network trained on CIFAR-10: docs/gallery.md and its pictures.

    python examples/gallery.py cifar10-jpeg.zip

The run is kept in build/gallery and used again; where there is none, it is trained first.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from striate.gallery import WAYS, picture
from striate.runs import open_run

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / "build" / "gallery"
PAGE = ROOT / "docs" / "gallery.md"
PICTURES = ROOT / "docs" / "images" / "gallery"
NETWORK = """\
[32x32x3]
conv5-32 bn relu conv3-32 bn relu maxpool2
conv3-64 bn relu conv3-64 bn relu maxpool2
conv3-128 bn relu conv3-128 bn relu
avgpool fc-10 softmax"""
EPOCHS = 10
IMAGE, STYLE = "test:7001", "test:2005"
ASKED = {  # beyond the way, the run and the image
    "neuron": {"layer": "conv1", "unit": 5},
    "patches": {"layer": "conv5"},
    "preferred": {"layer": "conv4"},
    "dream": {"layer": "conv3"},
    "style": {"style": STYLE},
}
WIDEST, QUALITY = 1400, 85  # pixels, and of WebP


def main() -> None:
    """Train if need be, draw, write."""
    data = sys.argv[1] if len(sys.argv) > 1 else "cifar10-jpeg.zip"
    striate = [sys.executable, "-m", "striate"]
    if not (RUN / "weights.safetensors").is_file():
        train = [*striate, "train", NETWORK, "--data", data, "--run", str(RUN)]
        train += ["--recipe", "resnet-cifar-2015", "schedule=cosine", f"epochs={EPOCHS}"]
        subprocess.run(train, check=True)
    score = [*striate, "score", str(RUN), "--format", "json"]
    told = json.loads(subprocess.run(score, check=True, capture_output=True, text=True).stdout)
    parts = [
        "# Gallery",
        "Every way of [seeing](seeing.md), on one network; `make gallery` makes this page.",
        f"```net\n{NETWORK}\n```",
        f"Trained on CIFAR-10 (as JPEG) for {EPOCHS} epochs; {told['top1_error']:.1%} top-1 error "
        f"on {told['count']:,} test images.",
    ]
    run = open_run(RUN)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, way in WAYS.items():
        print(name, flush=True)
        options = ASKED.get(name, {})
        drawn = picture(name, run, IMAGE, **options)
        drawn.thumbnail((WIDEST, 10 * WIDEST))
        drawn.save(PICTURES / f"{name}.webp", quality=QUALITY, method=6)
        flags = "".join(f" --{flag} {value}" for flag, value in options.items())
        parts += [
            f"## {name}",
            f"{way.shows[0].upper()}{way.shows[1:]}: `striate see {name} RUN {IMAGE}{flags}`",
            f"![{way.shows}](images/gallery/{name}.webp)",
        ]
    PAGE.write_text("\n\n".join(parts) + "\n", "utf-8")


if __name__ == "__main__":
    main()
