"""Contact sheets, judged by their pixels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from striate.draw.sheet import FRAME, PAPER, sheet
from striate.errors import DataError

RED = (255, 0, 0)


def filled(height: int, width: int, colour: tuple[int, ...] = RED) -> NDArray[np.uint8]:
    return np.full((height, width, len(colour)), colour, dtype=np.uint8)


def places(drawn: NDArray[np.uint8], colour: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The top, bottom, left and right of a colour."""
    rows, columns = np.nonzero((drawn == colour).all(axis=2))
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


def test_a_small_image_is_enlarged_with_its_pixels_square() -> None:
    corner = filled(8, 8, (0, 0, 0))
    corner[2, 3] = RED
    drawn = np.asarray(sheet([("", [corner])], cell=64))
    top, bottom, left, right = places(drawn, RED)
    assert (bottom - top, right - left) == (8, 8)
    assert (drawn[top:bottom, left:right] == RED).all()


@pytest.mark.parametrize(
    ("height", "width", "shown"),
    [
        (8, 8, (64, 64)),
        (28, 28, (56, 56)),
        (300, 600, (32, 64)),
        (1, 5000, (1, 64)),
        (64, 20, (64, 20)),
    ],
)
def test_any_shape_is_kept_whole_within_its_cell(
    height: int, width: int, shown: tuple[int, int]
) -> None:
    drawn = np.asarray(sheet([("", [filled(height, width)])], cell=64))
    top, bottom, left, right = places(drawn, RED)
    assert (bottom - top, right - left) == shown
    if shown != (64, 64):
        frame = places(drawn, FRAME)
        assert frame[0] <= top and frame[1] >= bottom and frame[2] <= left and frame[3] >= right


def test_rows_keep_their_order_and_images_theirs() -> None:
    colours = [[(9, 9, 9), (60, 0, 0)], [(0, 60, 0)], [], [(0, 0, 60), (60, 60, 0), (0, 60, 60)]]
    rows = [(str(i), [filled(4, 4, each) for each in row]) for i, row in enumerate(colours)]
    drawn = np.asarray(sheet(rows, cell=16))
    found = [[places(drawn, each) for each in row] for row in colours]
    tops = [row[0][0] for row in found if row]
    assert tops == sorted(tops) and len(set(tops)) == 3
    for row in found:
        lefts = [left for _, _, left, _ in row]
        assert lefts == sorted(set(lefts))


def test_grey_images_are_drawn_as_grey() -> None:
    drawn = np.asarray(sheet([("", [filled(4, 4, (77,))])]))
    assert places(drawn, (77, 77, 77))


def test_labels_and_captions_are_written_and_long_ones_are_cut() -> None:
    image = filled(8, 8)
    bare = sheet([("", [image])])
    labelled = sheet([("a label", [image])])
    assert labelled.width > bare.width
    endless = sheet([("a label " * 1000, [image])], captions=[["a caption " * 1000]])
    assert endless.width < 500
    captioned = sheet([("", [image, image]), ("", [image])], captions=[["cat 98% (dog)"]])
    assert captioned.height > sheet([("", [image, image]), ("", [image])]).height


@pytest.mark.parametrize("label", ["Ünïcodé", "猫", "two\nlines\x00", "\udcff", "🐈", "[bold]"])
def test_any_label_can_be_written(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the machine has no fonts."""
    plain = np.asarray(sheet([("", [filled(8, 8)])]))
    assert (np.asarray(sheet([(label, [filled(8, 8)])])) != PAPER).sum() > (plain != PAPER).sum()
    monkeypatch.setattr("striate.draw.sheet.FONTS", ("no-such-font.ttf",))
    assert (np.asarray(sheet([(label, [filled(8, 8)])])) != PAPER).sum() > (plain != PAPER).sum()


def test_nothing_to_draw_is_an_error() -> None:
    for rows in ([], [("cat", [])]):
        with pytest.raises(DataError, match="there are no images to draw"):
            sheet(rows)
    with pytest.raises(DataError, match=r"only grey and RGB .* \(4, 4, 2\)"):
        sheet([("", [np.zeros((4, 4, 2), dtype=np.uint8)])])
