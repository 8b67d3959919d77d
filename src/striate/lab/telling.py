"""What the page is told of the bench: a way of looking for each topic, frames for the outbox."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from striate.account.field import Field, fields
from striate.errors import one_of
from striate.gallery.levels import photograph
from striate.lab import shown
from striate.lab.branch import Branch
from striate.lab.curves import Curve
from striate.lab.knobs import knobs
from striate.lab.looks import Looks
from striate.lab.outbox import Outlet
from striate.lab.rolling import Rolling
from striate.lab.sentences import diagnosed
from striate.lab.shelf import shelf
from striate.lab.shown import Shown
from striate.lab.some import some
from striate.lab.timeline import Timeline
from striate.lab.unit import question
from striate.lab.vitals import (
    Reading,
    first_loss,
    gap,
    noise,
    of_activations,
    of_gradients,
    update_ratios,
)
from striate.lab.workbench import Workbench
from striate.layers.volume import Volume
from striate.recipes import to_toml
from striate.recipes.choices import RULES
from striate.see.maps import visible

PROBE = 64  # images that stay the same
TILES = 12  # test images with what is said of them
MARKS = 50  # of a branch, the newest: a page must not grow for ever
SCALES = ("map", "layer", "network")


class Telling:
    """Looks at a bench and puts what it sees in the outbox.

    Attributes:
        questions: to the process that looks at single units.
        looks: when to look at what, and what it cost.
    """

    def __init__(self, bench: Workbench, outbox: Outlet, questions: Outlet) -> None:
        self.bench, self.outbox, self.questions = bench, outbox, questions
        self.scale = "layer"
        self.looks = Looks(
            {
                "state": self.state,
                "curves": self.curves,
                "maps": self.maps,
                "weights": self.weights,
                "vitals": self.vitals,
                "scores": self.scores,
                "timeline": self.timeline,
            }
        )
        self.pasts = WeakKeyDictionary[Curve, Timeline[Shown]]()  # of each branch that there is
        self.next: str | None = None  # what is looked at after the step
        self.before: dict[str, Tensor] = {}  # weights before it, where its update is told
        self._anew()

    def _anew(self) -> None:
        """Another network or branch is looked at, or the same from the beginning."""
        branch, self.before = self.bench.branch, {}
        self.ratios: list[Reading] = []
        held_out = branch.splits.validation or self.bench.splits.test
        views = "1" if branch.recipe.flip == "none" else "6"  # a mirrored 2 is none
        self.rolling = Rolling(held_out, branch.preparation, views)
        self.past = self._past(branch)
        test = self.bench.splits.test
        few = test.take(some(test, PROBE))
        self.probe = branch.preparation(few.pixels[:])
        self.looked_at = branch.name, branch.network, branch.loss
        steps = branch.network.steps
        self.fields = {step.name: each for step, each in zip(steps, fields(steps), strict=True)}

    def _past(self, branch: Branch) -> Timeline[Shown]:
        """The moments of a branch; one that forked off has had those of its parent."""
        if branch.loss not in self.pasts:
            name, seen = branch.parent or ("", 0)
            parent = self.bench.branches.get(name)
            known = self.pasts.get(parent.loss) if parent else None
            self.pasts[branch.loss] = known.until(seen) if known else Timeline()
        return self.pasts[branch.loss]

    def _notice(self) -> None:
        branch = self.bench.branch
        if self.looked_at != (branch.name, branch.network, branch.loss):
            self._anew()

    def about_to_step(self) -> None:
        """Choose what is looked at after the step; remember the weights if it is their change."""
        self.next = self.looks.due()
        if self.next == "vitals":
            began = perf_counter()
            named = self.bench.model.named_parameters()
            self.before = {name: each.detach().clone() for name, each in named}
            self.looks.spent += perf_counter() - began

    def stepped(self, seconds: float) -> None:
        """A step took so long: look at what was chosen."""
        self.looks.trained += seconds
        if self.next is not None:
            self.looks.look(self.next)

    def soon(self) -> None:
        """Where the bench is now, and the rest as soon as its turns come."""
        self._notice()
        self.looks.look("state")
        self.looks.last.clear()

    def all(self) -> None:
        """Everything, as it is while nothing trains."""
        self._notice()
        for topic in self.looks.ways:
            self.looks.look(topic, free=True)

    def state(self) -> None:
        """Where the bench is."""
        bench, branch = self.bench, self.bench.branch
        last = branch.last
        images = last.images if last else 1
        self.outbox.put(
            "state",
            {
                "source": _source(bench),
                "classes": bench.splits.test.classes,
                "text": str(branch.network),
                "recipe": to_toml(branch.recipe),
                "rules": list(RULES),
                "knobs": [asdict(each) for each in knobs(branch.recipe)],
                "running": bench.running,
                "failure": bench.failure,
                "chosen": bench.chosen,
                "branches": [
                    {
                        "name": each.name,
                        "seen": each.seen,
                        "step": each.state.progress.step,
                        "epoch": each.state.progress.epochs + 1,
                        "parent": each.parent,
                        "ended": each.ended,
                        "marks": [asdict(mark) for mark in each.marks[-MARKS:]],
                    }
                    for each in bench.branches.values()
                ],
                "milliseconds": {
                    part: 1000 * getattr(last, part) / images if last else None
                    for part in ("waiting", "forward", "backward", "update")
                },
                "cost": self.looks.cost,
                "scale": self.scale,
                "subject": bench.subject.name,
                "number": bench.subject.number,
            },
        )

    def shelf(self) -> None:
        """What there is to begin from: told at first, and when somebody asks."""
        self.outbox.put("shelf", shelf(self.bench.splits))

    def curves(self) -> None:
        """The curves of all branches."""
        names = list(self.bench.branches)
        arrays = {
            f"{name}/{what}": getattr(self.bench.branches[name], what).points()
            for name in names
            for what in ("loss", "training", "validation")
        }
        self.outbox.put("curves", {"branches": names}, arrays)

    def maps(self) -> None:
        """What the layers make of the image, and the gradients there."""
        bench = self.bench
        layers = self._layers()
        subject, preparation = bench.subject, bench.branch.preparation
        prepared = preparation(subject.pixels[None])[0]
        header, arrays = shown.of_image(bench.model, prepared, subject.label, layers, self.scale)
        for each in header["layers"]:
            each["field"] = _field(self.fields[each["name"]])
        arrays["image"] = shown.coloured(photograph(prepared, preparation))  # as it is met
        self.outbox.put("maps", {**header, "image": subject.name}, arrays)

    def weights(self) -> None:
        """Filters, and the gradients of the last step."""
        self.outbox.put("weights", *shown.of_weights(self.bench.model, self._met()))

    def vitals(self) -> None:
        """The numbers to watch, and what they mean."""
        model, branch = self.bench.model, self.bench.branch
        classes = len(self.bench.splits.test.classes)
        training = branch.recently_right
        held_out = None if self.bench.by_heart else self._held_out()  # what else, by heart?
        after = {name: each.detach() for name, each in model.named_parameters()}
        if self.before:  # else it rests: what the last step did is still what it did
            self.ratios = update_ratios(self.before, after)
        readings = [
            *((first_loss(branch.first, classes),) if branch.first is not None else ()),
            *gap(training, held_out),
            *self.ratios,
            *of_activations(model, self.probe, self._layers()),
            *of_gradients(model),
            *noise(model),
        ]
        self.before = {}
        losses = [float(y) for _, y in branch.loss.points()] + [math.nan] * branch.exploded
        sentences = diagnosed(losses, classes, training, held_out, readings)
        self.outbox.put(
            "vitals",
            {
                "readings": [asdict(each) for each in readings],
                "sentences": [asdict(each) for each in sentences],
            },
        )

    def _held_out(self) -> float | None:
        """Of the last validation; before the first, of images asked for of late, some long ago."""
        points = self.bench.branch.validation.points()
        return float(points[-1][1]) if len(points) else self.rolling.accuracy

    def scores(self) -> None:
        """What is said of images that are not learned from, a few anew each time."""
        with torch.no_grad():
            chosen = self.rolling.ask(self.bench.model)[:TILES]
        images = self.rolling.images
        worst = self.rolling.worst()
        self.outbox.put(
            "scores",
            {
                "split": "validation" if self.bench.branch.splits.validation else "test",
                "views": self.rolling.views,
                "accuracy": self.rolling.accuracy,
                "asked": len(self.rolling.asked),
                "tiles": [self._said(int(at)) for at in chosen],
                "worst": [self._said(at) for at in worst],
            },
            {
                "confusion": self.rolling.confusion(),
                "pixels": shown.coloured(images.pixels[chosen]),
                "worst": shown.coloured(images.pixels[np.array(worst, dtype=np.int64)]),
            },
        )

    def timeline(self) -> None:
        """Keep the filters as they are now, if it is time."""
        branch = self.bench.branch
        if self.past.wants(branch.seen):
            header, arrays = shown.of_weights(self.bench.model, self._met())
            kept = ("/weights", "/histogram")
            weights = {name: each for name, each in arrays.items() if name.endswith(kept)}
            self.past.keep(branch.seen, (header, weights))
        self.outbox.put("timeline", {"moments": list(self.past)})

    def moment(self, seen: int) -> dict[str, Any]:
        """Show the filters as they were after so many images."""
        header, arrays = self.past.at(int(seen)) or ({"layers": []}, {})
        self.outbox.put("moment", {**header, "seen": int(seen)}, arrays)
        return {"seen": int(seen)}

    def unit(self, layer: str, unit: int) -> None:
        """Have a unit looked at; the answer comes as a frame of its own."""
        began = perf_counter()
        asked = question(self.bench.branch, self.bench.splits.test, str(layer), int(unit))
        self.questions.put(f"unit/{layer}/{unit}", *asked)
        self.looks.spent += perf_counter() - began

    def rescale(self, scale: str) -> None:
        """Over what the largest value of a map is black or white."""
        self.scale = one_of("scale", scale, SCALES)

    def _layers(self) -> list[str]:
        """Those that are shown."""
        return [step.name for step in visible(self.bench.branch.network, self.bench.model)]

    def _met(self) -> dict[str, Volume]:
        """What each of them meets."""
        steps = visible(self.bench.branch.network, self.bench.model)
        return {step.name: step.met for step in steps}

    def _said(self, at: int) -> dict[str, Any]:
        images, said = self.rolling.images, self.rolling.probabilities[at]
        best = np.argsort(-said, kind="stable")[:3]
        return {
            "number": int(self.rolling.positions[at]),
            "label": images.classes[images.labels[at]],
            "top": [[images.classes[each], float(said[each])] for each in best],
        }


def _source(bench: Workbench) -> str:
    """The images by name, and how they are fitted to the network, where they are."""
    name, volume = Path(bench.splits.source).name, bench.splits.train.volume
    met = bench.branch.network.input
    return name if volume == met else f"{name}, {volume} taken as {met}"


def _field(field: Field) -> dict[str, list[float]] | None:
    """Where output 0 begins to look, how far it looks, how far the next is; None of no pattern."""
    axes = {"rows": field.height, "columns": field.width}
    if any(axis.sight is None or axis.sight.period > 1 for axis in axes.values()):
        return None
    return {
        name: [float(axis.start or 0), float(axis.size or 0), float(axis.jump or 0)]
        for name, axis in axes.items()
    }
