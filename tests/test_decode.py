"""What an image file shows, whatever its form; what damaged ones say."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from io import BytesIO

import hostile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from strategies import quick

from striate.data.decode import NoMemory, cut, decode, shrunk
from striate.errors import DataError

BAD, ODD = hostile.bad(), hostile.odd()


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_shows_what_a_person_sees(name: str) -> None:
    """EXIF's orientations, palettes, CMYK, 16 bits, transparency on white, first frames."""
    content, shown = ODD[name]
    pixels = decode(content, 3)
    assert pixels.shape == shown.shape and pixels.dtype == np.uint8
    lossy = 6 if content[:2] == b"\xff\xd8" else 1
    assert abs(pixels.astype(int) - shown).max() <= lossy


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_a_reason_and_little_memory(name: str) -> None:
    tracemalloc.start()
    with pytest.raises(DataError) as caught:
        decode(BAD[name], 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(str(caught.value)) > 5 and "\n" not in str(caught.value)
    assert "object at 0x" not in str(caught.value)
    assert peak < 80 * 2**20


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty.jpg", "the file is empty"),
        ("text.jpg", "not an image of a known format"),
        ("html.jpg", "HTML or XML"),
        ("photo.heic", "HEIC is not read here: convert it"),
        ("lfs.png", "git lfs pull"),
        ("program.eps", "not an image of a known format"),
        ("png 101 million.png", "10100 x 10000 pixels, more than the 100,000,000"),
        ("png bomb.png", "more than the 100,000,000"),
        ("cut at 50%.jpg", "damaged: .*(?i:truncated)"),
        ("cut at 50%.png", "damaged: .*truncated"),
    ],
)
def test_the_reason_is_a_persons(name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode(BAD[name], 3)


def test_there_are_more_than_sixty_hostile_files() -> None:
    assert len(set(BAD.values())) == len(BAD) > 60


def test_grey_is_luma_and_grey_files_become_rgb() -> None:
    """ITU-R 601: 0.299 R + 0.587 G + 0.114 B."""
    luma = hostile.COLOUR @ [0.299, 0.587, 0.114]
    grey = decode(hostile.PNG, 1)
    assert grey.shape == (24, 36, 1)
    assert abs(grey[..., 0] - luma).max() <= 1
    colour = decode(hostile.saved(Image.fromarray(hostile.GREY), "PNG"), 3)
    assert all(np.array_equal(colour[..., channel], hostile.GREY) for channel in range(3))


def test_sixteen_bits_keep_their_gradient() -> None:
    """All 256 levels come out of a ramp over 65,536, none clipped."""
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for form in ("PNG", "TIFF", "PPM"):
        grey = decode(hostile.saved(Image.fromarray(ramp), form), 1)[..., 0]
        assert np.array_equal(grey, np.rint(ramp / 257)), form


def test_numbers_of_no_known_range_are_stretched_and_infinite_ones_refused() -> None:
    values = np.array([[-1.5, 0.5], [2.5, 0.5]], np.float32)
    content = hostile.saved(Image.fromarray(values), "TIFF")
    assert decode(content, 1)[..., 0].tolist() == [[0, 128], [255, 128]]
    values[0, 0] = np.inf
    with pytest.raises(DataError, match="not finite"):
        decode(hostile.saved(Image.fromarray(values), "TIFF"), 1)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_numbers_of_many_bits_take_little_more_memory_than_they_are(kind: type) -> None:
    values = np.arange(2_000 * 2_000, dtype=kind).reshape(2_000, 2_000)
    content = hostile.saved(Image.fromarray(values), "TIFF")
    tracemalloc.start()
    small = decode(content, 1, 8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(small, decode(content, 1, 8)) and small.max() > small.min()
    assert peak < 3 * values.nbytes + 30 * 2**20


def test_no_memory_is_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def scarce(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("striate.data.decode._upright", scarce)
    with pytest.raises(NoMemory, match="memory ran out"):
        decode(hostile.PNG, 3)


@quick
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(1, 50))
def test_a_shrunk_image_keeps_its_shape_and_a_small_one_its_pixels(
    height: int, width: int, depth: int, side: int
) -> None:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, depth), np.uint8)
    found = shrunk(pixels, side)
    if max(height, width) <= side:
        assert found is pixels
    else:
        assert max(found.shape[:2]) == side and found.shape[2] == depth
        assert abs(found.shape[0] * width - found.shape[1] * height) <= max(height, width)


