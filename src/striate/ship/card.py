"""A model card in Markdown: what a run is, what it was trained on, how good it is."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from striate import __version__
from striate.data.decode import WORDS
from striate.data.tell import Tell, silent
from striate.draw.formats import to_markdown
from striate.draw.history import last_scores, read_history
from striate.draw.plain import line
from striate.draw.plots import curves, image
from striate.errors import SeeError
from striate.evaluate import Rate
from striate.gallery import picture
from striate.layers.volume import Volume
from striate.recipes import Recipe, made_from, to_toml
from striate.records import Score
from striate.runs import Run
from striate.ship.about import DECODED, RESIZED
from striate.storage import write
from striate.transfer.hub import HUB

MOST_CLASSES = 100  # that are listed
# As model hubs read it.
FRONT = """---
library_name: striate
pipeline_tag: image-classification
tags: [convnet, image-classification]
---
"""
SPLITS = {
    "validation": "validation, held out from training",
    "test": "test, looked at once, after training",
}


class Card(NamedTuple):
    """A card and its pictures, by the names of their files."""

    text: str
    pictures: dict[str, bytes]


def write_card(run: Run, out: Path, *, tell: Tell = silent) -> tuple[Path, ...]:
    """Write a run's card and, beside it, its pictures: `NAME-curve.png`, `NAME-filters.png`.

    Returns:
        The files, the card first.

    Raises:
        RunError: the run has no records of training, matplotlib is not installed, or a file cannot
            be written.
    """
    made = card(run, out.stem, tell=tell)
    for name, content in made.pictures.items():
        write(out.parent / name, content)
    write(out, made.text.encode("utf-8", "replace"))
    return out, *(out.parent / name for name in made.pictures)


def card(run: Run, stem: str, *, tell: Tell = silent) -> Card:
    """A run's card.

    Args:
        stem: what the names of its pictures begin with.
    """
    tell("drawing the curve", 0, 2)
    pictures = {f"{stem}-curve.png": image(curves([read_history(run.path)]))}
    tell("drawing the filters", 1, 2)
    try:
        file = BytesIO()
        picture("filters", run).save(file, "png")
        pictures[f"{stem}-filters.png"] = file.getvalue()
    except SeeError:
        pass  # a network whose layers have no weights has none
    tell("drawing the filters", 2, 2)
    return Card("\n".join(_parts(run, tuple(pictures))), pictures)


def _parts(run: Run, pictures: tuple[str, ...]) -> Iterator[str]:
    network, recipe = run.network, run.recipe
    yield FRONT
    yield f"# {line(network.name or run.path.resolve().name)}"
    yield ""
    paper = (
        f" The network is that of {line(network.front['paper'])}."
        if network.front.get("paper")
        else ""
    )
    yield (
        f"A ConvNet that tells {len(run.classes):,} classes apart, trained with striate on "
        f"{_code(_source(run))}.{paper}"
    )
    yield from ("", "## Scores", "")
    yield from _scores(run)
    yield from ("", "## The network", "", _fenced(str(network)), "", to_markdown(network.account()))
    yield from ("", "## Images", "")
    yield from _images(run)
    yield from ("", "## Training", "")
    if origin := run.origin:
        hub = origin.source.startswith(HUB)
        source = origin.source if hub else Path(origin.source).name
        yield f"It began with the weights of {_code(source)}; {line(str(origin))}."
        yield from ("", f"SHA-256 of those weights: `{origin.sha256}`.", "")
    yield f"{_made_from(recipe)}:"
    yield from (
        "",
        _fenced(to_toml(recipe).rstrip("\n"), "toml"),
        "",
        f"Computed on {run.compute}.",
    )
    versions = ", ".join(f"{name} {number}" for name, number in run.versions.items())
    yield from ("", f"Versions: {versions}.")
    yield from ("", f"![Loss and error over the epochs]({_link(pictures[0])})")
    for name in pictures[1:]:
        filters = f"![Filters]({_link(name)})"
        yield from ("", "## Filters", "", "Of the first convolution.", "", filters)
    yield from ("", "## Use", "")
    run_name = shlex.quote(run.path.resolve().name)
    yield from (
        _fenced(
            f"striate predict {run_name} photo.jpg\n"
            f"striate export {run_name} --to onnx\n"
            f"striate score {run_name}",
            "sh",
        ),
        "",
        "Each probability is the softmax of the scores. Every image is given one of these classes, "
        "whatever it shows, and nothing is known of how the network does on images of another "
        "kind than those above.",
        "",
        f"Written by striate {__version__}.",
    )


def _made_from(recipe: Recipe) -> str:
    """The recipe that it is, and what was changed."""
    if (found := made_from(recipe)) is None:
        return f"{line(recipe.title)}. The recipe" if recipe.title else "The recipe"
    name, changed = found
    said = f"The recipe `{name}` of striate ({line(recipe.title)})"
    if not changed:
        return f"{said}, as it comes"
    but = ", ".join(_code(key) for key in changed)
    return f"{said}, but for {but}, which its note does not know of. Whole"


def _source(run: Run) -> str:
    """A set's name, or the last part of a path: where it lay on a disk concerns nobody."""
    return Path(run.data).name or run.data


