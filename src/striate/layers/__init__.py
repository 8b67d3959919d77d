"""Every kind of layer: one frozen dataclass each, found by its word in KINDS."""

from __future__ import annotations

from striate.layers.activation import (
    Gelu,
    LeakyRelu,
    Relu,
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
from striate.layers.join import Add, Concat, Join
from striate.layers.normalisation import BatchNorm, Dropout, LocalResponseNorm
from striate.layers.pooling import AvgPool, MaxPool, Pool, Subsample
from striate.layers.shape import Identity, Pad, Shortcut, Take, Upsample
from striate.layers.volume import Pair, Parameters, Volume
from striate.layers.window import Window

JOINS: dict[str, type[Join]] = {each.kind: each for each in (Add, Concat)}

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
        LeakyRelu,
        Tanh,
        ScaledTanh,
        Sigmoid,
        Gelu,
        Silu,
        Softmax,
        Scale,
        BatchNorm,
        LocalResponseNorm,
        Dropout,
        Identity,
        Pad,
        Upsample,
        Take,
        Shortcut,
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
    "Flatten",
    "FullyConnected",
    "Gelu",
    "Identity",
    "Join",
    "Layer",
    "LeakyRelu",
    "LocalResponseNorm",
    "MaxPool",
    "Pad",
    "Pair",
    "Parameters",
    "Pool",
    "RadialBasis",
    "Reach",
    "Relu",
    "Saved",
    "Scale",
    "ScaledTanh",
    "Shortcut",
    "Sigmoid",
    "Silu",
    "Softmax",
    "Subsample",
    "Take",
    "Tanh",
    "Upsample",
    "Volume",
    "Window",
]
