"""How a network is trained: everything that is not the network or the images."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, fields

from striate.errors import RunError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Mini-batch gradient descent with momentum.

    Attributes:
        epochs: how often every training image is seen.
        batch: images in a step, at most; an epoch is cut into batches as equal as they can be.
        learning_rate: at the first step; it falls to 0 in a straight line over the run.
        momentum: v = momentum * v + gradient; weights -= learning_rate * v.
        weight_decay: L2, added to the gradient of every parameter.
        clip: a gradient with a longer norm than this is shortened to it.
        initialisation: a name that `Network.build` knows.
        seed: of the initial weights, the order of the images and dropout.

    Raises:
        RunError: a number cannot be trained with.
    """

    epochs: int = 20
    batch: int = 32
    learning_rate: float = 0.02
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip: float = 2.0
    initialisation: str = "he"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, holds, needed in (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch", self.batch >= 1, "at least 1"),
            ("learning_rate", 0 < self.learning_rate < float("inf"), "above 0"),
            ("momentum", 0 <= self.momentum < 1, "from 0 up to, not including, 1"),
            ("weight_decay", 0 <= self.weight_decay < float("inf"), "0 or more"),
            ("clip", self.clip > 0, "above 0"),
            ("seed", 0 <= self.seed < 2**63, "from 0 to 2^63 - 1"),
        ):
            if not holds:
                raise RunError(f"recipe: {name} must be {needed}, not {getattr(self, name)}")


def to_toml(recipe: Recipe) -> str:
    """The recipe as text, a line for each setting."""
    # JSON's numbers and strings are TOML's too.
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in asdict(recipe).items())


def from_toml(text: str) -> Recipe:
    """The recipe in a text; a setting that it leaves out has its default.

    Raises:
        RunError: the text is no TOML, or a setting is unknown or of another type.
    """
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as reason:
        raise RunError(f"recipe: {reason}") from None
    kinds = {field.name: type(field.default) for field in fields(Recipe)}
    for name, value in settings.items():
        if name not in kinds:
            raise RunError(f"recipe: there is no setting {name!r}; known: {', '.join(kinds)}")
        taken = (int, float) if kinds[name] is float else (kinds[name],)
        if type(value) not in taken:  # not isinstance: `true` is no number here
            raise RunError(f"recipe: {name} must be of type {kinds[name].__name__}, not {value!r}")
    return Recipe(**settings)
