"""torchvision's transforms, image by image, in a DataLoader with two workers.

python feeding_torchvision.py TASK|PHOTOS SECONDS
"""

import sys

import operators  # noqa: F401
import torch
import torchvision
from tasks import PHOTO_BATCH, PHOTO_SIDE, TASKS
from torch_networks import DEVIATION, MEAN, Pictures, moved
from torchvision import transforms
from turns import Turns

WORKERS = 2


def main() -> None:
    """Make batches until there are no more turns."""
    what, turns = sys.argv[1], Turns(float(sys.argv[2]))
    last = [transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)]
    if task := TASKS.get(what):
        pictures = Pictures(task, transforms.Compose([*moved(task), *last]))
    else:
        crop = transforms.RandomResizedCrop(PHOTO_SIDE)
        changes = transforms.Compose([crop, transforms.RandomHorizontalFlip(), *last])
        pictures = torchvision.datasets.ImageFolder(what, changes)
    batch = task.batch if task else PHOTO_BATCH
    given = {"batch_size": batch, "shuffle": True, "num_workers": WORKERS}
    loader = torch.utils.data.DataLoader(pictures, persistent_workers=True, **given)
    turns.ready(settings=f"float32, image by image, {WORKERS} workers")
    while True:
        for images, _ in loader:
            turns.step(len(images))


if __name__ == "__main__":
    main()
