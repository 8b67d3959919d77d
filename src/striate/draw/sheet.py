"""Contact sheets: rows of small images with a label before each row, as one picture."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from striate.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import ImageFont
    from PIL.Image import Image

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER, FRAME, INK = (255, 255, 255), (240, 240, 240), (32, 32, 32)
CELL = 64  # pixels, and so are these
GAP, MARGIN, TEXT, LINE = 4, 10, 12, 16
WIDEST_LABEL = 200
WIDEST_CAPTION = 3  # cells
FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf")


def sheet(
    rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]],
    *,
    captions: Sequence[Sequence[str]] | None = None,
    cell: int = CELL,
) -> Image:
    """Draw rows of images, each row after its label.

    Args:
        rows: pairs of a label and images, uint8 (height, width, 1 or 3), of any sizes. Rows may be
            of different lengths, or empty.
        captions: a text under each image, in the order of `rows`; by default none. A long one is
            cut, and rows or images without one stay without.
        cell: the side in pixels of the square that each image is fitted into. Small images are
            enlarged by a whole number, so that their pixels stay squares; large ones are scaled
            down. The shape is kept.

    Raises:
        DataError: there is no image in any row, or one is neither grey nor RGB.
    """
    from PIL import Image, ImageDraw

    columns = max((len(images) for _, images in rows), default=0)
    if columns == 0:
        raise DataError("there are no images to draw")
    names, said = [label for label, _ in rows], captions or ()
    font, ascii_only = _font([*names, *(each for row in said for each in row)])
    labels = [_cut(name, font, ascii_only, WIDEST_LABEL) for name in names]
    under = [[_cut(each, font, ascii_only, WIDEST_CAPTION * cell) for each in row] for row in said]
    left = MARGIN + max(_width(label, font) for label in labels) + MARGIN
    across = max([cell, *(_width(each, font) for row in under for each in row)]) + GAP
    down = cell + GAP + (LINE if under else 0)

    size = left + columns * across + MARGIN - GAP, 2 * MARGIN + len(rows) * down - GAP
    paper = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(paper)
    for i, (_, images) in enumerate(rows):
        top = MARGIN + i * down
        pen.text((MARGIN, top + cell // 2), labels[i], INK, font, anchor="lm")
        for j, pixels in enumerate(images):
            x = left + j * across + (across - GAP - cell) // 2
            pen.rectangle((x, top, x + cell - 1, top + cell - 1), FRAME)
            image = _fitted(pixels, cell)
            paper.paste(image, (x + (cell - image.width) // 2, top + (cell - image.height) // 2))
            if i < len(under) and j < len(under[i]):
                pen.text((x + cell // 2, top + cell + 2), under[i][j], INK, font, anchor="ma")
    return paper


def _fitted(pixels: NDArray[np.uint8], cell: int) -> Image:
    """The image in RGB, as large as a square of this side takes it."""
    from PIL import Image

    from striate.data.decode import shrunk

    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.size == 0:
        raise DataError(f"only grey and RGB images can be drawn, not pixels of {pixels.shape}")
    pixels = shrunk(pixels, cell)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    times = cell // max(image.size)
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


def _font(texts: Iterable[str]) -> tuple[Font, bool]:
    """A font, and whether it has ASCII alone: Pillow's own, where that is enough."""
    from PIL import ImageFont

    for name in () if all(text.isascii() for text in texts) else FONTS:
        try:
            return ImageFont.truetype(name, TEXT), False
        except OSError:
            continue
    return ImageFont.load_default(TEXT), True


def _width(text: str, font: Font) -> int:
    return round(font.getlength(text))


def _cut(text: str, font: Font, ascii_only: bool, widest: int) -> str:
    """The text in one line of at most this width, ending in dots where it was cut."""
    line = "".join(letter if letter.isprintable() else "?" for letter in text[:widest])
    if ascii_only:
        line = unicodedata.normalize("NFKD", line)
        line = "".join(each for each in line if not unicodedata.combining(each))
        line = line.encode("ascii", "replace").decode()
    if _width(line, font) <= widest:
        return line
    while line and _width(f"{line}...", font) > widest:
        line = line[:-1]
    return f"{line.rstrip()}..."
