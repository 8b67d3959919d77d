"""What a recipe may choose among by name, and which numbers each choice reads."""

from __future__ import annotations

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
    "muon": {"momentum": 0.95, "newton_schulz": 5, "other_momentum": 0.9, "renormalise": False},
}
# The rate to begin with, where a recipe takes another rule and says no rate: the rules' own papers'
# or PyTorch's, and for the first three that of a mean over a batch of 32.
RATES = {
    "sgd": 0.05,
    "momentum": 0.02,
    "nesterov": 0.02,
    "adagrad": 0.01,
    "adadelta": 1.0,
    "rmsprop": 0.001,
    "adam": 0.001,
    "adamw": 0.001,
    "muon": 0.02,
}
# What each schedule reads, in the same way. `step` needs one of milestones and every.
SCHEDULES: dict[str, dict[str, float | None]] = {
    "constant": {},
    "step": {"milestones": None, "every": None, "factor": 0.1},
    "plateau": {"patience": 5, "factor": 0.1},
    "cosine": {"final": 0.0},
    "linear": {"final": 0.0},
    "one-cycle": {"peak": 0.3, "final": 0.0},
}
INITIALISATIONS = ("he", "xavier", "fan-in", "small", "lecun", "identity", "constant")
NORMALISATIONS = ("channels", "mean", "mean-image", "centred", "none")
FLIPS = ("none", "random", "alternating")
PADDINGS = ("zeros", "reflect")
