"""Everything about training that is neither the network nor the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import isfinite

from striate.errors import RunError, one_of

# What each update rule reads beside the rate, and what it takes where a recipe is silent.
RULES: dict[str, dict[str, float]] = {
    "sgd": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9},
    "adagrad": {"epsilon": 1e-8},
    "adadelta": {"memory": 0.95, "epsilon": 1e-6},
    "rmsprop": {"memory": 0.99, "epsilon": 1e-8},
    "adam": {"momentum": 0.9, "memory": 0.999, "epsilon": 1e-8},
    "adamw": {"momentum": 0.9, "memory": 0.999, "epsilon": 1e-8},
    "muon": {"momentum": 0.95, "other_momentum": 0.9, "renormalise": False},
}
# What each schedule reads.
SCHEDULES: dict[str, tuple[str, ...]] = {
    "constant": (),
    "step": ("milestones", "every", "factor"),
    "plateau": ("patience", "factor"),
    "cosine": ("final",),
    "linear": ("final",),
    "one-cycle": ("final", "peak"),
}
NORMALISATIONS = ("channels", "mean", "mean-image", "centred", "none")
FLIPS = ("none", "random", "alternating")
PADDINGS = ("zeros", "reflect")
Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained. None means that a part is left out or has its usual value.

    Progress is the fraction of the run that is done, so that a recipe keeps its shape when its
    epochs are changed.

    Attributes:
        title, paper, note: what it is, where it was published, where it departs from that.
        epochs: how often every training image is seen.
        batch: images in a step, at most; an epoch is cut into batches as equal as they can be.
        accumulate: parts that a batch is computed in, to save memory; the step is the same but for
            batch normalisation, which sees a part at a time.
        seed: of the initial weights, the order of the images, augmentation and dropout.
        rule: the update rule, a key of RULES.
        learning_rate: of filters, where the schedule's factor is 1.
        bias_rate: another one for biases and for the scales of normalisations.
        head_rate: another one for the weights of the last layer with weights.
        momentum: of momentum, Nesterov and Muon; beta 1 of Adam.
        memory: what is kept of the mean squared gradient: RMSProp, Adadelta; beta 2 of Adam.
        epsilon: beside the root that the rule divides by.
        other_momentum: Nesterov's for all that Muon leaves alone: biases, scales, the last layer.
        renormalise: before each of Muon's steps, scale a layer's filters to a norm of
            sqrt(number of filters).
        weight_decay: L2, added to the gradient (AdamW and Muon: off the weights themselves).
        decay_biases: whether biases and the scales of normalisations decay too.
        schedule: how the rate changes, a key of SCHEDULES.
        warm_up: progress over which the rate first rises in a straight line.
        milestones, every: progress at which `step` multiplies the rate by `factor`.
        factor: of `step` (one for all milestones or one for each) and `plateau`.
        patience: epochs without a better validation error after which `plateau` multiplies.
        final: of the rate, where linear, cosine and one-cycle end.
        peak: progress at which one-cycle's rate is highest.
        clip: a gradient with a longer norm than this is shortened to it.
        max_norm: limit of the norm of the weights into a unit.
        max_rms: limit of their root mean square.
        label_smoothing: probability spread evenly over all classes.
        average: decay of the exponential moving average of the weights that is used in the end.
        early_stopping: epochs without a better validation error after which training ends; the
            best weights are the ones to use.
        auxiliary_weight: of the losses of auxiliary heads.
        initialisation: a name that `Network.build` knows.
        whiten: the first convolution's filters whiten patches of the training images, and stay.
        normalisation: a name in NORMALISATIONS.
        resize: shorter side to which images of a folder are scaled before the centre square is
            cut out of them; None leaves those of the right size and scales others to 8/7.
        flip: a name in FLIPS.
        shift: pixels, up, down and sideways; `padding` fills.
        padding: a name in PADDINGS.
        scale: of the shorter side, in pixels, before the input is cropped (VGG).
        area, aspect: of random crops that are scaled to the input (GoogLeNet).
        lighting: deviation of AlexNet's colour noise along the principal components.
        brightness, contrast: the most they change, of 1.
        cutout: side of a square that is blanked, in pixels.
        mixup, cutmix: alpha of the Beta distribution of the share.

    Raises:
        RunError: a number cannot be trained with, or nothing would read it.
    """

    title: str = ""
    paper: str = ""
    note: str = ""

    epochs: int = 20
    batch: int = 32
    accumulate: int = 1
    seed: int = 0

    rule: str = "momentum"
    learning_rate: float = 0.02
    bias_rate: float | None = None
    head_rate: float | None = None
    momentum: float | None = None
    memory: float | None = None
    epsilon: float | None = None
    other_momentum: float | None = None
    renormalise: bool | None = None
    weight_decay: float = 5e-4
    decay_biases: bool = True

    schedule: str = "linear"
    warm_up: float = 0.0
    milestones: tuple[float, ...] | None = None
    every: float | None = None
    factor: float | tuple[float, ...] | None = None
    patience: int | None = None
    final: float | None = None
    peak: float | None = None

    clip: float | None = None
    max_norm: float | None = None
    max_rms: float | None = None
    label_smoothing: float = 0.0
    average: float | None = None
    early_stopping: int | None = None
    auxiliary_weight: float = 0.3  # Szegedy et al. 2014, arXiv:1409.4842, section 5

    initialisation: str = "he"
    whiten: bool = False

    normalisation: str = "channels"
    resize: int | None = None
    flip: str = "none"
    shift: int = 0
    padding: str = "zeros"
    scale: Range | None = None
    area: Range | None = None
    aspect: Range | None = None
    lighting: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    cutout: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        for name, known in (
            ("rule", RULES),
            ("schedule", SCHEDULES),
            ("normalisation", NORMALISATIONS),
            ("flip", FLIPS),
            ("padding", PADDINGS),
        ):
            one_of(f"recipe: {name}", getattr(self, name), known)
        for name, low, high in LIMITS:
            _check(name, getattr(self, name), low, high)
        self._refuse("rule", RULES)
        self._refuse("schedule", SCHEDULES)
        for needed, name in (("area", "aspect"), ("shift", "padding")):
            default = next(each.default for each in fields(self) if each.name == name)
            if not getattr(self, needed) and getattr(self, name) != default:
                raise RunError(f"recipe: {name} is not used without {needed}")

    def _refuse(
        self, what: str, readers: dict[str, dict[str, float]] | dict[str, tuple[str, ...]]
    ) -> None:
        """A setting that the chosen rule or schedule would ignore is an error, not silence."""
        chosen = getattr(self, what)
        for name in {name for read in readers.values() for name in read}:
            if getattr(self, name) is not None and name not in readers[chosen]:
                users = ", ".join(each for each, read in readers.items() if name in read)
                raise RunError(
                    f"recipe: {what} {chosen!r} has no {name}: leave it out, or choose {users}"
                )

    def knob(self, name: str) -> float:
        """A setting of the update rule, or the rule's own value where the recipe is silent."""
        value = getattr(self, name)
        return float(RULES[self.rule][name] if value is None else value)


