"""The memory that training needs, from the accounting, and whether this machine has it."""

from __future__ import annotations

from dataclasses import dataclass

from striate.compute import Compute
from striate.errors import RunError
from striate.network import Network
from striate.recipes import Recipe
from striate.timing.rehearsal import Kept

# Values that a rule keeps beside each parameter.
KEPT = {"sgd": 0, "adadelta": 2, "adam": 2, "adamw": 2}  # all others: 1
SINGLE = 4  # bytes of a float32
PROGRAM = 285 * 10**6  # bytes of Python with PyTorch at work, on a CPU (bench/estimate.py)

WORKSPACE = 1.25


@dataclass(frozen=True)
class Needs:
    """Bytes that training needs at its peak: those of any batch, and those of each image.

    Weights, their gradients, what the rule keeps and its averages are float32, whatever the
    precision of volumes. In bfloat16 each weight has a copy that its backward pass reads. An image
    is there as bytes, as float32, and in the network's memory format. Over all that comes a share
    for what kernels work in and for gaps between blocks, as it was measured over the zoo.
    """

    fixed: int
    image: int

    def of(self, batch: int) -> int:
        """For a batch of so many."""
        return self.fixed + batch * self.image

    def largest(self, room: int) -> int:
        """The largest batch in so many bytes; 0 where there is none."""
        return max(0, (room - self.fixed) // self.image)


def needs(network: Network, recipe: Recipe, compute: Compute, kept: Kept | None = None) -> Needs:
    """What a network needs under a recipe, on a device and in a precision.

    Args:
        kept: what a step was seen to keep for its backward pass, in place of what is counted: fused
            layers keep less, those that are computed in float32 whatever the precision keep more.

    Raises:
        StriateError: what a layer needs is not known.
    """
    known = network.account(precision=compute.precision).known
    weights = known("parameters_with_heads")
    half = 0 if compute.precision == "float32" else 2
    counted = Kept(known("fixed_bytes") + half * weights, known("kept_bytes"))
    kept = kept or counted
    copies = 2 + KEPT.get(recipe.rule, 1) + (recipe.average is not None)
    fixed = SINGLE * (copies * weights + known("buffers")) + kept.fixed
    gradients = known("training_peak_bytes") - counted.image
    image = (kept.image + gradients) / recipe.accumulate + network.input.size * (1 + 2 * SINGLE)
    program = PROGRAM if compute.device == "cpu" else 0
    return Needs(program + round(WORKSPACE * fixed), round(WORKSPACE * image))


def require_memory(found: Needs, batch: int, room: int) -> int:
    """The bytes that a batch needs, if there are as many; refuses what cannot end well.

    Args:
        room: bytes that there are.

    Raises:
        RunError: training needs more than that; it says the largest batch that does not.
    """
    if found.of(batch) <= room:
        return found.of(batch)
    largest = found.largest(room)
    instead = f"a batch of {largest:,} fits" if largest else "not even one image fits"
    raise RunError(
        f"a step of {batch:,} images needs {_gigabytes(found.of(batch))} of memory, and there are "
        f"{_gigabytes(room)}: {instead}"
    )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.0f} GB" if count >= 1e11 else f"{count / 1e9:.3g} GB"
