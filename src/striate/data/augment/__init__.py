"""Training images changed at random, a whole batch at a time.

    bytes ──frame──► input's size ──flip, colour──► normalise ──shift, cutout, mix──► Batch

Each change is a function of images, of numbers that `striate.data.order.draws` gives each of them,
and of its settings. It runs on the device where the images lie and leaves what it is given.
"""

from striate.data.augment.batch import Batch
from striate.data.augment.pipeline import Augmentation, augmentation

__all__ = ["Augmentation", "Batch", "augmentation"]
