"""The way PyTorch's CIFAR-10 tutorial trains: float32, transforms image by image, two workers.

    python tutorial.py TASK SECONDS

Source: pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html, with torchvision's usual crop
and flip.
"""

import sys

import torch
from tasks import TASKS
from torch import nn, optim
from torch_networks import DEVIATION, MEAN, Pictures, moved, network
from torchvision import __version__, transforms
from turns import Turns


def main() -> None:
    """Train until there are no more turns."""
    task, turns = TASKS[sys.argv[1]], Turns(float(sys.argv[2]))
    transform = transforms.Compose(
        [*moved(task), transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)]
    )
    loader = torch.utils.data.DataLoader(
        Pictures(task, transform), batch_size=task.batch, shuffle=True, num_workers=2
    )
    net = network(task)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=task.rate, momentum=0.9)
    turns.ready(settings="float32, 2 workers", versions={"torchvision": __version__})
    running_loss = 0.0
    while True:
        for inputs, labels in loader:
            optimizer.zero_grad()
            outputs = net(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            turns.step(len(inputs))


if __name__ == "__main__":
    main()
