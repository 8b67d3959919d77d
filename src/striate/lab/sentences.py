"""What the numbers mean, in a plain sentence with its evidence: pure rules, the gravest first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median

from striate.lab.vitals import GAP, UPDATES, Reading

FEW = 20  # points before which nothing is said of a curve
LONG = 100  # points after which something should have been learned
RISE = 1.5  # times the first loss
GUESS = 0.98  # of a guess's loss: nothing learned
FLAT = 0.002  # of the loss: no change
FAR = 0.3  # of a guess's loss: far from learned
ORDER = ("wrong", "watch", "well")


@dataclass(frozen=True)
class Sentence:
    """A diagnosis.

    Attributes:
        grave: one of ORDER.
        says: the sentence.
        evidence: the numbers that it rests on.
        remedy: what to try first; empty where nothing is wrong.
    """

    grave: str
    says: str
    evidence: str
    remedy: str = ""


def diagnosed(
    losses: Sequence[float],
    classes: int,
    training: float | None,
    held_out: float | None,
    readings: Sequence[Reading],
) -> list[Sentence]:
    """What can be said of a run; never nothing.

    Args:
        losses: means over stretches of steps, from the first on.
        training, held_out: accuracies of late, 0 to 1.
    """
    found = [
        *_losses(losses, classes),
        *_updates(readings),
        *_dead(readings),
        *_gap(training, held_out),
    ]
    found.sort(key=lambda each: ORDER.index(each.grave))
    return found or [Sentence("well", "Nothing stands out.", f"{len(losses)} points of the loss")]


def _losses(losses: Sequence[float], classes: int) -> Iterator[Sentence]:
    finite = [each for each in losses if math.isfinite(each)]
    if len(finite) < len(losses):
        last = f"the last finite loss was {finite[-1]:.3g}" if finite else "none was"
        yield Sentence(
            "wrong",
            "The loss is no longer a number: training exploded.",
            last,
            "Begin anew with a tenth of the learning rate.",
        )
        return
    if len(losses) < FEW:
        return
    guess, first = math.log(classes), losses[0]
    earlier, recent = mean(losses[-FEW : -FEW // 2]), mean(losses[-FEW // 2 :])
    if recent > RISE * max(first, guess):
        yield Sentence(
            "wrong",
            "The loss rises: the learning rate is too high.",
            f"from {first:.3f} to {recent:.3f}",
            "Take a third of the learning rate.",
        )
    elif len(losses) >= LONG and recent > GUESS * guess:
        yield Sentence(
            "wrong",
            "Nothing is learned: the loss is still that of a guess.",
            f"{recent:.3f}, and ln {classes} is {guess:.3f}",
            "Try a tenth and ten times the learning rate; look for dead units.",
        )
    elif len(losses) >= LONG and abs(recent - earlier) < FLAT * earlier and recent > FAR * guess:
        yield Sentence(
            "watch",
            "The loss has come to a halt far from zero.",
            f"{earlier:.3f}, then {recent:.3f}",
            "Lower the learning rate; if training errs as much as before, enlarge the network.",
        )


def _updates(readings: Sequence[Reading]) -> Iterator[Sentence]:
    ratios = [each.value for each in readings if each.name == "update / weights"]
    if not ratios:
        return
    middle = median(ratios)
    told = f"in the middle of the layers {middle:.1e} a step, the rule is 1e-3"
    if middle > UPDATES[1]:
        says, remedy = "Updates are large beside the weights.", "Lower the learning rate."
        yield Sentence("watch", says, told, remedy)
    elif middle < UPDATES[0]:
        says = "Updates are small beside the weights: it learns slowly."
        yield Sentence("watch", says, told, "Raise the learning rate, unless this is the end.")


def _dead(readings: Sequence[Reading]) -> Iterator[Sentence]:
    dead = [each for each in readings if each.name == "dead" and not each.good]
    if dead:
        worst = max(dead, key=lambda each: each.value)
        yield Sentence(
            "wrong",
            f"Units of {worst.layer} are dead: they fire on no image.",
            f"{worst.value:.0%} of them, on the same images each time",
            "Begin anew at a lower rate: dead units seldom come back.",
        )


def _gap(training: float | None, held_out: float | None) -> Iterator[Sentence]:
    if training is not None and held_out is not None and training - held_out > GAP:
        yield Sentence(
            "watch",
            "It learns its images by heart: overfitting.",
            f"{training:.1%} right in training, {held_out:.1%} of images held out",
            "More images, more augmentation, dropout or decay; or stop here.",
        )
