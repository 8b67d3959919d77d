"""What training takes: batches that are ready for the network, when it asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from striate.data.ahead import ahead
from striate.data.augment import Augmentation, Batch
from striate.data.augment.frame import in_parts
from striate.data.device import Device, resident
from striate.data.loader import Batches, whole
from striate.data.preparation import PLAIN, Layout

# Numbers of images that are changed at once: of small batches several, as each step of the work
# costs some microseconds however little there is to do.
AT_ONCE = 2**20


def feed(
    batches: Batches,
    augmentation: Augmentation,
    first: int,
    end: int,
    *,
    device: Device = "cpu",
    layout: Layout = PLAIN,
    workers: int = 0,
) -> Iterator[Batch]:
    """The batches from `first` up to `end`, ready for the network, in order.

    On a GPU a thread makes them while the network computes, on a stream of its own, from bytes that
    lie there if they are few enough. On a CPU they are made when they are asked for, by one thread,
    in a few microseconds an image: another thread beside the network's took more from it than it
    gave (bench/LOG.md).

    Args:
        workers: processes that load ahead, for images that are decoded as they are needed.
    """
    input = augmentation.preparation.input
    if look := in_parts(augmentation.recipe, input, batches.images.pixels):
        batches = replace(batches, look=look)
    if torch.device(device).type != "cuda":
        return _made(batches, augmentation, first, end, device, layout, workers)
    images = resident(batches.images, device)
    workers = workers if images is batches.images else 0
    batches = replace(batches, images=images)
    made = _made(batches, augmentation, first, end, device, layout, workers)
    return _handed_over(ahead(_on_a_stream(made, device)), device)


def _made(
    batches: Batches,
    augmentation: Augmentation,
    first: int,
    end: int,
    device: Device,
    layout: Layout,
    workers: int,
) -> Iterator[Batch]:
    together = max(1, AT_ONCE // (batches.size * augmentation.preparation.input.size))
    groups, framed = batches.groups(first, end, together), batches.look is not whole
    loaded = batches.load(first, end, workers, together=together)
    for group, (samples, pixels, labels) in zip(groups, loaded, strict=True):
        epoch = batches.epoch(group.start)
        with _one_thread(device):
            changed = augmentation.changed(pixels, samples, epoch, device, layout, framed=framed)
        begin = 0
        for number in group:
            part = slice(begin, begin + len(batches.own(number)))
            yield augmentation.batch(changed[part], labels[part], samples[part], epoch, layout)
            begin = part.stop


@contextmanager
def _one_thread(device: Device) -> Iterator[None]:
    """Steps this small gain little from a second thread of the CPU, and on a machine with other
    work take up to twenty times as long while the two wait for each other (bench/LOG.md).
    """
    before = torch.get_num_threads()
    if torch.device(device).type != "cpu" or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _on_a_stream(made: Iterator[Batch], device: Device) -> Iterator[tuple[Batch, torch.cuda.Event]]:
    """Each batch with the moment when it is ready; nobody waits for it here."""
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.default_stream(device))  # on which the images were moved
    while True:
        with torch.cuda.stream(stream):
            batch = next(made, None)
            ready = stream.record_event()
        if batch is None:
            return
        yield batch, ready


def _handed_over(made: Iterator[tuple[Batch, torch.cuda.Event]], device: Device) -> Iterator[Batch]:
    """Batches that the stream of the one who asks may use."""
    for batch, ready in made:
        stream = torch.cuda.current_stream(device)
        stream.wait_event(ready)
        for each in (batch.images, batch.labels, batch.others, batch.share):
            if isinstance(each, Tensor):
                each.record_stream(stream)
        yield batch
