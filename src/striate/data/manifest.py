"""Manifests: a table of path, label and, where there are splits, split; .csv or .parquet."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG

from striate.data.arrange import Found, stamp
from striate.data.files import (
    LARGEST,
    ORDER,
    SPLITS,
    TOO_LARGE,
    UNSPLIT,
    Entry,
    FolderReader,
    Listing,
    changed,
    natural,
)
from striate.data.images import Unreadable
from striate.errors import DataError, nearest

DELIMITERS = (",", ";", "\t")  # the one that the first line has most of
COLUMNS = ("path", "label", "split")
Row = tuple[int, str, str, str]  # its number, path, label, split


def is_manifest(path: Path) -> bool:
    """By its extension."""
    return path.suffix.lower() in (".csv", ".parquet")


def listing(source: str, path: Path) -> Listing:
    """The listing of a manifest; paths are relative to its folder, and one not there is reported.

    Raises:
        DataError: it cannot be read, or a row lacks its path, its label or its split.
    """
    reader = FolderReader(str(path.parent))
    rows = _rows(path, ("path", "label"))
    names = tuple(sorted({label for _, _, label, _ in rows}, key=natural))
    labels = {name: label for label, name in enumerate(names)}
    unreadable: list[Unreadable] = []
    found: list[Found] = []
    splits: dict[str, list[Entry]] = {}
    for number, file, label, split in rows:
        name = _split(path, number, split)
        each = _found(reader, file)
        if each.refused:
            unreadable.append(Unreadable(reader.name(file), each.refused))
        else:
            found.append(each)
            splits.setdefault(name, []).append(Entry(file, labels[label], each.size))
    if UNSPLIT in splits and len(splits) > 1:
        raise DataError(f"{path}: some rows have a split, others have none")
    if not splits:
        raise DataError(
            f"{path} names no image that is there; {unreadable[0].path}: {unreadable[0].reason}"
        )
    listed = {
        name: tuple(sorted(splits[name], key=lambda entry: natural(entry.path)))
        for name in (*ORDER, UNSPLIT)
        if name in splits
    }
    found.sort(key=lambda each: natural(each.path))
    return Listing(source, names, listed, reader, stamp(reader, found), tuple(unreadable))


def files(path: Path) -> tuple[list[Found], FolderReader]:
    """The files that a manifest names, in its order, whatever else it says of them.

    Raises:
        DataError: it cannot be read, or a row lacks its path.
    """
    reader = FolderReader(str(path.parent))
    return [_found(reader, file) for _, file, _, _ in _rows(path, ("path",))], reader


def _split(path: Path, number: int, split: str) -> str:
    if split and split.lower() not in SPLITS:
        hint = nearest(split, SPLITS)
        raise DataError(f"{path}, row {number}: there is no split {split!r}; {hint}")
    return SPLITS[split.lower()] if split else UNSPLIT


def _found(reader: FolderReader, file: str) -> Found:
    try:
        about = os.stat(reader.name(file))
    except (OSError, ValueError) as reason:
        return Found(file, refused=getattr(reason, "strerror", None) or str(reason))
    if not S_ISREG(about.st_mode):
        return Found(file, refused="not a file")
    refused = TOO_LARGE if about.st_size > LARGEST else ""
    return Found(file, about.st_size, changed(about), refused=refused)


def _rows(path: Path, needed: tuple[str, ...]) -> list[Row]:
    """Its rows, none without the needed columns."""
    read = _parquet if path.suffix.lower() == ".parquet" else _csv
    rows = list(read(path, needed))
    if not rows:
        raise DataError(f"{path} names no images")
    for number, image, label, _ in rows:
        for name, cell in (("path", image), ("label", label)):
            if name in needed and not cell:
                raise DataError(f"{path}, row {number}: it has no {name}")
    return rows


def _csv(path: Path, needed: tuple[str, ...]) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = max(DELIMITERS, key=re.sub(r'"[^"]*"', "", file.readline()).count)
            file.seek(0)
            table = csv.reader(file, delimiter=delimiter, strict=True)
            header = [name.strip().lower() for name in next(table, [])]
            places = [header.index(name) if name in header else None for name in COLUMNS]
            _require(path, header, needed)
            for row in table:
                if row:
                    image, label, split = (_cell(row, place) for place in places)
                    yield table.line_num, image, label, split
    except (OSError, UnicodeError, csv.Error) as reason:
        raise DataError(f"{path}: {getattr(reason, 'strerror', None) or reason}") from None


def _parquet(path: Path, needed: tuple[str, ...]) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise DataError(
            f"{path}: Parquet needs another package: pip install pyarrow (or give a .csv)"
        ) from None
    try:
        header = parquet.read_schema(path).names
        _require(path, header, needed)
        columns = [name for name in COLUMNS if name in header]
        table = parquet.read_table(path, columns=columns).to_pylist()
    except (OSError, ArrowException) as reason:
        raise DataError(f"{path}: {getattr(reason, 'strerror', None) or reason}") from None
    for number, row in enumerate(table, start=1):
        cells = (row.get(name) for name in COLUMNS)
        image, label, split = ("" if cell is None else str(cell) for cell in cells)
        yield number, image, label, split


def _require(path: Path, header: list[str], needed: tuple[str, ...]) -> None:
    wanted = "path, label and, if there are splits, split" if "label" in needed else "path"
    for name in needed:
        if name not in header:
            raise DataError(
                f"{path}: its first row must name the column{'s' * (len(needed) > 1)} {wanted}; "
                f"there is no {name} in {', '.join(header)[:100] or 'it'}"
            )


def _cell(row: list[str], place: int | None) -> str:
    return row[place].strip() if place is not None and place < len(row) else ""
