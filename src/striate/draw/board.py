"""Records for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from striate.errors import RunError
from striate.records import EpochEnded, Evaluated, Record, Started, Stepped


def board(records: Iterable[Record], folder: Path) -> Iterator[Record]:
    """Pass records on, writing their numbers as TensorBoard's event files.

    Steps are counted in steps of training everywhere, so that all curves share an axis. Where
    training goes on after a step, what was written of later ones before counts no more.

    Raises:
        RunError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise RunError("TensorBoard is not installed: pip install 'striate[tensorboard]'") from None
    writer, step = None, 0
    with ExitStack() as opened:
        for record in records:
            values: dict[str, float] = {}
            match record:
                case Started():
                    opened.close()
                    purged = record.step + 1 if step or record.step else None
                    writer = opened.enter_context(SummaryWriter(str(folder), purge_step=purged))
                    step = record.step
                case Stepped():
                    step = record.step
                    values = {"loss/step": record.loss, "learning rate": record.rate}
                case EpochEnded():
                    values = {"loss/training": record.loss, "error/training": record.error}
                case Evaluated():
                    values = {
                        f"loss/{record.split}": record.score.loss,
                        f"error/{record.split}": record.score.top1_error,
                    }
            if writer:
                for name, value in values.items():
                    writer.add_scalar(name, value, step)
            yield record
