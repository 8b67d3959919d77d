"""Everything about training that is neither the network nor the images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace

from striate.errors import RunError, nearest
from striate.recipes.choices import (
    FLIPS,
    INITIALISATIONS,
    NORMALISATIONS,
    PADDINGS,
    RATES,
    RULES,
    SCHEDULES,
)
from striate.recipes.limits import LIMITS, check
from striate.recipes.values import parsed, typed

Range = tuple[float, float]
FEATURES = "features"  # what `freeze` calls all layers but the last


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
        learning_rate: of filters, where the schedule's factor is 1. The loss is a batch's mean.
        bias_rate: another one for biases and for the scales of normalisations.
        head_rate: another one for the last layer with weights.
        momentum: of momentum, Nesterov and Muon; beta 1 of Adam.
        memory: what is kept of the mean squared gradient: RMSProp, Adadelta; beta 2 of Adam.
        epsilon: beside the root that the rule divides by.
        newton_schulz: Muon's iterations.
        other_momentum: Nesterov's for all that Muon leaves alone: biases, scales, the last layer.
        renormalise: before each of Muon's steps, scale a layer's filters to a norm of
            sqrt(number of filters); they do not decay then.
        weight_decay: L2, added to the gradient. AdamW takes learning_rate * weight_decay of each
            weight instead, and so does Muon, whatever rate of its own a weight has.
        decay_biases: whether biases and the scales of normalisations decay too.
        schedule: how the rate changes, a key of SCHEDULES.
        warm_up: progress over which the rate first rises in a straight line.
        milestones: progress at which `step` multiplies the rate by `factor`.
        every: progress between `step`'s multiplications, in place of milestones.
        factor: of `step` (one for all milestones or one for each) and `plateau`.
        patience: epochs without a better validation error after which `plateau` multiplies.
        final: of the rate, where linear, cosine and one-cycle end.
        peak: progress at which one-cycle's rate is highest.
        clip: a gradient with a longer norm than this is shortened to it.
        max_norm: limit of the norm of the weights into a unit.
        max_rms: limit of the root mean square of a convolution's filter.
        label_smoothing: probability spread evenly over all classes.
        average: decay of the exponential moving average of the weights that is used in the end.
        early_stopping: epochs without a better validation error after which training ends; the
            best weights are the ones to use.
        auxiliary_weight: of the losses of auxiliary heads.
        initialisation: a name in INITIALISATIONS.
        whiten: the first convolution's filters whiten patches of the training images, and stay.
        whiten_bias_epochs: for how many epochs its bias is trained; to the end where None.
        freeze: so many layers with weights, counted from the input, are not trained, with all that
            stands between them; `features`, all but the last one.
        normalisation: a name in NORMALISATIONS.
        resize: shorter side to which images of a folder are scaled before the centre square is
            cut out of them; None leaves those of the right size and scales others to 8/7.
        validation: the part of the training images that is held out where the source has no such
            split; at 0 all are trained on.
        flip: a name in FLIPS.
        shift: pixels, up, down and sideways; `padding` fills.
        padding: a name in PADDINGS.
        scale: of the shorter side, in pixels, before the input is cropped (VGG).
        area, aspect: of random crops that are scaled to the input (GoogLeNet).
        lighting: deviation of AlexNet's colour noise along the principal components.
        brightness, contrast: the most they change, of 1.
        cutout: side of a square that is blanked, in pixels.
        mixup, cutmix: alpha of the Beta distribution of the share.
        grow_from: images are scaled down to this part of the network's input at the start of
            training, and grow in a straight line; steps are cheaper while they are small.
        grow_until: progress at which they have their full size; 0.7 where grow_from is set.

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
    newton_schulz: int | None = None
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
    whiten_bias_epochs: int | None = None
    freeze: int | str | None = None

    normalisation: str = "channels"
    resize: int | None = None
    validation: float = 0.1
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
    grow_from: float | None = None
    grow_until: float | None = None

    def __post_init__(self) -> None:
        for name, known in NAMES.items():
            if (chosen := getattr(self, name)) not in known:
                raise RunError(f"recipe: there is no {name} {chosen!r}; {nearest(chosen, known)}")
        for name in LIMITS:
            if not isinstance(value := getattr(self, name), str):
                check(name, value)
        self._refuse("rule", RULES)
        self._refuse("schedule", SCHEDULES)
        if self.area is None and self.aspect is not None:
            raise RunError("recipe: aspect is not used without area")
        if self.area is not None and self.scale is not None:
            raise RunError("recipe: area and scale are two ways to crop: choose one")
        if self.grow_from is None and self.grow_until is not None:
            raise RunError("recipe: grow_until is not used without grow_from")
        if not self.whiten and self.whiten_bias_epochs is not None:
            raise RunError("recipe: whiten_bias_epochs is not used without whiten")
        if isinstance(self.freeze, str) and self.freeze != FEATURES:
            raise RunError(
                f"recipe: freeze is {FEATURES!r} or a number of layers, not {self.freeze!r}"
            )
        if self.freeze and self.whiten:
            raise RunError(
                "recipe: whiten makes a new first layer, and freeze keeps it: choose one"
            )
        if not self.shift and self.padding != "zeros":
            raise RunError("recipe: padding is not used without shift")
        if self.schedule == "one-cycle" and self.warm_up:
            raise RunError("recipe: one-cycle rises by itself: leave warm_up out, or set peak")
        self._check_steps()

    def _refuse(self, what: str, readers: Mapping[str, Iterable[str]]) -> None:
        """A setting that the chosen rule or schedule would ignore is an error, not silence."""
        chosen = getattr(self, what)
        for name in dict.fromkeys(name for read in readers.values() for name in read):
            if getattr(self, name) is not None and name not in readers[chosen]:
                users = ", ".join(each for each, read in readers.items() if name in read)
                raise RunError(
                    f"recipe: {what} {chosen!r} has no {name}: leave it out, or choose {users}"
                )

    def _check_steps(self) -> None:
        if self.schedule == "step" and (self.milestones is None) == (self.every is None):
            raise RunError("recipe: schedule 'step' needs one of milestones and every")
        if isinstance(self.factor, tuple) and len(self.factor) != len(self.milestones or ()):
            raise RunError(
                f"recipe: factor has {len(self.factor)} numbers for "
                f"{len(self.milestones or ())} milestones: give one, or one for each"
            )

    def knob(self, name: str) -> float:
        """A setting of the rule or the schedule, or its own value where the recipe is silent."""
        value: float | None = getattr(self, name)
        if value is None:
            value = {**RULES[self.rule], **SCHEDULES[self.schedule]}[name]
        assert value is not None, "of milestones and every one is given"
        return float(value)

    def changed(self, **settings: object) -> Recipe:
        """The recipe with other settings; with another rule or schedule, without the old one's.

        With another rule and no rate, the rate is that rule's of RATES.

        `dataclasses.replace` keeps those, and then a setting that nothing reads is an error.
        """
        for what, readers in (("rule", RULES), ("schedule", SCHEDULES)):
            new = settings.get(what, getattr(self, what))
            if new in readers and new != getattr(self, what):
                settings = {name: None for name in readers[getattr(self, what)]} | settings
                if what == "rule":
                    settings = {"learning_rate": RATES[str(new)]} | settings
        return replace(self, **settings)  # type: ignore[arg-type]  # checked in __post_init__

    def with_settings(self, settings: Mapping[str, object]) -> Recipe:
        """The recipe with settings as a person types them, as in `{"lr": "0.01", "epochs": "5"}`.

        `lr` is the learning rate, `0.5,0.75` two numbers, and `none` leaves a setting out. With
        another rule or schedule the recipe loses the settings of its old one.

        Raises:
            RunError: a setting is unknown, cannot be, or nothing would read it.
        """
        found: dict[str, object] = {}
        for typed_name, value in settings.items():
            name = known(SHORT.get(typed_name, typed_name))
            if name in found:
                raise RunError(f"recipe: {name} is set twice")
            kind = str(SETTINGS[name].type)
            found[name] = typed(
                name, kind, parsed(kind, value) if isinstance(value, str) else value
            )
        return self.changed(**found)


def known(name: str) -> str:
    """The name of a setting.

    Raises:
        RunError: there is none of that name; the nearest is named.
    """
    if name not in SETTINGS:
        if name.lower() in MEANT:
            raise RunError(
                f"recipe: there is no setting {name!r}; did you mean {MEANT[name.lower()]}?"
            )
        raise RunError(f"recipe: there is no setting {name!r}; {nearest(name, SETTINGS)}")
    return name


SHORT = {"lr": "learning_rate"}
# What other tools call it.
MEANT = {
    "optimizer": "rule",
    "optimiser": "rule",
    "lr": "learning_rate",
    "wd": "weight_decay",
    "batch_size": "batch",
    "scheduler": "schedule",
    "lr_scheduler": "schedule",
    "warmup": "warm_up",
    "ema": "average",
    "grad_clip": "clip",
    "init": "initialisation",
    "num_epochs": "epochs",
    "alpha": "memory",
    "rho": "memory",
    "eps": "epsilon",
    "crop": "scale",
}
NAMES: dict[str, Collection[str]] = {
    "rule": RULES,
    "schedule": SCHEDULES,
    "initialisation": INITIALISATIONS,
    "normalisation": NORMALISATIONS,
    "flip": FLIPS,
    "padding": PADDINGS,
}

# Every setting, in the order in which a recipe is written.
SETTINGS = {each.name: each for each in fields(Recipe)}
