"""Pictures of what in an image speaks for a class."""

from __future__ import annotations

from PIL.Image import Image
from torch import Tensor

from striate import see
from striate.draw.sheet import sheet
from striate.gallery.levels import Bytes, bound, grey, lit, signed, strength
from striate.gallery.look import Look
from striate.see.backward import SHOWS

CELL = 256
GREY = 128  # the level that covers squares


def gradient(look: Look) -> Image:
    """d score / d image, summed over the channels: white raises the score, black lowers it."""
    return _signed(look, see.gradient(look.model, look.prepared[None], look.chosen)[0], "gradient")


def saliency(look: Look) -> Image:
    """The largest absolute gradient over the channels."""
    found = see.saliency(look.model, look.prepared[None], look.chosen)[0]
    said = f"saliency: the largest |gradient| of the channels, white {bound(found):.3g}"
    return _drawn(look, found, grey(strength(found)), said)


def integrated(look: Look) -> Image:
    """Integrated gradients from black."""
    images, black = look.prepared[None], look.plain(0)
    found = see.integrated_gradients(look.model, images, black, look.chosen)[0]
    said = f"integrated gradients from black, which add up to {float(found.sum()):.2f}"
    return _signed(look, found, said)


def guided(look: Look) -> Image:
    """Guided backpropagation."""
    found = see.guided_backpropagation(look.model, look.prepared[None], look.chosen)[0]
    return _signed(look, found, f"guided backpropagation: {SHOWS}")


def deconvnet(look: Look) -> Image:
    """The deconvnet."""
    found = see.deconvnet(look.model, look.prepared[None], look.chosen)[0]
    return _signed(look, found, f"deconvnet: {SHOWS}")


def cam(look: Look) -> Image:
    """Grad-CAM of the last layer that has positions."""
    with_positions = [step.name for step in look.shown() if min(step.volume[:2]) > 1]
    step = look.step(with_positions[-1] if with_positions else None)
    found = see.grad_cam(look.model, look.prepared[None], step.name, look.chosen)[0]
    height, width = found.shape
    said = f"Grad-CAM of {step.name}, {height}x{width} positions, white {bound(found):.3g}"
    if not found.any():
        said += ": none speaks for the class, on balance"
    return _drawn(look, found, grey(strength(found)), said)


def occlusion(look: Look) -> Image:
    """How far the score falls where a square of grey lies."""
    side = min(look.run.network.input[:2])
    size, stride = max(1, side // 4), max(1, side // 16)
    found = see.occlusion(
        look.model, look.prepared, look.plain(GREY), look.chosen, size=size, stride=stride
    )
    said = f"occlusion: how far the score falls under a grey square of {size}x{size}"
    return _drawn(look, found, grey(signed(found)), f"{said}, white {bound(found):.3g}")


def _signed(look: Look, found: Tensor, said: str) -> Image:
    summed = found.sum(dim=0)
    words = f"{said}; channels summed, grey zero, white {bound(summed):.3g}"
    return _drawn(look, summed.abs(), grey(signed(summed)), words)


def _drawn(look: Look, light: Tensor, picture: Bytes, said: str) -> Image:
    """The image, the picture, and the image lit by it."""
    photo = look.photograph(look.prepared)
    rows = [("", [photo, picture, lit(photo, light)])]
    return sheet(rows, title=[said, f"{look.said}: {look.verdict}"], cell=CELL)
