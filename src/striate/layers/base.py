"""What every kind of layer answers, from its settings and the volume it meets alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from striate.layers.settings import BadSetting, form_of, settings_of
from striate.layers.volume import Parameters, Volume


class Saved(NamedTuple):
    """What autograd keeps of a layer in training, until its backward pass.

    Attributes:
        input: the input volume itself.
        output: the output volume itself.
        branches: of a join, which of the volumes that it meets, where not all.
        values: further floating-point values for each image.
        indices: 64-bit indices for each image (max pooling's winners).
        fixed: floating-point values for each batch, whatever its size.
    """

    input: bool = False
    output: bool = False
    values: int = 0
    indices: int = 0
    fixed: int = 0
    branches: tuple[int, ...] = ()


class Reach(NamedTuple):
    """Which input positions, along one axis, one output position sees.

    Output `i` sees the inputs `j` with `spread * j = i * step - before + skip * k`, k whole and
    `0 <= skip * k < span`. A window has spread 1; a transposed convolution has step 1.
    """

    span: int = 1
    step: int = 1
    before: int = 0
    spread: int = 1
    skip: int = 1


SAME_PLACE = Reach()


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer, without its weights. Subclasses are final; each is one kind of word.

    What an answer is None of is not known: an opaque layer's.

    Class attributes:
        kind: the word in the notation.
        in_place: works on the volume it meets; the lectures count no new volume for it.
        view: shares its input's memory (flatten, id).
    """

    kind: ClassVar[str]
    in_place: ClassVar[bool] = False
    view: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name, each in settings_of(type(self)).items():
            value = getattr(self, name)
            if value is not None:
                try:
                    object.__setattr__(self, name, form_of(each).check(value))
                except BadSetting as error:
                    message = f"{self.kind} cannot have {value!r} as its {name}: {error}"
                    raise BadSetting(message) from None

    def volume(self, met: Volume) -> Volume:
        """The output volume. Raises Misfit where the layer cannot take the volume it meets."""
        return met

    def parameters(self, met: Volume) -> Parameters | None:
        """Learned weights and biases."""
        return Parameters(0, 0)

    def buffers(self, met: Volume) -> int | None:
        """Values kept beside the parameters but not learned (batch normalisation's statistics)."""
        return 0

    def macs(self, met: Volume) -> int | None:
        """Multiply-adds for one image: one per weight per output position, padding included."""
        return 0

    def operations(self, met: Volume) -> int | None:
        """Elementary operations for one image at test time beyond two per multiply-add."""
        return 0

    def shares(self, training: bool) -> bool:
        """Whether the output lies in the memory of the input."""
        return self.view

    def saved(self, met: Volume) -> Saved | None:
        """What PyTorch's autograd keeps for the backward pass (eager mode, CPU)."""
        return Saved()

    def saved_first(self, met: Volume) -> Saved | None:
        """The same where nothing before learns, so that the input itself needs no gradient."""
        learned = self.parameters(met)
        return self.saved(met) if learned is None or learned.total else Saved()

    def reach(self, met: Volume) -> tuple[Reach, Reach] | None:
        """Which inputs one output sees, along height and along width."""
        return SAME_PLACE, SAME_PLACE

    def rounded(self, met: Volume) -> str:
        """Which rows and columns `floor` or `ceil` drops or makes up, in words; empty for none."""
        return ""

    @classmethod
    def canonical(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """The settings without what the kind implies (a pool's stride that is its kernel)."""
        return settings
