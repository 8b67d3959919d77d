"""Every kind of layer: one frozen dataclass each, found by its word in KINDS."""

from __future__ import annotations

from striate.layers.activation import (
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Mish,
    Relu,
    Relu6,
    Scale,
    ScaledTanh,
    Sigmoid,
    Silu,
    Softmax,
    Tanh,
)
from striate.layers.base import Layer, Reach, Saved
from striate.layers.convolution import Conv, Deconv
from striate.layers.dense import Flatten, FullyConnected, RadialBasis
from striate.layers.join import Add, Concat, Join, Mul
from striate.layers.normalisation import (
    BatchNorm,
    Dropout,
    GroupNorm,
    LayerNorm,
    LayerScale,
    LocalResponseNorm,
)
from striate.layers.opaque import Opaque
from striate.layers.pooling import AvgPool, MaxPool, Pool, Subsample
from striate.layers.shape import Identity, Pad, Shortcut, Shuffle, Slice, Take, Upsample
from striate.layers.volume import Pair, Parameters, Volume
from striate.layers.window import Window

JOINS: dict[str, type[Join]] = {each.kind: each for each in (Add, Mul, Concat)}

KINDS: dict[str, type[Layer]] = {
    each.kind: each
    for each in (
        Conv,
        Deconv,
        MaxPool,
        AvgPool,
        Subsample,
        FullyConnected,
        RadialBasis,
        Flatten,
        Relu,
        Relu6,
        LeakyRelu,
        Elu,
        Tanh,
        ScaledTanh,
        Sigmoid,
        Gelu,
        Silu,
        Mish,
        HardSigmoid,
        HardSwish,
        Softmax,
        Scale,
        BatchNorm,
        LayerNorm,
        GroupNorm,
        LayerScale,
        LocalResponseNorm,
        Dropout,
        Identity,
        Pad,
        Upsample,
        Take,
        Slice,
        Shuffle,
        Shortcut,
        Opaque,
    )
}

__all__ = [
    "JOINS",
    "KINDS",
    "Add",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Conv",
    "Deconv",
    "Dropout",
    "Elu",
    "Flatten",
    "FullyConnected",
    "Gelu",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "Join",
    "Layer",
    "LayerNorm",
    "LayerScale",
    "LeakyRelu",
    "LocalResponseNorm",
    "MaxPool",
    "Mish",
    "Mul",
    "Opaque",
    "Pad",
    "Pair",
    "Parameters",
    "Pool",
    "RadialBasis",
    "Reach",
    "Relu",
    "Relu6",
    "Saved",
    "Scale",
    "ScaledTanh",
    "Shortcut",
    "Shuffle",
    "Sigmoid",
    "Silu",
    "Slice",
    "Softmax",
    "Subsample",
    "Take",
    "Tanh",
    "Upsample",
    "Volume",
    "Window",
]
