"""What numbers a recipe may hold."""

from __future__ import annotations

from collections.abc import Sequence

from striate.errors import RunError

ABOVE_0 = 5e-324
BELOW_1 = 1 - 2**-53
MOST = 1e37  # a float32 goes to 3.4e38, and Adam divides the rate by 0.1
# Inclusive; of pairs and lists, of each value.
LIMITS: dict[str, tuple[float, float]] = {
    "epochs": (1, 10**9),
    "batch": (1, 10**9),
    "accumulate": (1, 10**6),
    "seed": (0, 2**63 - 1),
    "learning_rate": (ABOVE_0, MOST),
    "bias_rate": (0, MOST),
    "head_rate": (0, MOST),
    "momentum": (0, BELOW_1),
    "memory": (0, BELOW_1),
    "epsilon": (ABOVE_0, 1),
    "newton_schulz": (1, 99),
    "other_momentum": (0, BELOW_1),
    "weight_decay": (0, MOST),
    "warm_up": (0, BELOW_1),
    "milestones": (ABOVE_0, BELOW_1),
    "every": (ABOVE_0, 1),
    "factor": (ABOVE_0, 10**6),
    "patience": (1, 10**9),
    "final": (0, 1),
    "peak": (0, 1),
    "clip": (ABOVE_0, MOST),
    "max_norm": (ABOVE_0, MOST),
    "max_rms": (ABOVE_0, MOST),
    "label_smoothing": (0, BELOW_1),
    "average": (0, BELOW_1),
    "early_stopping": (1, 10**9),
    "auxiliary_weight": (0, 10**6),
    "whiten_bias_epochs": (0, 10**9),
    "freeze": (1, 10**6),
    "resize": (1, 10**5),
    "validation": (0, 0.9),
    "shift": (0, 10**4),
    "scale": (1, 10**5),
    "area": (ABOVE_0, 1),
    "aspect": (0.01, 100),
    "lighting": (0, 100),
    "brightness": (0, 1),
    "contrast": (0, 1),
    "cutout": (0, 10**4),
    "mixup": (0, 1000),
    "cutmix": (0, 1000),
    "grow_from": (0.1, 1),
    "grow_until": (ABOVE_0, 1),
}


def check(name: str, value: float | Sequence[float] | None) -> None:
    """Refuse a number, or numbers, that training cannot do with; None passes unseen.

    Raises:
        RunError: it is out of its limits, or numbers fall that must rise.
    """
    if value is None:
        return
    low, high = LIMITS[name]
    values = value if isinstance(value, Sequence) else (value,)
    for each in values:
        if not low <= each <= high:  # which NaN is not either
            raise RunError(f"recipe: {name} must be {_said(low, high)}, not {each}")
    if list(values) != sorted(values) and name != "factor":
        raise RunError(f"recipe: {name} must rise, not {', '.join(map(str, values))}")


def _said(low: float, high: float) -> str:
    least = "above 0" if low == ABOVE_0 else f"at least {low:g}"
    if high == MOST:
        return least
    most = "below 1" if high == BELOW_1 else f"at most {high:,}"
    return f"{least} and {'below 2^63' if high == 2**63 - 1 else most}"