ABOVE_0 = 5e-324
BELOW_1 = 1 - 2**-53
# Inclusive; of pairs and lists, of each value.
LIMITS: tuple[tuple[str, float, float], ...] = (
    ("epochs", 1, 10**9),
    ("batch", 1, 10**9),
    ("accumulate", 1, 10**6),
    ("seed", 0, 2**63 - 1),
    ("learning_rate", ABOVE_0, 1e300),
    ("bias_rate", 0, 1e300),
    ("head_rate", 0, 1e300),
    ("momentum", 0, BELOW_1),
    ("other_momentum", 0, BELOW_1),
    ("memory", 0, BELOW_1),
    ("epsilon", ABOVE_0, 1),
    ("weight_decay", 0, 1e300),
    ("warm_up", 0, BELOW_1),
    ("milestones", ABOVE_0, BELOW_1),
    ("every", ABOVE_0, 1),
    ("factor", ABOVE_0, 1e6),
    ("patience", 1, 10**9),
    ("final", 0, 1),
    ("peak", 0, 1),
    ("clip", ABOVE_0, 1e300),
    ("max_norm", ABOVE_0, 1e300),
    ("max_rms", ABOVE_0, 1e300),
    ("label_smoothing", 0, BELOW_1),
    ("average", 0, BELOW_1),
    ("early_stopping", 1, 10**9),
    ("auxiliary_weight", 0, 1e6),
    ("resize", 1, 10**5),
    ("shift", 0, 10**4),
    ("scale", 1, 10**5),
    ("area", ABOVE_0, 1),
    ("aspect", 0.01, 100),
    ("lighting", 0, 100),
    ("brightness", 0, 1),
    ("contrast", 0, 1),
    ("cutout", 0, 10**4),
    ("mixup", 0, 1e3),
    ("cutmix", 0, 1e3),
)


def _check(name: str, value: object, low: float, high: float) -> None:
    """Numbers within their limits; None and nothing else passes unseen."""
    if value is None:
        return
    values = value if isinstance(value, Sequence) else (value,)
    for each in values:
        if not isfinite(each) or not low <= each <= high:
            raise RunError(f"recipe: {name} must be {_said(low, high)}, not {each}")
    if isinstance(value, Sequence) and list(values) != sorted(values) and name != "factor":
        raise RunError(f"recipe: {name} must rise, not {', '.join(map(str, values))}")


def _said(low: float, high: float) -> str:
    least = "above 0" if low == ABOVE_0 else f"at least {low:g}"
    if high >= 10**4:
        return least if high != 2**63 - 1 else "from 0 to 2^63 - 1"
    return f"{least} and {'below 1' if high == BELOW_1 else f'at most {high:g}'}"