def _scores(run: Run) -> Iterator[str]:
    found = last_scores(run.path)
    if not found:
        yield "None are recorded."
        return
    yield "| images | count | top-1 error | 95% interval | top-5 error | loss |"
    yield "|---|---:|---:|---:|---:|---:|"
    for split, words in SPLITS.items():
        if split in found:
            yield _row(words, found[split], len(run.classes))
    yield ""
    yield "The interval is Wilson's: for other images drawn as these were. The loss is in nats."


def _row(words: str, score: Score, classes: int) -> str:
    low, high = Rate(round(score.top1_error * score.count), score.count).interval
    fifth = f"{score.top5_error:.2%}" if classes > 5 else ""
    return (
        f"| {words} | {score.count:,} | {score.top1_error:.2%} | {low:.2%} to {high:.2%} | "
        f"{fifth} | {score.loss:.4f} |"
    )


def _images(run: Run) -> Iterator[str]:
    preparation = run.preparation
    volume = Volume(*run.images[:2], run.network.input.depth)
    yield f"- Trained on {_code(_source(run))}, images of {run.images}; SHA-256 of the images, "
    yield f"  labels and splits: `{run.fingerprint}`" if run.fingerprint else "  which is not known"
    decoded = DECODED.format(WORDS.get(volume.depth, "of its channels"))
    yield f"- Decoded: {decoded}."
    yield f"- Scaled to {volume.height} x {volume.width}: {RESIZED}."
    if volume[:2] != preparation.input[:2]:
        height, width = preparation.input[:2]
        yield f"- Then the centre of {height} x {width}, with zeros around where it is smaller."
    means = (
        "the mean image of training"
        if preparation.mean_image is not None
        else _few(preparation.mean)
    )
    yield f"- Of pixels from 0 to 1 the mean is subtracted: {means}; "
    yield f"  the difference is divided by {_few(preparation.deviation)}."
    names = [_code(name) for name in run.classes[:MOST_CLASSES]]
    more = (
        f" and {len(run.classes) - MOST_CLASSES:,} more" if len(run.classes) > MOST_CLASSES else ""
    )
    yield f"- Classes: {', '.join(names)}{more}."


def _few(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values[:8]) + (", ..." if len(values) > 8 else "")


def _code(text: str) -> str:
    """A text as Markdown's code, whatever is in it."""
    plain = line(text)
    if "`" not in plain:
        return f"`{plain}`"
    ticks = "`" * (1 + max(map(len, re.findall("`+", plain))))
    return f"{ticks} {plain} {ticks}"


def _link(name: str) -> str:
    """A file beside the page as the target of a link, whatever is in its name."""
    return quote(os.fsencode(name))


def _fenced(text: str, language: str = "text") -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"
