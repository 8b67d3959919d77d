"""A run of `striate train`, live or past, as a branch in the lab; its folder is only read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from striate import checkpoints
from striate.compute import choose
from striate.data.tell import Tell, silent
from striate.errors import RunError
from striate.lab.branch import Branch
from striate.records import Evaluated, Record, Score, Stepped
from striate.runs import Run
from striate.state import State

LONGEST = 2**24  # bytes of records that are read at a time


class Following:
    """Reads what a run tells as it tells it, and its weights as they are saved.

    Attributes:
        branch: the run as far as it is; whoever trains it on in the lab leaves its folder alone.
    """

    def __init__(self, run: Run, *, tell: Tell = silent) -> None:
        self.run, self.offset, self.step, self.epoch = run, 0, -1, 0
        recipe = run.recipe
        splits = run.splits(tell=tell)
        compute = choose(run.network, recipe.batch, exact=True)
        model = compute.place(run.network.build())
        state = State(model, recipe)
        began = run.network, recipe
        path = run.path.resolve()
        self.branch = Branch(
            *(path.name, run.network, state, splits, run.preparation, compute, began),
            follows=str(path),
        )
        self.news()
        if self.step < 0 and (path / "weights.safetensors").is_file():
            model.load_state_dict(run.model().state_dict())  # its checkpoints are gone

    def news(self) -> bool:
        """Take in what is new; whether there was anything."""
        heard = False
        for record in self._records():
            heard = True
            if self._repeats(record):
                continue  # of a run that went back to a checkpoint: told already
            self.branch.hear(record)
        return self._weights() or heard

    def _repeats(self, record: Record) -> bool:
        if isinstance(record, Evaluated):
            before, self.epoch = self.epoch, max(self.epoch, record.epoch)
            return record.epoch <= before
        last = self.branch.last
        return isinstance(record, Stepped) and last is not None and record.step <= last.step

    def _records(self) -> Iterator[Record]:
        """Whole lines that have come since the last time; what is no record is passed over."""
        with suppress(OSError):
            file = (self.run.path / "metrics.jsonl").open("rb")
            with file:
                file.seek(0, 2)
                self.offset = min(self.offset, file.tell())
                file.seek(self.offset)
                content = file.read(LONGEST)
            whole = content.rpartition(b"\n")[0]
            self.offset += len(whole) + bool(whole)
            for line in whole.splitlines():
                with suppress(ValueError, TypeError, KeyError):
                    if (record := _record(json.loads(line))) is not None:
                        yield record

    def _weights(self) -> bool:
        """Those of the newest checkpoint, if it is a newer one."""
        newest = max(checkpoints.steps(self.run.checkpoints), default=-1)
        if newest <= self.step:
            return False
        with suppress(RunError, OSError, KeyError):
            found, _ = checkpoints.newest(self.run.checkpoints)
            if found is not None:
                self.branch.state.load(found.tensors, found.about["progress"])
                self.step = newest
                return True
        return False


def _record(found: dict[str, Any]) -> Record | None:
    kind = found.pop("record")
    if kind == "Stepped":
        return Stepped(**found)
    if kind == "Evaluated" and found["split"] == "validation":
        return replace(Evaluated(**found), score=Score(**found["score"]))
    return None
