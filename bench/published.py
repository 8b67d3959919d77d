"""Published weights through the zoo's networks: the largest difference to the peers' own scores.

    python bench/published.py [NAME ...] [--python PYTHON]

Each of torchvision's and timm's AlexNet, VGG, GoogLeNet and ResNet is made with random weights by
its own class in an environment of peers, saved, read through `striate.transfer` and compared, in
float32 on the CPU. The bar: 1e-4 of the largest score. Exit 1 where it is missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from environments import PEERS, clean, python
from pairs import aligned, heading, here, use_threads, write
from safetensors.torch import load_file

from striate.transfer import begin_with, known, preparation_for
from striate.transfer.published.family import IMAGENET

BAR = 1e-4
LIBRARIES = ("torchvision", "timm")


def listed(interpreter: str) -> list[str]:
    """The names of what the peers publish."""
    code = "import sys; sys.argv[1:] = ['shapes']; import runpy, io, contextlib, json\n"
    code += "with contextlib.redirect_stdout(io.StringIO()) as said:\n"
    code += f"    runpy.run_path({str(PEERS / 'published.py')!r}, run_name='__main__')\n"
    code += "print(*json.loads(said.getvalue()))"
    command = [interpreter, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=clean())
    return done.stdout.split()


def versions(interpreter: str) -> dict[str, str]:
    """Of the peers."""
    code = f"from importlib.metadata import version; print(*map(version, {LIBRARIES}))"
    command = [interpreter, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=clean())
    return dict(zip(LIBRARIES, done.stdout.split(), strict=True))


def compared(interpreter: str, name: str, folder: Path) -> tuple[str, float]:
    """The zoo's network for a published one, and how far its scores are off, of the largest."""
    command = [interpreter, str(PEERS / "published.py"), "weights", str(folder), name]
    subprocess.run(command, check=True, capture_output=True, env=clean())
    stem = folder / name.replace(":", "-")
    start = known(f"{stem}.safetensors")
    answer = load_file(f"{stem}.answer.safetensors")
    for path in (f"{stem}.safetensors", f"{stem}.answer.safetensors"):
        Path(path).unlink()
    assert start.network is not None, f"{name} is of no network of the zoo"
    model = start.network.build().eval()
    classes = tuple(map(str, range(1000)))
    origin = begin_with(start, model, start.network, classes, "keep")
    assert origin.taken == origin.tensors, f"{name}: {origin}"
    preparation = preparation_for(start, start.network)
    assert preparation is not None
    # The published way's images, from its mean and deviation to the network's own.
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in IMAGENET)
    own = (torch.tensor(each).view(3, 1, 1) for each in (preparation.mean, preparation.deviation))
    shift, scale = own
    images = (answer["images"] * deviation + mean - shift) / scale
    with torch.inference_mode():
        scores = model(images)
    off = (scores - answer["scores"]).abs().max() / answer["scores"].abs().max()
    return start.network.name or "", float(off)


def main() -> int:
    """Compare, write, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("names", nargs="*")
    options.add_argument("--python", help="of an environment with torchvision, timm, safetensors")
    given = options.parse_args()
    use_threads(1)
    interpreter = given.python or python("torch")
    rows = [["published", "the zoo's", "difference, of the largest score"]]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in given.names or listed(interpreter):
            network, off = compared(interpreter, name, Path(folder))
            found[name] = {"network": network, "difference": off}
            rows.append([name, network, f"{off:.1e}"])
            print(*rows[-1], file=sys.stderr, flush=True)
    result = here(1, published=found, versions=versions(interpreter))
    write("published", result, f"{heading('Published weights', result)}\n\n{aligned(rows)}")
    return 0 if all(each["difference"] <= BAR for each in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
