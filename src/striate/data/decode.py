"""The bytes of an image file to pixels, by Pillow: what a person sees when they open it."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from striate.errors import DataError

# Those that say by their first bytes what they are. PostScript, which is a program, is not among
# them.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM")
LARGEST = 100_000_000  # pixels; Pillow stops at 179 million and warns from 89 million on
WORDS = {1: "grey", 3: "RGB"}

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF's tag 274
_ORIENTATION = 274
CRASHED = "the decoder crashed"  # and ended its process
BLOCK = 2**20  # numbers of more than eight bits that are scaled at a time


class NoMemory(DataError):
    """Memory ran out, for whatever reason: at another time the image may be decoded."""


def decode(
    content: bytes, depth: int, side: int | tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """The first picture of an image file, upright, (height, width, depth).

    Args:
        depth: 1 for grey (luma, ITU-R 601), 3 for RGB.
        side: scale the shorter side to so many pixels and cut out the centre square (Krizhevsky et
            al. 2012, section 2): bicubic, antialiased. Of a height and a width, the largest centred
            rectangle of their shape is scaled so. May be called by many threads at once.

    What is transparent lies on white. Of 16 bits the upper ones are kept. Colour profiles are
    left alone.

    Raises:
        DataError: it cannot be decoded, or only in part; it has more than 100 million pixels; or
            there is no such depth.
    """
    with opened(content) as image:
        if side is not None:
            # JPEGs are decoded at 1/2, 1/4 or 1/8 of their size where twice the side remains, as
            # Pillow's own `thumbnail` does.
            height, width = side if isinstance(side, tuple) else (side, side)
            image.draft(None, (2 * width, 2 * height))
        plain = _plain(image, depth)
        return _pixels(plain if side is None else _scaled_to(plain, height, width))


def cut(
    content: bytes, depth: int, side: int, box: Sequence[int], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """A rectangle of an image file, scaled: bilinear, antialiased; (*size, depth).

    It is the part of the picture that the same rectangle of `decode`'s image shows, but with the
    picture's own detail: not scaled twice. A JPEG is decoded at a fraction of its size where that
    has as many pixels as are asked for.

    Args:
        box: top, left, height and width in pixels of what `decode` gives with this side.
        size: height and width of the result.

    Raises:
        DataError: as `decode`.
    """
    with opened(content) as image:
        factor = min(have / wanted for have, wanted in zip(box[2:], size, strict=True))
        factor *= min(image.size) / side  # pixels of the file for one that is made
        image.draft(None, (math.ceil(image.width / factor), math.ceil(image.height / factor)))
        plain = _plain(image, depth)
        short = min(plain.size)
        top, left, height, width = (short / side * each for each in box)
        top, left = top + (plain.height - short) // 2, left + (plain.width - short) // 2
        right, bottom = min(left + width, plain.width), min(top + height, plain.height)
        part = (left, top, right, bottom)
        return _pixels(plain.resize(size[::-1], Image.Resampling.BILINEAR, part))


def _plain(image: Image.Image, depth: int) -> Image.Image:
    """Upright, of eight bits, grey or RGB."""
    if depth not in WORDS:
        raise DataError(f"images have a depth of 1 (grey) or 3 (RGB), not {depth}")
    image.load()
    found, mode = _eight_bits(_upright(image)), "L" if depth == 1 else "RGB"
    return found if found.mode == mode else found.convert(mode)  # which would copy


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    return np.array(image, np.uint8).reshape(image.height, image.width, -1)


def square(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """An image, (height, width, depth), scaled and cut as `decode` does with one from a file."""
    return _pixels(_scaled_to(_image(pixels), side, side))


def shrunk(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """An image, (height, width, 1 or 3), scaled so that neither side is more than `side`.

    Its shape is kept, and one that is no larger is left alone.
    """
    height, width, _ = pixels.shape
    if max(height, width) <= side:
        return pixels
    height, width = (max(1, round(each * side / max(height, width))) for each in (height, width))
    return _pixels(_image(pixels).resize((width, height), Image.Resampling.LANCZOS))


def _image(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels if pixels.shape[2] > 1 else pixels[..., 0])


class _Silence:
    """Warnings are ignored while any thread is within; `catch_warnings` alone knows one thread."""

    def __init__(self) -> None:
        self.lock, self.within = Lock(), 0

    def __enter__(self) -> None:
        with self.lock:
            self.within += 1
            if self.within == 1:
                self.before = warnings.catch_warnings()
                self.before.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *reason: object) -> None:
        with self.lock:
            self.within -= 1
            if self.within == 0:
                self.before.__exit__(None, None, None)


_silence = _Silence()


@contextmanager
def opened(content: bytes) -> Iterator[Image.Image]:
    """A Pillow image of known format and decent size, of which only the header was read.

    Whatever is raised while it is used becomes a DataError with the reason; no warning leaves.
    """
    try:
        # Silence: Pillow warns of metadata, mostly.
        with _silence, Image.open(BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > LARGEST:
                raise DataError(_too_large(f"{image.width} x {image.height}"))
            yield image
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(_no_image(content)) from None
    except Image.DecompressionBombError as reason:  # it refuses twice as many by itself
        count = re.search(r"\d+", str(reason))
        raise DataError(_too_large(f"{int(count[0]):,}" if count else "too many")) from None
    except MemoryError:
        raise NoMemory("memory ran out while it was decoded") from None
    except Exception as reason:  # Pillow's decoders raise nearly anything for a damaged file
        words = " ".join(str(reason).split()) or type(reason).__name__
        raise DataError(f"damaged: {words[:200]}") from None


def _too_large(size: str) -> str:
    return f"its header says {size} pixels, more than the {LARGEST:,} read here"


def _no_image(content: bytes) -> str:
    if not content:
        return "the file is empty"
    if content.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer in the place of an image: run `git lfs pull`"
    if content[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return "HEIC is not read here: convert it to JPEG or PNG"
    if content.lstrip()[:1] == b"<":
        return "SVG, HTML or XML, not an image of pixels"
    return "not an image of a known format"


def _upright(image: Image.Image) -> Image.Image:
    """Pillow itself turns TIFFs, and then tells no orientation any more."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged metadata do not spoil a picture
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _eight_bits(image: Image.Image) -> Image.Image:
    """An image of eight bits a channel and no transparency."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_scaled(np.asarray(image), image))
    if image.mode == "CMYK" or not image.has_transparency_data:
        return image.convert("RGB") if image.mode in ("P", "PA") else image
    seen = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)


def _scaled(values: NDArray[Any], image: Image.Image) -> NDArray[np.uint8]:
    """Grey of more than eight bits, by the range that its form promises or, if none, its values."""
    low, high = float(values.min()), float(values.max())
    if not math.isfinite(low) or not math.isfinite(high):
        raise DataError("it holds numbers that are not finite")
    if image.mode.startswith("I;16") or image.format in ("PNG", "PPM"):
        low, high = 0, 65535
    elif low >= 0 and high <= 65535:
        low, high = 0, next(top for top in _tops(image.mode) if high <= top)
    scaled = np.empty(values.size, np.uint8)
    for first in range(0, values.size, BLOCK):
        part = values.reshape(-1)[first : first + BLOCK].astype(np.float64)
        scaled[first : first + BLOCK] = np.rint((part - low) * (255 / ((high - low) or 1)))
    return scaled.reshape(values.shape)


def _tops(mode: str) -> tuple[int, ...]:
    return (1, 255, 65535) if mode == "F" else (255, 65535)


def _scaled_to(image: Image.Image, height: int, width: int) -> Image.Image:
    """The largest centred rectangle of this shape, scaled."""
    if image.size == (width, height):
        return image
    across = min(image.width, image.height * width / height)
    down = min(image.height, image.width * height / width)
    left, top = (image.width - across) // 2, (image.height - down) // 2
    box = (left, top, left + across, top + down)
    return image.resize((width, height), Image.Resampling.BICUBIC, box)
