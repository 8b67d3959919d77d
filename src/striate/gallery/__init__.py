"""What `striate see` draws. Each way of looking is a function of a Look that gives a picture."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from striate.errors import one_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from striate.runs import Run


class Way(NamedTuple):
    """A way of looking: what it shows, and the file here that draws it."""

    shows: str
    home: str


# In the order of the lectures: weights, volumes, gradients, whole sets, images that are made.
WAYS = {
    "filters": Way("a layer's filters; of the first, in colour", "weights"),
    "maps": Way("what layers make of an image: a column a layer, a row a map", "weights"),
    "neuron": Way("one unit at one position: what it meets, its filter, w·x + b", "weights"),
    "gradient": Way("how each pixel moves the class's score", "decision"),
    "saliency": Way("how strongly each pixel moves it", "decision"),
    "integrated": Way("what each pixel adds to it, on the way from black", "decision"),
    "cam": Way("Grad-CAM: where a layer's maps speak for the class", "decision"),
    "occlusion": Way("how far the score falls where a square is covered", "decision"),
    "guided": Way("guided backpropagation (image structure, not the decision)", "decision"),
    "deconvnet": Way("the deconvnet (image structure, not the decision)", "decision"),
    "patches": Way("the parts of images that excite a layer's units most", "sets"),
    "neighbours": Way("the images that the network finds most alike", "sets"),
    "map": Way("images on a plane, those alike near each other (t-SNE)", "sets"),
    "confusion": Way("which classes are taken for which", "sets"),
    "preferred": Way("the image that a unit prefers, beside what excites it most", "made"),
    "inversion": Way("the image that each layer still describes", "made"),
    "dream": Way("DeepDream: more of what a layer sees", "made"),
    "style": Way("the image in the style of another", "made"),
}


def picture(what: str, run: Run, image: str | None = None, **options: Any) -> Image:
    """A picture of what a run has learned, or of what it makes of an image.

    Args:
        what: a key of WAYS.
        run: read with `striate.runs.open_run`.
        image: a file, or an image of the run's data, such as `test:17`; by default `test:0`.
        options: fields of `striate.gallery.look.Look`: layer, unit, target, ...

    Returns:
        A Pillow image, which a notebook shows as it is.

    Raises:
        StriateError: there is no such way, image, layer, unit or class.
    """
    from striate.gallery.look import Look

    home = WAYS[one_of("way of looking", what, WAYS)].home
    drawn: Image = getattr(import_module(f"{__name__}.{home}"), what)(Look(run, image, **options))
    return drawn
