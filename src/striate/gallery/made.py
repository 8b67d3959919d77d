"""Pictures that are made: by climbing a unit, a layer, or the likeness to another image."""

from __future__ import annotations

import torch
from PIL.Image import Image
from torch import nn

from striate import see
from striate.data import Preparation
from striate.draw.sheet import sheet
from striate.errors import SeeError
from striate.gallery.levels import Bytes, photograph
from striate.gallery.look import Look, spread
from striate.gallery.sets import COUNT, part, patch_of, tops
from striate.network import Network
from striate.steps import Step

FEW = 6  # units whose preferred images are made
LAYERS = 8  # that are inverted
CELL = 256


def preferred(look: Look) -> Image:
    """The image that each unit prefers, beside the parts of images that excite it most."""
    step = look.step(look.convolutions()[-1])
    found = tops(look, step.name)
    rows, captions = [], []
    shown = look.units(step.name, len(found), FEW)
    for done, unit in enumerate(shown):
        look.tell("climbing", done, len(shown))
        run, best = look.run, found[unit][: COUNT - 1]
        picture, value = climbed(look.model, run.network, run.preparation, step, unit, look.seed)
        rows.append((f"unit {unit}", [picture, *(patch_of(look, each) for each in best)]))
        captions.append([f"made: {value:.3g}", *(f"{each.value:.3g}" for each in best)])
    look.tell("climbing", len(shown), len(shown))
    title = [
        f"{step.name}: the image that each unit prefers, then what excites it most in {look.split}",
        f"made from grey noise of seed {look.seed}; {len(shown)} of {len(found)} units",
    ]
    return sheet(rows, captions=captions, title=title, cell=96)


def climbed(
    model: nn.Module,
    network: Network,
    preparation: Preparation,
    step: Step,
    unit: int,
    seed: int = 0,
) -> tuple[Bytes, float]:
    """The image that a unit prefers, as far as its middle sees, and what the unit gives for it."""
    middle = step.volume.height // 2, step.volume.width // 2
    box = see.Fields(network, step.name).box(*middle)
    made = see.preferred(model, preparation, step.name, unit, seed=seed)
    reached = see.maps(model, made[None], [step.name])[step.name][0, unit]
    value = float(reached if reached.dim() == 0 else reached[middle])
    return part(photograph(made, preparation), box), value


def inversion(look: Look) -> Image:
    """For some layers the image that is made from their values alone."""
    names = [look.step().name] if look.layer else spread(look.convolutions(), LAYERS)
    tiles, captions = [look.photograph(look.prepared)], [look.said]
    for done, name in enumerate(names):
        look.tell("inverting", done, len(names))
        made = see.inverted(look.model, look.prepared, look.run.preparation, name, seed=look.seed)
        both = torch.stack([look.prepared, made])
        wanted, found = see.maps(look.model, both, [name])[name]
        apart = float((found - wanted).norm() / wanted.norm().clamp(min=1e-12))
        tiles.append(look.photograph(made))
        captions.append(f"{name}, {apart:.0%} off")
    look.tell("inverting", len(names), len(names))
    title = [f"what layers still know of {look.said}: images made from their values alone"]
    return sheet([("", tiles)], captions=[captions], title=title, cell=128)


def dream(look: Look) -> Image:
    """The image, and what a layer makes of it."""
    names = look.convolutions()
    step = look.step(names[len(names) // 2])
    made = see.dreamed(look.model, look.prepared, look.run.preparation, step.name, seed=look.seed)
    rows = [("", [look.photograph(look.prepared), look.photograph(made)])]
    return sheet(rows, title=[f"{look.said}, and with more of what {step.name} sees"], cell=CELL)


def style(look: Look) -> Image:
    """Content, style, and the content in that style."""
    if look.style is None:
        raise SeeError("style takes two images: name the one of the style by --style")
    names = look.convolutions()
    content = look.step(names[len(names) // 2]).name
    painted = look.prepare(look.style)
    made = see.styled(
        look.model,
        look.prepared,
        painted,
        look.run.preparation,
        content_layer=content,
        style_layers=names,
    )
    tiles = [look.photograph(each) for each in (look.prepared, painted, made)]
    title = [f"content {look.said} by {content}, style {look.style} by {len(names)} convolutions"]
    return sheet([("", tiles)], title=title, cell=CELL)
