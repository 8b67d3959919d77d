"""Weights of a repository on a hub of models, by huggingface_hub: `hub:timm/resnet50.tv_in1k`.

Its own settings hold: HF_ENDPOINT names another hub, HF_HOME where files are kept, HF_TOKEN who one
is, HF_HUB_OFFLINE=1 that nothing is asked and what was fetched before is used. Only safetensors are
fetched and read.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from striate.data.tell import Tell, silent
from striate.errors import RunError

HUB = "hub:"
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
LONGEST_CONFIG = 2**20  # bytes
# What a config.json of any content may raise.
DAMAGED = (
    *(OSError, ValueError, OverflowError, RecursionError),
    *(KeyError, TypeError, AttributeError),
)
NAME = re.compile(r"([\w.-]{1,96}/[\w.-]{1,96})(?:@([\w./-]{1,96}))?")


class Missing(RunError):
    """A repository lacks a file, as far as that can be told."""


class Fetched(NamedTuple):
    """A repository's file of weights, and how its images were prepared, if it says so."""

    path: Path
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


def fetched(name: str, *, tell: Tell = silent) -> Fetched:
    """The weights of a repository, `OWNER/NAME[@REVISION]`, from the cache or the hub.

    Raises:
        RunError: huggingface_hub is not installed; there is no such repository, or it holds no
            model.safetensors; the hub cannot be reached, and it was not fetched before. How images
            were prepared may be missing only where the repository does not say so, or nothing is
            asked (HF_HUB_OFFLINE) and it was not fetched.
    """
    found = NAME.fullmatch(name)
    if not found:
        raise RunError(f"{HUB}{name} names no repository: it is written {HUB}OWNER/NAME")
    repository, revision = found.groups()
    tell(f"fetching {name}", 0, 0)
    path = _file(repository, revision, WEIGHTS)
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    with suppress(Missing):  # not every repository has one
        mean, deviation = _prepared(_file(repository, revision, CONFIG))
    return Fetched(path, mean, deviation)


def _file(repository: str, revision: str | None, name: str) -> Path:
    try:
        from huggingface_hub import (
            _CACHED_NO_EXIST,
            constants,
            errors,
            hf_hub_download,
            try_to_load_from_cache,
        )
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError:
        raise RunError("huggingface_hub is not installed: pip install 'striate[hub]'") from None
    disable_progress_bars()
    where = f"{HUB}{repository}" + (f"@{revision}" if revision else "")
    try:
        return Path(hf_hub_download(repository, name, revision=revision))
    except errors.GatedRepoError:
        raise RunError(
            f"{where} is for those who asked for it: HF_TOKEN says who you are"
        ) from None
    except errors.RepositoryNotFoundError:
        raise RunError(f"there is no repository {repository!r} on the hub") from None
    except errors.RevisionNotFoundError:
        raise RunError(f"{where}: there is no such revision") from None
    except errors.LocalEntryNotFoundError:
        lacks = try_to_load_from_cache(repository, name, revision=revision)
        known = constants.HF_HUB_OFFLINE or lacks is _CACHED_NO_EXIST
        raise (Missing if known else RunError)(
            f"{where}: the hub cannot be reached, and its {name} was not fetched before"
        ) from None
    except errors.EntryNotFoundError:
        others = _others(repository, revision) if name == WEIGHTS else ""
        raise Missing(f"{where} has no {name}{others}") from None
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError, ValueError) as reason:
        said = str(reason).strip().splitlines() or [type(reason).__name__]
        raise RunError(f"{where} cannot be fetched: {said[0]}") from None


def _others(repository: str, revision: str | None) -> str:
    """What a repository holds in place of the file that it lacks, if that can be asked."""
    from huggingface_hub import HfApi

    try:
        files = HfApi().list_repo_files(repository, revision=revision)
    except Exception:  # it only makes a message longer
        return ""
    pickles = [each for each in files if each.endswith((".bin", ".pth", ".pt", ".ckpt"))]
    others = [each for each in files if each.endswith(".safetensors")]
    if others:
        return f", only {', '.join(sorted(others)[:3])}: one file with all weights is read"
    if pickles:
        return (
            f", only {', '.join(sorted(pickles)[:3])}, which could run code when it is read: "
            "striate reads safetensors alone"
        )
    return ""


def _prepared(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, as timm's config.json has them; empty without them."""
    try:
        content = path.read_bytes()[: LONGEST_CONFIG + 1]
        about: Any = json.loads(content) if len(content) <= LONGEST_CONFIG else {}
        about = about.get("pretrained_cfg", about)
        mean, deviation = (tuple(map(float, about[name])) for name in ("mean", "std"))
    except DAMAGED:
        return (), ()
    finite = all(map(math.isfinite, (*mean, *deviation)))
    if not finite or len(mean) != len(deviation) or min(deviation, default=0) <= 0:
        return (), ()
    return mean, deviation
