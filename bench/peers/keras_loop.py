"""Keras 3: `fit` on arrays in memory, the changes at random in the model, where they are compiled.

KERAS_BACKEND=jax python keras_loop.py TASK SECONDS float32|mixed_bfloat16
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import keras
import numpy as np
from keras import layers
from tasks import SHIFT, TASKS, Task
from turns import Turns


def conv(x: Any, count: int, side: int, stride: int = 1, bias: bool = False) -> Any:
    """A convolution padded as the others pad, (side - 1) / 2 on each side."""
    if stride > 1:
        x = layers.ZeroPadding2D(side // 2)(x)
    padding = "valid" if stride > 1 else "same"
    return layers.Conv2D(count, side, stride, padding=padding, use_bias=bias)(x)


def norm(x: Any, relu: bool = True) -> Any:
    """Batch normalisation, as the others set it."""
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    return layers.ReLU()(x) if relu else x


def basic(x: Any, count: int, stride: int, projected: bool) -> Any:
    """Two 3x3 convolutions around a shortcut (He et al. 2015, option A or B)."""
    out = norm(conv(norm(conv(x, count, 3, stride)), count, 3), relu=False)
    if more := count - x.shape[-1]:
        if projected:
            x = norm(layers.Conv2D(count, 1, stride, use_bias=False)(x), relu=False)
        else:
            x = layers.AveragePooling2D(1, stride)(x)
            x = layers.Concatenate()([x, keras.ops.zeros_like(x)])
            assert more * 2 == count
    return layers.ReLU()(layers.Add()([out, x]))


def bottleneck(x: Any, count: int, stride: int) -> Any:
    """1x1, 3x3, 1x1 around a shortcut."""
    out = norm(conv(norm(conv(x, count, 1)), count, 3, stride))
    out = norm(conv(out, 4 * count, 1), relu=False)
    if x.shape[-1] != 4 * count:
        x = norm(layers.Conv2D(4 * count, 1, stride, use_bias=False)(x), relu=False)
    return layers.ReLU()(layers.Add()([out, x]))


def resnet(x: Any, name: str) -> Any:
    """ResNet-20, 18 or 50."""
    if name == "resnet20":
        x = norm(conv(x, 16, 3))
        plan = [(16, 3), (32, 3), (64, 3)]
    else:
        x = norm(conv(x, 64, 7, 2))
        x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
        counts = (2, 2, 2, 2) if name == "resnet18" else (3, 4, 6, 3)
        plan = list(zip((64, 128, 256, 512), counts, strict=True))
    for group, (count, blocks) in enumerate(plan):
        for number in range(blocks):
            stride = 2 if group and not number else 1
            if name == "resnet50":
                x = bottleneck(x, count, stride)
            else:
                x = basic(x, count, stride, projected=name == "resnet18")
    return layers.GlobalAveragePooling2D()(x)


def convolutions(x: Any, name: str) -> Any:
    """ConvNetJS's network or VGG-11, before the last layer."""
    if name == "convnetjs-cifar10":
        for count in (16, 20, 20):
            x = layers.MaxPooling2D()(layers.ReLU()(conv(x, count, 5, bias=True)))
        return layers.Flatten()(x)
    for group in ((64,), (128,), (256, 256), (512, 512), (512, 512)):
        for count in group:
            x = layers.ReLU()(conv(x, count, 3, bias=True))
        x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dropout(0.5)(layers.Dense(4096, activation="relu")(x))
    return x


class Shifted(layers.Layer):
    """All images of a batch moved alike, as Keras's RandomCrop does, which JAX cannot compile."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds = keras.random.SeedGenerator()

    def call(self, images: Any) -> Any:
        """(n, height, width, channels), to the same."""
        border = ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0))
        first = keras.random.randint((2,), 0, 2 * SHIFT + 1, seed=self.seeds)
        padded = keras.ops.pad(images, border)
        return keras.ops.slice(padded, (0, first[0], first[1], 0), images.shape)


def model_of(task: Task) -> keras.Model:
    """The network with its changes at random before it."""
    image = keras.Input((task.side, task.side, 3), batch_size=task.batch, dtype="uint8")
    x = layers.Rescaling(1 / 63.75, offset=-2)(image)
    x = layers.RandomFlip("horizontal")(Shifted()(x))
    build = resnet if task.name.startswith("resnet") else convolutions
    x = layers.Dense(task.classes)(build(x, task.name))
    model = keras.Model(image, layers.Activation("linear", dtype="float32")(x))
    count = sum(int(np.prod(each.shape)) for each in model.trainable_variables)
    assert count == task.parameters, f"{task.name}: {count} parameters, not {task.parameters}"
    return model


class Steps(keras.callbacks.Callback):
    """Tells of each step."""

    def __init__(self, turns: Turns, images: int) -> None:
        super().__init__()
        self.turns, self.images = turns, images

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Called by `fit`."""
        self.turns.step(self.images)


def main() -> None:
    """Train until there are no more turns."""
    task, turns = TASKS[sys.argv[1]], Turns(float(sys.argv[2]))
    keras.config.set_dtype_policy(sys.argv[3])
    chance = np.random.default_rng(0)
    count = task.images // task.batch * task.batch  # batches of one size compile once
    pixels = chance.integers(0, 256, (count, task.side, task.side, 3), np.uint8)
    labels = chance.integers(0, task.classes, count)
    model = model_of(task)
    model.compile(
        optimizer=keras.optimizers.SGD(task.rate, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    backend = keras.config.backend()
    package = {"tensorflow": "tensorflow_cpu"}.get(backend, backend)
    versions = {"keras": version("keras"), backend: version(package)}
    turns.ready(settings=f"{backend}, {sys.argv[3]}", versions=versions)
    steps = Steps(turns, task.batch)
    model.fit(pixels, labels, batch_size=task.batch, epochs=10**6, verbose=0, callbacks=[steps])


if __name__ == "__main__":
    main()
