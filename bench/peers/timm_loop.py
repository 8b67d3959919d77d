"""timm's training loop with its fast options.

    python timm_loop.py TASK SECONDS eager|compile [DEVICE]

As its train.py does with `--amp --amp-dtype bfloat16 --channels-last` (and `--torchcompile`): uint8
from the workers, collated fast and normalised by the batch, its networks, its optimiser.
"""

import sys
from functools import partial

import operators  # noqa: F401
import timm
import torch
from tasks import TASKS
from timm.data.loader import PrefetchLoader, fast_collate
from timm.data.transforms import ToNumpy
from timm.models import create_model
from timm.optim import create_optimizer_v2
from torch import nn
from torch_networks import DEVIATION, MEAN, Pictures, moved, network
from torchvision import transforms
from turns import Turns

WORKERS = 2


def main() -> None:
    """Train until there are no more turns."""
    task, turns, way = TASKS[sys.argv[1]], Turns(float(sys.argv[2])), sys.argv[3]
    device = torch.device(sys.argv[4] if len(sys.argv) > 4 else "cpu")
    pictures = Pictures(task, transforms.Compose([*moved(task), ToNumpy()]))
    loader = PrefetchLoader(
        torch.utils.data.DataLoader(
            pictures,
            batch_size=task.batch,
            shuffle=True,
            num_workers=WORKERS,
            collate_fn=fast_collate,
            drop_last=True,
            persistent_workers=True,
        ),
        mean=MEAN,
        std=DEVIATION,
        device=device,
    )
    own = task.name.startswith("resnet") and task.classes == 1000
    model = create_model(task.name) if own else network(task)
    count = sum(each.numel() for each in model.parameters())
    assert count == task.parameters, f"{count} parameters, not {task.parameters}"
    model = model.to(device, memory_format=torch.channels_last)
    optimizer = create_optimizer_v2(model, opt="momentum", lr=task.rate, momentum=0.9)
    if way == "compile":
        model = torch.compile(model, backend="inductor")
    loss_fn = nn.CrossEntropyLoss()
    amp_autocast = partial(torch.autocast, device_type=device.type, dtype=torch.bfloat16)
    settings = f"bfloat16, channels last, {way}, {WORKERS} workers"
    turns.ready(settings=settings, versions={"timm": timm.__version__})
    model.train()
    while True:
        for images, target in loader:
            images = images.contiguous(memory_format=torch.channels_last)
            with amp_autocast():
                loss = loss_fn(model(images), target)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            turns.step(len(images))


if __name__ == "__main__":
    main()
