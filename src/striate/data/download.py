"""The standard sets, from their official addresses into a folder, whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from striate.data.folders import cache_folder
from striate.data.lock import alone
from striate.data.standard import SETS, Remote
from striate.data.tell import Tell, silent
from striate.data.web import Failed, ask, blocks
from striate.errors import DataError, nearest

PROGRESS = 2**20  # bytes further than ever before: the server is slow or shaky, but it delivers


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes:
        timeout: seconds without a byte after which a connection is given up.
        tries: how often each address is tried with no progress between.
        wait: seconds before the second try; they double with each.
    """

    timeout: float = 20
    tries: int = 4
    wait: float = 1


def fetch(
    name: str,
    *,
    tell: Tell = silent,
    addresses: Sequence[str] | None = None,
    cache: Path | None = None,
    patience: Patience | None = None,
) -> Path:
    """A standard set on this machine, downloaded where it is not there yet.

    Args:
        name: mnist, fashion-mnist, cifar10 or cifar100.
        tell: told what is being done, and how many bytes of how many are done.
        addresses: the web folders that hold the set's files; by default the official ones.
        cache: where to keep it; by default `cache_folder()`. The set has a folder there.
        patience: how long servers are waited for.

    Returns:
        the set's folder, or its file if it is a single one. Every file has its checksum.

    Raises:
        DataError: there is no such set; no address gives it; the folder cannot be written.
    """
    if name not in SETS:
        raise DataError(f"there is no standard set {name!r}: {nearest(name, SETS)}")
    wanted = SETS[name]
    folder = (cache or cache_folder()) / "downloads" / name
    bases = [base if base.endswith("/") else f"{base}/" for base in addresses or wanted.addresses]
    for remote in wanted.files:
        found = [base + remote.name for base in bases]
        download(remote, found, folder, tell=tell, patience=patience or Patience())
    return folder / wanted.files[0].name if len(wanted.files) == 1 else folder


def download(
    remote: Remote,
    addresses: Sequence[str],
    folder: Path,
    *,
    tell: Tell = silent,
    patience: Patience,
) -> Path:
    """A file with its checksum in a folder, from the first address that gives it.

    A broken download goes on where it stopped, also in another process and another day. Two
    processes do not disturb each other: the second waits. A file that lies in the folder with the
    right checksum is taken as it is.

    Args:
        addresses: of the file itself, http or https.

    Raises:
        DataError: no address gives it, each with its reason; or the folder cannot be written.
    """
    path, part = folder / remote.name, folder / f"{remote.name}.part"
    reasons: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _sum(path) == remote.md5:
            return path
        with alone(folder / f"{remote.name}.lock", f"waiting for {remote.name}", tell):
            if _sum(path) == remote.md5:  # another process was faster
                return path
            for address in addresses:
                try:
                    _from(address, part, remote, tell, patience)
                    part.replace(path)
                    return path
                except Failed as reason:
                    reasons.append(f"{address}: {reason}")
    except OSError as reason:
        raise DataError(f"{folder} cannot be written: {reason.strerror or reason}") from None
    raise DataError(
        "\n  ".join([f"{remote.name} cannot be downloaded", *reasons])
        + f"\nIf you have the file (MD5 {remote.md5}), put it at {path}"
    )


def _from(address: str, part: Path, remote: Remote, tell: Tell, patience: Patience) -> None:
    """Fill the part file from one address, going on where it broke off, until it has its sum."""
    furthest, failures = _size(part), 0
    while True:
        try:
            resumed = _continue(address, part, remote, tell, patience)
            found = _sum(part)
            if found == remote.md5:
                return
            # Where an earlier try began the file, that half may be the wrong one.
            raise Failed(f"its MD5 is {found}, not {remote.md5}", again=resumed, spoilt=True)
        except Failed as reason:
            failures += 1
            if reason.spoilt:
                part.unlink(missing_ok=True)
            if _size(part) >= furthest + PROGRESS:
                furthest, failures = _size(part), 0
            if not reason.again or failures >= patience.tries:
                raise
        sleep(patience.wait * 2 ** max(0, failures - 1))


def _continue(address: str, part: Path, remote: Remote, tell: Tell, patience: Patience) -> bool:
    """One connection. Returns whether the file was begun by an earlier one."""
    have = _size(part)
    if have >= remote.size:  # complete, if it is the file
        return True
    have, response = ask(address, have, patience.timeout)
    length, resumed = response.headers.get("Content-Length"), have > 0
    if not resumed and length not in (None, str(remote.size)):
        response.close()  # a login page, mostly: it must not take the place of what is here
        raise Failed(f"it sends {length} bytes, not the {remote.size:,} of the file", again=True)
    with response, part.open("ab" if resumed else "wb") as file:
        for block in blocks(response):
            have += len(block)
            if have > remote.size:
                said = f"it sends more than the {remote.size:,} bytes of the file"
                raise Failed(said, again=resumed, spoilt=True)
            file.write(block)
            tell(f"downloading {remote.name}", have, remote.size)
    if have < remote.size:
        raise Failed(f"it broke off after {have:,} of {remote.size:,} bytes", again=True)
    return resumed


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _sum(path: Path) -> str | None:
    """The MD5 of a file, or None where there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
