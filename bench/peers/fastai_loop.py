"""fastai: a Learner on DataLoaders of images in memory, contiguous or channels last.

    python fastai_loop.py TASK SECONDS contiguous|channels-last

In float32: fastai's mixed precision is for CUDA alone.
"""

import sys
from typing import Any

import fastai
import fastai.callback.channelslast
import operators  # noqa: F401
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.optimizer import SGD
from tasks import TASKS
from torch import nn
from torch_networks import DEVIATION, MEAN, Pictures, moved, network
from torchvision import transforms
from turns import Turns


class Steps(Callback):
    """Tells of each step."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def after_batch(self) -> None:
        """Called by the Learner."""
        self.turns.step(len(self.xb[0]))


def main() -> None:
    """Train until there are no more turns."""
    task, turns, layout = TASKS[sys.argv[1]], Turns(float(sys.argv[2])), sys.argv[3]
    transform = transforms.Compose(
        [*moved(task), transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)]
    )
    pictures = Pictures(task, transform)
    given: dict[str, Any] = {"bs": task.batch, "num_workers": 2}
    loader = DataLoader(pictures, shuffle=True, drop_last=True, **given)
    learner = Learner(
        DataLoaders(loader, loader),
        network(task),
        loss_func=nn.CrossEntropyLoss(),
        opt_func=lambda parameters, **settings: SGD(parameters, mom=0.9, **settings),
        cbs=Steps(turns),
    )
    if layout == "channels-last":
        learner.to_channelslast(use_amp=False)
    turns.ready(settings=f"float32, {layout}, 2 workers", versions={"fastai": fastai.__version__})
    learner.fit(10**6, lr=task.rate)


if __name__ == "__main__":
    main()