def test_only_grey_and_rgb_are_depths() -> None:
    with pytest.raises(DataError, match=r"1 \(grey\) or 3 \(RGB\), not 4"):
        decode(hostile.PNG, 4)


@quick
@given(st.integers(1, 9), st.integers(0, 4), st.integers(1, 5), st.booleans(), st.booleans())
def test_scaling_is_of_the_whole_image_before_its_centre_is_cut_out(
    short: int, more: int, factor: int, down: bool, upright: bool
) -> None:
    """Krizhevsky et al. 2012, section 2. Contrast is low: Pillow clips between its two passes."""
    stored, asked = (factor, 1) if down else (1, factor)
    values = np.random.default_rng(short).integers(90, 166, (short, short + 2 * more), np.uint8)
    values = np.repeat(np.repeat(values, stored, axis=0), stored, axis=1)
    values = values.T if upright else values
    image = Image.fromarray(np.ascontiguousarray(values))
    side, margin = short * asked, more * asked
    size = (side, side + 2 * margin) if upright else (side + 2 * margin, side)
    whole = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    centre = whole[margin : margin + side] if upright else whole[:, margin : margin + side]
    pixels = decode(hostile.saved(image, "PNG"), 1, side)[..., 0]
    assert pixels.shape == (side, side)
    assert abs(pixels.astype(int) - centre).max() <= 1


def test_scaling_down_is_antialiased() -> None:
    """A fine chequerboard becomes grey, as from afar, not black or white."""
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    small = decode(hostile.saved(Image.fromarray(board), "PNG"), 1, 32)
    assert abs(small.astype(int) - 128).max() <= 2


def test_a_large_jpeg_decoded_small_looks_like_one_decoded_whole() -> None:
    """It is decoded at a fraction of its size, and turned as its orientation says."""
    large = np.asarray(hostile.PICTURE.resize((1440, 960), Image.Resampling.BICUBIC))
    stored = Image.fromarray(np.ascontiguousarray(hostile.STORED[6](large)))
    exif = Image.Exif()
    exif[274] = 6
    jpeg = hostile.saved(stored, "JPEG", quality=95, exif=exif)
    whole = decode(hostile.saved(Image.fromarray(large), "PNG"), 3, 64).astype(int)
    assert abs(decode(jpeg, 3, 64) - whole).max() <= 6


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("box", [(0, 0, 64, 64), (5, 20, 40, 30), (50, 1, 8, 12)])
def test_a_part_of_a_photo_is_that_part_of_it_decoded(
    orientation: int, box: tuple[int, int, int, int]
) -> None:
    """Whatever of its size it is decoded at, and however it is turned; with detail of its own."""
    large = np.asarray(hostile.PICTURE.resize((1440, 960), Image.Resampling.BICUBIC))
    turned = hostile.STORED[orientation](large) if orientation > 1 else large
    exif = Image.Exif()
    exif[274] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turned))
    jpeg = hostile.saved(stored, "JPEG", quality=95, exif=exif)
    square = large[:, 240:1200]  # in the middle, 15 pixels of it for one of the 64
    top, left, height, width = (15 * each for each in box)
    part = Image.fromarray(np.ascontiguousarray(square[top : top + height, left : left + width]))
    expected = np.asarray(part.resize((20, 24), Image.Resampling.BILINEAR)).astype(int)
    found = cut(jpeg, 3, 64, box, (24, 20))
    assert found.shape == (24, 20, 3) and found.dtype == np.uint8
    assert abs(found - expected).max() <= 12 and abs(found - expected).mean() < 2
    assert cut(jpeg, 1, 64, box, (24, 20)).shape == (24, 20, 1)


def test_any_cut_or_changed_byte_gives_pixels_or_a_reason() -> None:
    """Nothing but a DataError comes out of a damaged file."""
    random = np.random.default_rng(1)
    for content in (hostile.JPEG, hostile.PNG, hostile.GIF, hostile.TIFF, hostile.WEBP):
        for _ in range(60):
            damaged = bytearray(content)
            for place in random.integers(0, len(content), 3):
                damaged[place] = random.integers(0, 256)
            damaged = damaged[: random.integers(1, len(content) + 1)]
            with suppress(DataError):
                assert decode(bytes(damaged), 3, 8).shape == (8, 8, 3)


def test_decoding_changes_no_setting_of_pillow() -> None:
    before = Image.MAX_IMAGE_PIXELS
    decode(hostile.JPEG, 3, 8)
    assert before == Image.MAX_IMAGE_PIXELS
    assert np.asarray(Image.open(BytesIO(hostile.PNG))).shape == (24, 36, 3)
