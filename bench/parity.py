"""Whether what leaves answers as the model does: every network of the zoo in every format.

    python bench/parity.py [--networks NAME ...] [--formats NAME ...]

Weights by chance, batch normalisation that has seen images, images larger than the input where that
is the usual way (8/7). Each artefact is written, read back as another program would (ONNX in ONNX
Runtime, Python in a fresh process), and answers for four images in batches of one and three. Bar:
no probability off by 0.001, no score by a ten-thousandth of the largest. Exit 1 where it is missed.
"""

import argparse
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pairs import ROOT, aligned, heading, here, tell, use_threads, write

sys.path.insert(0, str(ROOT / "tests"))
from shipped import model_of

import striate
from striate import zoo
from striate.data.assemble import MARGIN
from striate.errors import StriateError
from striate.ship.export import export
from striate.ship.formats import FORMATS

PHOTOS = 200  # the side of an input from which on images are larger than it


def compared(name: str, formats: list[str]) -> list[dict[str, Any]]:
    """A network in each format."""
    network = striate.read(name)
    side = max(network.input[:2])
    border = round(MARGIN * side) - side if side >= PHOTOS else 0
    model = model_of(network, border=border)
    found = []
    for to in formats:
        tell(f"{name} as {to}")
        began = time.perf_counter()
        each: dict[str, Any] = {"network": name, "format": to}
        with TemporaryDirectory() as folder:
            try:
                made = export(model, to, Path(folder, f"model{FORMATS[to].suffix}"))
                each |= made.difference._asdict() | {"holds": True}
            except StriateError as reason:
                each |= {"holds": False, "reason": str(reason)}
        found.append(each | {"seconds": round(time.perf_counter() - began, 1)})
    return found


def main() -> int:
    """Compare, write, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--networks", nargs="*", default=zoo.names(), metavar="NAME")
    options.add_argument("--formats", nargs="*", default=list(FORMATS), choices=list(FORMATS))
    options.add_argument("--threads", type=int, default=os.cpu_count())
    given = options.parse_args()
    use_threads(given.threads)
    found = [each for name in given.networks for each in compared(name, given.formats)]
    rows = [["network", *given.formats]]
    for name in given.networks:
        own = {each["format"]: each for each in found if each["network"] == name}
        rows.append([name, *(said(own[to]) for to in given.formats)])
    worst = [max(e.get("score", 1.0) for e in found if e["format"] == to) for to in given.formats]
    rows.append(["largest", *(f"{each:.1e}" for each in worst)])
    versions = {name: version(name) for name in ("onnx", "onnxruntime")}
    result = here(given.threads, compared=found, versions=versions)
    count = sum(each["holds"] for each in found)
    words = (
        f"{count} of {len(found)} artefacts answer as the model does. The largest difference of a "
        "score, in parts of the largest score."
    )
    title = heading(f"Export parity, {len(given.networks)} networks", result)
    some = set(given.networks) != set(zoo.names())
    write("parity-some" if some else "parity", result, "\n\n".join([title, words, aligned(rows)]))
    return 0 if count == len(found) else 1


def said(each: dict[str, Any]) -> str:
    """The difference, or that there is too much of it."""
    return f"{each['score']:.1e}" if each["holds"] else "NO"


if __name__ == "__main__":
    sys.exit(main())
