"""What there is to begin from: networks of the zoo that fit the images, recipes, runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from striate import pretrained, recipes, zoo
from striate.data import Splits
from striate.errors import StriateError
from striate.recipes import to_toml
from striate.runs import open_run

RUNS = Path("runs")  # where runs are made unless somebody says otherwise
MOST = 50  # runs, the newest


def shelf(splits: Splits) -> dict[str, Any]:
    """Names and texts. Of networks those whose text begins with the images' volume."""
    begins = f"[{splits.train.volume}]"
    made = runs(splits)
    texts = {name: zoo.text(name) for name in zoo.names()}
    return {
        "networks": [[name, text] for name, text in texts.items() if begins in text],
        "recipes": [[name, to_toml(recipes.read(name))] for name in recipes.names()],
        "runs": [[f"{name}, in the box" if "/" not in name else name, name] for name in made],
    }


def runs(splits: Splits) -> list[str]:
    """Those that were trained on such images: here, the newest first, and those that come along."""
    wanted, found = (splits.train.volume, splits.train.classes), []
    made = sorted(RUNS.glob("*/run.json"), key=_age)
    for name in [*(str(each.parent) for each in made[:MOST]), *pretrained.names()]:
        with suppress(StriateError):
            run = open_run(name)
            if (run.images, run.classes) == wanted:
                found.append(name)
    return found


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except OSError:  # it has gone meanwhile
        return 0.0
