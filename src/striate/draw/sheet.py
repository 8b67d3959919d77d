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
WIDEST_TITLE = 900
WIDEST_CAPTION = 3  # cells
FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf")


def sheet(
    rows: Sequence[tuple[str, Sequence[NDArray[np.uint8] | None]]],
    *,
    title: Sequence[str] = (),
    heads: Sequence[str] = (),
    captions: Sequence[Sequence[str]] | None = None,
    cell: int = CELL,
) -> Image:
    """Draw rows of images, each row after its label.

    Args:
        rows: pairs of a label and images, uint8 (height, width, 1 or 3), of any sizes. Rows may be
            of different lengths, or empty; None leaves a place empty.
        title: lines above all of it.
        heads: a text above each column.
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
    font, ascii_only = _font([*title, *heads, *names, *(each for row in said for each in row)])

    def fitting(texts: Iterable[str], widest: int) -> list[str]:
        return [_cut(each, font, ascii_only, widest) for each in texts]

    titles, labels = fitting(title, WIDEST_TITLE), fitting(names, WIDEST_LABEL)
    above = fitting(heads, WIDEST_CAPTION * cell)
    under = [fitting(row, WIDEST_CAPTION * cell) for row in said]
    label = max(_width(each, font) for each in labels)
    left = MARGIN + (label + MARGIN if label else 0)
    texts = [*above, *(each for row in under for each in row)]
    across = max([cell, *(_width(each, font) for each in texts)]) + GAP
    down = cell + GAP + (LINE if under else 0)
    first = MARGIN + LINE * len(titles) + (LINE if above else 0) + (GAP if titles or above else 0)

    width = max([left + columns * across - GAP, *(MARGIN + _width(each, font) for each in titles)])
    paper = Image.new("RGB", (width + MARGIN, first + len(rows) * down - GAP + MARGIN), PAPER)
    pen = ImageDraw.Draw(paper)
    for i, text in enumerate(titles):
        pen.text((MARGIN, MARGIN + i * LINE), text, INK, font)
    for j, text in enumerate(above):
        pen.text((left + j * across + (across - GAP) // 2, first - 2 * GAP), text, INK, font, "ms")
    for i, (_, images) in enumerate(rows):
        top = first + i * down
        pen.text((MARGIN, top + cell // 2), labels[i], INK, font, anchor="lm")
        for j, pixels in enumerate(images):
            if pixels is None:
                continue
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
