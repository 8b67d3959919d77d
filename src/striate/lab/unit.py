"""A unit's page: the parts of images that excite it most, and the image that it prefers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from striate import see
from striate.data import Images, Preparation
from striate.errors import SeeError, StriateError
from striate.gallery.levels import photograph
from striate.gallery.made import climbed
from striate.gallery.sets import part
from striate.lab.branch import Branch
from striate.lab.shown import Shown, coloured
from striate.lab.some import some
from striate.network import Network

MOST, BYTES = 1000, 32 * 2**20  # images that are looked through, and how many bytes they may have
PATCHES = 9


def question(branch: Branch, images: Images, layer: str, unit: int) -> Shown:
    """What the process has to know of a branch as it is now: a frame's header and arrays."""
    few = some(images, min(MOST, max(1, BYTES // images.volume.size)))
    preparation = branch.preparation
    about = {
        "layer": layer,
        "unit": unit,
        "seen": branch.seen,
        "network": str(branch.network),
        "classes": images.classes,
        "mean": preparation.mean,
        "deviation": preparation.deviation,
    }
    arrays = {
        f"weights/{name}": each.detach().cpu().float().numpy()
        for name, each in branch.state.model.state_dict().items()
    }
    arrays["pixels"] = np.ascontiguousarray(images.pixels[few])
    arrays["labels"] = images.labels[few].astype(np.int32)
    arrays["positions"] = few.astype(np.int32)
    if preparation.mean_image is not None:
        arrays["mean_image"] = preparation.mean_image
    return about, arrays


def answer(about: Mapping[str, Any], arrays: Mapping[str, Any]) -> Shown:
    """A frame's header and arrays for a question's; of what cannot be looked at the reason."""
    asked = {name: about[name] for name in ("layer", "unit", "seen")}
    try:
        found, pictures = _looked(about, arrays)
    except (StriateError, RuntimeError, MemoryError) as reason:
        return asked | {"failed": str(reason)}, {}
    return asked | found, pictures


def _looked(about: Mapping[str, Any], arrays: Mapping[str, Any]) -> Shown:
    network, layer, unit = Network.parse(about["network"]), about["layer"], about["unit"]
    model = network.build()
    model.load_state_dict(
        {name: torch.tensor(arrays[f"weights/{name}"]) for name in model.state_dict()}
    )
    preparation = Preparation(
        network.input, (*about["mean"],), (*about["deviation"],), arrays.get("mean_image")
    )
    classes = tuple(about["classes"])
    images = Images(np.array(arrays["pixels"]), arrays["labels"].astype(np.int64), classes)
    every = see.top_patches(model, network, images, preparation, layer, count=PATCHES)
    if not 0 <= unit < len(every):
        raise SeeError(f"{layer} has no unit {unit}: they go from 0 to {len(every) - 1}")
    best = every[unit]
    photos = [
        part(photograph(preparation(images.pixels[each.image][None])[0], preparation), each.box)
        for each in best
    ]
    step = next(each for each in network.steps if each.name == layer)
    picture, value = climbed(model, network, preparation, step, unit)
    told = [
        {
            "image": int(arrays["positions"][each.image]),
            "label": classes[images.labels[each.image]],
            "value": each.value,
            "at": [each.row, each.column],
        }
        for each in best
    ]
    return {"patches": told, "images": len(images), "made": value}, {
        "patches": np.stack([coloured(each) for each in photos]),
        "made": coloured(picture)[None],
    }
