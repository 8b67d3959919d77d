"""Pictures that look through a whole set of images."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image as pillow
from PIL.Image import Image

from striate import see
from striate.draw.sheet import sheet
from striate.gallery.levels import ZERO, Bytes
from striate.gallery.look import Look
from striate.see.fields import cut
from striate.see.patches import Patch

COUNT = 9  # patches of a unit
UNITS = 12
QUERIES, NEAREST = 8, 8
MOST = 2000  # images on a plane
PLANE, THUMB = 1200, 32  # pixels


def patches(look: Look) -> Image:
    """A row for each unit: what excites it most, cut out at its receptive field."""
    layer = look.step(look.convolutions()[-1]).name
    found = tops(look, layer)
    shown = look.units(layer, len(found), UNITS)
    box = found[0][0].box
    title = [
        f"{layer}: the parts of {look.split} images, {box.bottom - box.top}x{box.right - box.left} "
        "pixels, that excite its units most",
        f"{len(shown)} of {len(found)} units, of an image one part; grey is beyond its border",
    ]
    rows = [(f"unit {unit}", [patch_of(look, each) for each in found[unit]]) for unit in shown]
    captions = [[f"{each.value:.3g}" for each in found[unit]] for unit in shown]
    return sheet(rows, captions=captions, title=title)


def tops(look: Look, layer: str) -> list[list[Patch]]:
    """For each unit of a layer the patches of the split that excite it most."""
    run = look.run
    return see.top_patches(
        look.model, run.network, look.images, run.preparation, layer, count=COUNT, tell=look.tell
    )


def patch_of(look: Look, patch: Patch) -> Bytes:
    """A patch as pixels, with the grey of zero beyond the image's border."""
    return part(look.photograph(look.prepare(f"{look.split}:{patch.image}")), patch.box)


def part(photo: Bytes, box: see.Box) -> Bytes:
    """What a box holds of an image, with the grey of zero beyond its border."""
    around = torch.from_numpy(photo.astype(np.int16) - ZERO).permute(2, 0, 1)
    return (cut(around, box) + ZERO).byte().permute(1, 2, 0).numpy()


def neighbours(look: Look) -> Image:
    """The nearest of the split to an image, or to each of its first few."""
    layer, run = look.layer or look.before_last(), look.run
    among = see.codes(look.model, look.images, run.preparation, layer, tell=look.tell)
    if look.image is None:
        queries = [f"{look.split}:{at}" for at in range(min(QUERIES, len(look.images)))]
    else:
        queries = [look.image]
    of = see.maps(look.model, torch.stack([look.prepare(each) for each in queries]), [layer])[layer]
    nearest = see.neighbours(see.averaged(of), among, NEAREST + 1)
    rows, captions = [], []
    for query, places in zip(queries, nearest, strict=True):
        others = [at for at in places.tolist() if f"{look.split}:{at}" != query][:NEAREST]
        said = [f"{look.split}:{at}" for at in others]
        rows.append((query, [look.photograph(look.prepare(each)) for each in (query, *said)]))
        captions.append([look.label(query), *(look.label(each) for each in said)])
    title = [f"the {look.split} images nearest to the first of each row, by the angle of {layer}"]
    return sheet(rows, captions=captions, title=title)


def map(look: Look) -> Image:
    """Up to 2,000 images of the split where t-SNE places them."""
    layer = look.layer or look.before_last()
    images = look.images.take(np.arange(min(MOST, len(look.images))))
    found = see.codes(look.model, images, look.run.preparation, layer, tell=look.tell)
    places = see.flat_map(found, seed=look.seed)
    low, high = places.min(axis=0), places.max(axis=0)
    corners = ((places - low) / np.maximum(high - low, 1e-12) * (PLANE - THUMB)).round().astype(int)
    paper = np.full((PLANE, PLANE, 3), 255, dtype=np.uint8)
    for at, (x, y) in enumerate(corners.tolist()):
        photo = look.photograph(look.prepare(f"{look.split}:{at}"))
        small = pillow.fromarray(photo.squeeze()).convert("RGB").resize((THUMB, THUMB))
        paper[y : y + THUMB, x : x + THUMB] = np.asarray(small)
    title = [
        f"{len(images):,} {look.split} images by {layer}: t-SNE keeps neighbours together",
        "distances between groups, and how large they are, say nothing",
    ]
    return sheet([("", [paper])], title=title, cell=PLANE)


def confusion(look: Look) -> Image:
    """Images by their class and the class that the network says."""
    import io

    from striate.draw import diagnostics
    from striate.draw.plots import image
    from striate.evaluate import predict, summarise

    said = predict([look.model], look.images, look.run.preparation, tell=look.tell)
    return pillow.open(io.BytesIO(image(diagnostics.confusion(summarise(said)), "png")))
