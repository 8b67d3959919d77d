"""What a network runs on: device, precision, memory format, threads; chosen for the machine."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from striate.data.preparation import Layout
from striate.errors import RunError, one_of
from striate.fast.fold import folded
from striate.fast.halves import RULES
from striate.fast.kernels import NoKernels, available, compiler
from striate.fast.memory import keep_freed_memory
from striate.fast.twin import twin
from striate.network import Network
from striate.recipes import Recipe

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
ENGINES = ("eager", "fused", "compiled")

# Multiply-adds of a step's forward pass below which one thread is the safer choice: a second brings
# at most a sixth on an idle machine, and on a busy one costs many times the whole (bench/LOG.md).
# Below it the conversions to and from bfloat16 cost more than they save, too.
SMALL_STEP = 100_000_000


@dataclass(frozen=True)
class Compute:
    """How the numbers are computed. It decides a run's last bits, and is kept with the run.

    Attributes:
        device: as PyTorch names it: `cpu`, `cuda`, `cuda:1`.
        precision: of convolutions and matrix products, a key of PRECISIONS; weights, sums and
            losses are float32 always.
        memory_format: of volumes, a key of MEMORY_FORMATS.
        threads: of the CPU's operations.
        engine: `eager`, each layer by PyTorch's operation; `fused`, runs of layers in one kernel of
            striate's, on CPUs; `compiled`, by torch.compile, which takes up to a minute first.
        reason: why it was chosen, if that was measured.
    """

    device: str = "cpu"
    precision: str = "float32"
    memory_format: str = "contiguous"
    threads: int = 1
    engine: str = "eager"
    reason: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        one_of("precision", self.precision, PRECISIONS)
        one_of("memory format", self.memory_format, MEMORY_FORMATS)
        one_of("engine", self.engine, ENGINES)

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        where = f"{self.device}, {threads}" if self.device == "cpu" else self.device
        engine = "" if self.engine == "eager" else f", {self.engine}"
        reason = f": {self.reason}" if self.reason else ""
        return f"{where}, {self.precision}, {self.memory_format.replace('_', ' ')}{engine}{reason}"

    def place(self, model: nn.Module) -> nn.Module:
        """Move a model here, in the memory format; sets PyTorch to the number of threads, and
        its convolutions on GPUs to sums that are the same each time.
        """
        torch.set_num_threads(self.threads)
        keep_freed_memory()
        torch.backends.cudnn.deterministic = True
        if self.precision == "float32":
            torch.backends.cudnn.allow_tf32 = False
        # `type: ignore`: PyTorch's stubs lack Module.to with a memory format
        return model.to(self.device, memory_format=MEMORY_FORMATS[self.memory_format])  # type: ignore[no-any-return,call-overload]

    def training(self, model: nn.Module) -> nn.Module:
        """What trains a model: itself, or a module with its parameters that computes it faster."""
        if self.engine == "compiled":
            return cast(nn.Module, torch.compile(model))
        return twin(model) if self.engine == "fused" else model

    def halves(self, recipe: Recipe) -> bool:
        """Whether training keeps copies of large weights in bfloat16, and its rule updates them."""
        return (
            self.engine == "fused"
            and self.precision == "bfloat16"
            and recipe.accumulate == 1
            and recipe.rule in RULES
            and hasattr(Tensor, "grad_dtype")  # older releases lack it
            and available()  # a run may be gone on with where there is no compiler
        )

    def scoring(self, model: nn.Module) -> nn.Module:
        """What scores for a model: itself, or one with its weights, in evaluation mode for good,
        that does so faster.
        """
        return folded(model) if self.engine == "fused" else model

    @property
    def layout(self) -> Layout:
        """How batches are laid out that need no rearranging then."""
        return Layout(memory_format=MEMORY_FORMATS[self.memory_format])

    def arranged(self, images: Tensor) -> Tensor:
        """Images, or what layers made of them, on the device in the memory format."""
        if images.dim() < 4:
            return images.to(self.device)
        return images.to(self.device).contiguous(memory_format=MEMORY_FORMATS[self.memory_format])

    def autocast(self) -> AbstractContextManager[object]:
        """Within it, convolutions and matrix products run in the precision."""
        kind = torch.device(self.device).type
        return torch.autocast(
            kind, dtype=PRECISIONS[self.precision], enabled=self.precision != "float32"
        )


def choose(
    network: Network,
    batch: int,
    *,
    device: str | None = None,
    precision: str | None = None,
    memory_format: str | None = None,
    engine: str | None = None,
    exact: bool = False,
) -> Compute:
    """The settings for this machine by rule; those given are taken. `striate.probe` measures.

    A CUDA device where there is one. bfloat16, channels_last and on a CPU the fused kernels, where
    the hardware multiplies matrices in bfloat16 (AMX, CUDA from compute capability 8.0) and the
    step is large enough to gain from it.

    Args:
        batch: images in a step, of one process.
        exact: float32 by PyTorch's own operations, whatever the machine.

    Raises:
        RunError: there is no such device, or it cannot compute in that way.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = check_device(device)
    small = is_small(network, batch)
    fast = not exact and not small and _multiplies_bfloat16(kind)
    if precision == "bfloat16" and exact:
        raise RunError("exact training is in float32: leave out bfloat16")
    if exact and engine not in (None, "eager"):
        raise RunError(f"exact training is by PyTorch's own operations: leave out {engine!r}")
    if engine == "fused" and kind != "cpu":
        raise RunError("the fused engine is of CPUs: leave it out, or say --device cpu")
    if kind == "cpu" and engine not in (None, "eager"):
        try:
            compiler()
        except NoKernels as reason:
            raise RunError(f"{reason}, which the engine {engine!r} needs: leave it out") from None
    return Compute(
        device,
        precision or ("bfloat16" if fast else "float32"),
        memory_format or ("channels_last" if fast or engine == "fused" else "contiguous"),
        1 if small and kind == "cpu" else torch.get_num_threads(),
        engine or ("fused" if fast and kind == "cpu" else "eager"),
    )


def is_small(network: Network, batch: int) -> bool:
    """Whether a step is so small that a second thread or another precision brings little."""
    return batch * network.account().known("macs") < SMALL_STEP


def check_device(device: str) -> str:
    """Its type, `cpu` or `cuda`.

    Raises:
        RunError: there is no such device.
    """
    try:
        return torch.empty(0, device=device).device.type
    except (RuntimeError, AssertionError) as reason:
        said = str(reason).splitlines()[0]
        raise RunError(f"there is no device {device!r} here: {said}; --device cpu is") from None


def _multiplies_bfloat16(kind: str) -> bool:
    if kind == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    # Private, and the only way to ask PyTorch; a release that lacks it has no such CPU.
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(kind == "cpu" and supported and supported())
