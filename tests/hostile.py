"""Makers of image files that are damaged, hostile, or odd and yet whole."""

from __future__ import annotations

import os
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

HEIGHT, WIDTH = 24, 36
# Smooth, so that it survives JPEG, and without symmetry, so that orientations differ.
ROWS, COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH]
COLOUR = np.stack([ROWS * 10, COLUMNS * 7, 255 - ROWS * 5 - COLUMNS * 3], axis=2).astype(np.uint8)
GREY = (ROWS * 4 + COLUMNS * 4).astype(np.uint8)
PICTURE = Image.fromarray(COLOUR)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    """An image as a file of some form."""
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def jpeg(image: Image.Image = PICTURE, **options: Any) -> bytes:
    """A JPEG file that shows nearly what the image does."""
    return saved(image, "JPEG", quality=97, subsampling=0, **options)


JPEG = jpeg()
PNG = saved(PICTURE, "PNG")
GIF = saved(PICTURE, "GIF")
BMP = saved(PICTURE, "BMP")
TIFF = saved(PICTURE, "TIFF", compression="tiff_lzw")
WEBP = saved(PICTURE, "WEBP", lossless=True)
PPM = saved(PICTURE, "PPM")


def chunk(kind: bytes, content: bytes, crc: int | None = None) -> bytes:
    """A chunk of a PNG file."""
    crc = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png(width: int, height: int, bits: int, colour: int, *chunks: bytes) -> bytes:
    """A PNG file with a header that may say anything."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def bmp(width: int, height: int) -> bytes:
    """A BMP file with a size that may be anything."""
    return BMP[:18] + struct.pack("<ii", width, height) + BMP[26:]


def noise(count: int) -> bytes:
    """Bytes of no meaning, the same every time."""
    return np.random.default_rng(0).integers(0, 256, count, np.uint8).tobytes()


def bad() -> dict[str, bytes]:
    """File names and contents that no decoder can make a whole picture of."""
    ones = zlib.compress(b"\x00" + b"\xff" * 36)
    bomb = zlib.compress(bytes(2**26), 9)
    files = {
        "empty.jpg": b"",
        "one byte.gif": b"G",
        "zeros.jpg": bytes(4096),
        "zeros.tif": bytes(512),
        "ones.bmp": b"\xff" * 4096,
        "noise.png": noise(4096),
        "noise.webp": b"RIFF" + noise(4096),
        "text.jpg": b"this is not a picture\n" * 20,
        "html.jpg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "vector.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9"/></svg>',
        "lfs.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
        "photo.heic": b"\x00\x00\x00\x18ftypheic" + noise(200),
        "program.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
        "program.jpg": b"\x7fELF" + noise(400),
        "archive.png": b"PK\x03\x04" + noise(400),
        "pickle.png": b"\x80\x04cos\nsystem\n(S'false'\ntR.",
        "jpeg start only.jpg": b"\xff\xd8\xff",
        "jpeg without scan.jpg": JPEG[: JPEG.index(b"\xff\xda")] + b"\xff\xd9",
        "jpeg without tables.jpg": JPEG.replace(b"\xff\xdb", b"\xff\xfe"),
        "jpeg without header.jpg": JPEG[2:],
        "jpeg large.jpg": _jpeg_of(65535, 65535),
        "jpeg of no width.jpg": _jpeg_of(24, 0),
        "png signature only.png": PNG[:8],
        "png bomb.png": png(100_000, 100_000, 8, 2, chunk(b"IDAT", bomb)),
        "png wide.png": png(2**31 - 1, 1, 8, 2, chunk(b"IDAT", ones)),
        "png tall.png": png(1, 2**31 - 1, 8, 2, chunk(b"IDAT", ones)),
        "png 101 million.png": png(10_100, 10_000, 1, 0, chunk(b"IDAT", ones)),
        "png of no width.png": png(0, 9, 8, 2, chunk(b"IDAT", ones)),
        "png of no height.png": png(9, 0, 8, 2, chunk(b"IDAT", ones)),
        "png of odd depth.png": png(9, 9, 7, 2, chunk(b"IDAT", ones)),
        "png of odd colour.png": png(9, 9, 8, 9, chunk(b"IDAT", ones)),
        "png without data.png": png(9, 9, 8, 2),
        "png short of data.png": png(9, 9, 8, 2, chunk(b"IDAT", ones)),
        "png of noise.png": png(9, 9, 8, 2, chunk(b"IDAT", noise(300))),
        "png with bad sum.png": png(9, 9, 8, 2, chunk(b"IDAT", ones, crc=1)),
        "png header with bad sum.png": PNG[:29] + bytes(4) + PNG[33:],
        "png text bomb.png": png(9, 9, 8, 2, chunk(b"zTXt", b"a\0\0" + bomb)),
        "png profile bomb.png": png(9, 9, 8, 2, chunk(b"iCCP", b"a\0\0" + bomb)),
        "png chunk of no name.png": PNG[:33] + bytes(4) + b"\x00\x01\x02\x03" + PNG[41:],
        "gif signature only.gif": b"GIF89a",
        "gif without frames.gif": GIF[:13] + b";",
        "bmp header only.bmp": BMP[:54],
        "bmp of no width.bmp": bmp(0, 9),
        "bmp large.bmp": bmp(2**30, 2**30),
        "bmp of odd bits.bmp": BMP[:28] + b"\x07\x00" + BMP[30:],
        "tiff header only.tif": TIFF[:8],
        "tiff to nowhere.tif": b"II*\x00\xff\xff\xff\x7f",
        "tiff to itself.tif": b"II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00",
        "webp header only.webp": WEBP[:16],
        "webp of noise.webp": WEBP[:30] + noise(200),
        "ppm without size.ppm": b"P6\n",
        "ppm large.ppm": b"P6\n99999999 99999999\n255\n",
        "ppm of letters.ppm": b"P6\nnine nine\n255\n" + bytes(243),
        "jpeg2000 start only.jp2": b"\x00\x00\x00\x0cjP  \r\n\x87\n",
    }
    for name, content in {"jpg": JPEG, "png": PNG, "bmp": BMP, "webp": WEBP, "tif": TIFF}.items():
        for percent in (20, 50, 80):
            files[f"cut at {percent}%.{name}"] = content[: len(content) * percent // 100]
    files["cut at 50%.gif"] = GIF[: len(GIF) // 2]
    files["cut at 50%.ppm"] = PPM[: len(PPM) // 2]
    return files


def _jpeg_of(height: int, width: int) -> bytes:
    frame = JPEG.index(b"\xff\xc0")
    return JPEG[: frame + 5] + struct.pack(">HH", height, width) + JPEG[frame + 9 :]


def odd() -> dict[str, tuple[bytes, np.ndarray]]:
    """File names, contents, and the colours, (height, width, 3), that a person sees in them."""
    grey = np.repeat(GREY[..., None], 3, axis=2)
    wide = (GREY.astype(np.uint16) * 257 + 100).clip(0, 65535).astype(np.uint16)
    alpha = np.where(COLUMNS < WIDTH // 2, 255, 0).astype(np.uint8)
    on_white = np.where(alpha[..., None] == 255, COLOUR, 255).astype(np.uint8)
    see_through = Image.fromarray(np.dstack([COLOUR, alpha]))
    palette = PICTURE.quantize(256)
    shown = np.asarray(palette.convert("RGB"))
    comment = PngImagePlugin.PngInfo()
    comment.add_text("comment", "x" * 5000, zip=True)
    frames = [Image.new("RGB", PICTURE.size, colour) for colour in ("white", "black")]
    transparent = palette.copy()
    transparent.info["transparency"] = (index := int(np.asarray(palette)[0, 0]))
    holes = (np.asarray(palette) == index)[..., None]
    bits = GREY > 100
    rows = (COLOUR.astype(">u2") * 257).reshape(HEIGHT, -1)
    deep = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    files = {
        "png named jpg.jpg": (PNG, COLOUR),
        "jpeg named png.png": (JPEG, COLOUR),
        "gif named bmp.bmp": (GIF, np.asarray(Image.open(BytesIO(GIF)).convert("RGB"))),
        "upper case.JPEG": (JPEG, COLOUR),
        "progressive.jpg": (jpeg(progressive=True), COLOUR),
        "cmyk.jpg": (saved(PICTURE.convert("CMYK"), "JPEG", quality=98), COLOUR),
        "cmyk.tif": (saved(PICTURE.convert("CMYK"), "TIFF"), COLOUR),
        "grey.jpg": (saved(Image.fromarray(GREY), "JPEG", quality=98), grey),
        "16 bits.png": (saved(Image.fromarray(wide), "PNG"), grey),
        "16 bits.tif": (saved(Image.fromarray(wide), "TIFF"), grey),
        "32 bits.tif": (saved(Image.fromarray(wide.astype(np.int32)), "TIFF"), grey),
        "float.tif": (saved(Image.fromarray(GREY.astype(np.float32) / 255), "TIFF"), grey),
        "16 bits of colour.png": (png(WIDTH, HEIGHT, 16, 2, chunk(b"IDAT", deep)), COLOUR),
        "1 bit.png": (saved(Image.fromarray(bits), "PNG"), bits[..., None] * np.uint8([255] * 3)),
        "palette.png": (saved(palette, "PNG"), shown),
        "palette.gif": (saved(palette, "GIF"), shown),
        "palette with hole.png": (
            saved(transparent, "PNG", transparency=index),
            np.where(holes, 255, shown).astype(np.uint8),
        ),
        "palette with hole.gif": (
            saved(transparent, "GIF", transparency=index),
            np.where(holes, 255, shown).astype(np.uint8),
        ),
        "alpha.png": (saved(see_through, "PNG"), on_white),
        "alpha.webp": (saved(see_through, "WEBP", lossless=True), on_white),
        "grey alpha.png": (
            saved(Image.merge("LA", (Image.fromarray(GREY), Image.fromarray(alpha))), "PNG"),
            np.where(alpha[..., None] == 255, grey, 255).astype(np.uint8),
        ),
        "colour key.png": (
            saved(PICTURE, "PNG", transparency=tuple(map(int, COLOUR[0, 0]))),
            np.where((COLOUR[0, 0] == COLOUR).all(axis=2)[..., None], 255, COLOUR),
        ),
        "animated.gif": (saved(PICTURE, "GIF", save_all=True, append_images=frames), GIF_SHOWN),
        "animated.png": (saved(PICTURE, "PNG", save_all=True, append_images=frames), COLOUR),
        "animated.webp": (
            saved(PICTURE, "WEBP", save_all=True, append_images=frames, lossless=True),
            COLOUR,
        ),
        "pages.tif": (saved(PICTURE, "TIFF", save_all=True, append_images=frames), COLOUR),
        "profile of noise.jpg": (jpeg(icc_profile=noise(500)), COLOUR),
        "profile of noise.png": (saved(PICTURE, "PNG", icc_profile=noise(500)), COLOUR),
        "exif of noise.jpg": (jpeg(exif=b"Exif\0\0" + noise(300)), COLOUR),
        "exif cut.jpg": (jpeg(exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff"), COLOUR),
        "comment.png": (saved(PICTURE, "PNG", pnginfo=comment), COLOUR),
        "more after its end.jpg": (JPEG + noise(1000), COLOUR),
        "more after its end.png": (PNG + noise(1000), COLOUR),
        "new\nline.png": (PNG, COLOUR),
        "ünïcödé 猫 🐈.png": (PNG, COLOUR),
        f"{'long' * 60}.png": (PNG, COLOUR),
    }
    return files | {
        f"orientation {number}.{form.lower()}": (turned(number, form), COLOUR)
        for form in ("JPEG", "PNG", "TIFF", "WEBP")
        for number in range(0, 10)
    }


GIF_SHOWN = np.asarray(Image.open(BytesIO(GIF)).convert("RGB"))
# What is stored, so that the program that turns it as EXIF's tag 274 says shows the picture.
STORED = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def turned(orientation: int, form: str) -> bytes:
    """The picture stored in an orientation from 1 to 8; any other number means none."""
    stored = STORED.get(orientation, lambda a: a)(COLOUR)
    exif = Image.Exif()
    exif[274] = orientation
    options = {"JPEG": {"quality": 97, "subsampling": 0}, "WEBP": {"lossless": True}}
    image = Image.fromarray(np.ascontiguousarray(stored))
    return saved(image, form, exif=exif, **options.get(form, {}))


def no_files(folder: Path) -> list[str]:
    """Make what has an image's name and is no file; the names."""
    (folder / "folder.jpg").mkdir()
    (folder / "folder.jpg" / "inside.png").write_bytes(PNG)
    os.mkfifo(folder / "pipe.png")
    (folder / "to nowhere.png").symlink_to("nowhere.png")
    (folder / "to itself.png").symlink_to("to itself.png")
    (folder / "around").symlink_to(folder)
    return ["folder.jpg", "pipe.png", "to nowhere.png", "to itself.png", "around"]
