"""Layers by themselves: sizes against enumeration, what rounding drops, what each kind takes."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import MISSING, FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from strategies import thorough

from striate.errors import DoesNotFit, Misfit
from striate.layers import (
    JOINS,
    KINDS,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Deconv,
    Dropout,
    Flatten,
    FullyConnected,
    GroupNorm,
    Identity,
    Layer,
    LayerNorm,
    LayerScale,
    MaxPool,
    Mul,
    Pad,
    Pair,
    Parameters,
    Shortcut,
    Shuffle,
    Slice,
    Softmax,
    Take,
    Upsample,
    Volume,
)
from striate.layers.convolution import check_groups
from striate.layers.settings import BadSetting, Choice, Extent, Real, Whole, Wholes, settings_of
from striate.layers.window import Slide
from striate.network import Network

FACTS = [
    fact
    for fact in json.loads((Path(__file__).parent / "facts" / "examples.json").read_text("utf-8"))
    if fact["id"].startswith("example/output-size/")
]

# -- one axis, counted


def starts(slide: Slide, rounding: str) -> list[int]:
    """Where each window starts, by going along: -P, S - P, 2S - P, ..."""
    found = [-slide.padding]
    end = slide.size + slide.padding
    while found[-1] + slide.span + slide.stride <= end:
        found.append(found[-1] + slide.stride)
    if found[0] + slide.span > end:
        return []
    if rounding == "ceil" and found[-1] + slide.span < end:
        following = found[-1] + slide.stride
        if following < slide.size:  # Caffe: it must start in the volume or in its leading padding
            found.append(following)
    return found


def seen(slide: Slide, start: int) -> list[int]:
    return [start + slide.dilation * tap for tap in range(slide.kernel)]


slides = st.builds(
    Slide,
    size=st.integers(1, 30),
    kernel=st.integers(1, 8),
    stride=st.integers(1, 8),
    padding=st.integers(0, 6),
    dilation=st.integers(1, 4),
)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact["id"].rpartition("/")[2])
def test_output_sizes_of_the_lectures(fact: dict[str, Any]) -> None:
    slide = Slide(fact["n"], fact["kernel"], fact["stride"], fact["padding"], 1)
    assert slide.room / slide.stride + 1 == pytest.approx(fact["exact"], abs=1e-5)
    assert slide.fits == fact["fits"]
    assert slide.positions("floor") == fact["floor"] == len(starts(slide, "floor"))
    assert slide.positions("ceil") == fact["ceil"] == len(starts(slide, "ceil"))


def test_all_output_sizes_are_here() -> None:
    assert len(FACTS) == 33


@thorough
@given(slides, st.sampled_from(("floor", "ceil")))
@example(Slide(size=2, kernel=1, stride=4, padding=3, dilation=1), "ceil")
@example(Slide(size=5, kernel=2, stride=3, padding=1, dilation=1), "ceil")
def test_positions_are_those_counted(slide: Slide, rounding: str) -> None:
    assert slide.positions(rounding) == len(starts(slide, rounding))


@thorough
@given(slides)
def test_a_window_fits_where_the_last_one_ends_at_the_end(slide: Slide) -> None:
    windows = starts(slide, "floor")
    ends = [seen(slide, start)[-1] for start in windows]
    assert slide.fits == (bool(ends) and ends[-1] == slide.size + slide.padding - 1)
    assert slide.span == len(range(seen(slide, 0)[0], seen(slide, 0)[-1] + 1))
    if slide.fits:
        assert {slide.positions(each) for each in ("exact", "floor", "ceil")} == {len(windows)}


@thorough
@given(slides)
def test_most_is_the_largest_kernel_that_has_room(slide: Slide) -> None:
    larger = slide._replace(kernel=slide.most + 1)
    assert slide._replace(kernel=slide.most).room >= 0
    assert larger.room < 0


@thorough
@given(slides, slides, st.sampled_from(("floor", "ceil")))
def test_what_rounding_drops_and_makes_up(high: Slide, wide: Slide, rounding: str) -> None:
    assume(starts(high, rounding) and starts(wide, rounding))
    met = Volume(high.size, wide.size, 2)
    layer = Conv(
        kernel=Pair(high.kernel, wide.kernel),
        filters=3,
        stride=Pair(high.stride, wide.stride),
        pad=Pair(high.padding, wide.padding),
        dilation=Pair(high.dilation, wide.dilation),
        rounding=rounding,
    )
    assert layer.volume(met) == (len(starts(high, rounding)), len(starts(wide, rounding)), 3)
    said = {"drops": [0, 0], "of padding": [0, 0], "makes up": [0, 0]}
    for phrase in filter(None, layer.rounded(met).split(", ")):
        verb = "of padding" if phrase.endswith("of padding") else phrase.rpartition(" ")[0]
        verb = next(each for each in said if each in (phrase if verb != "of padding" else verb))
        for number, what in re.findall(r"(\d+) (row|column)", phrase):
            said[verb][what == "column"] = int(number)
    for axis, slide in enumerate((high, wide)):
        last = seen(slide, starts(slide, rounding)[-1])[-1]
        end = slide.size + slide.padding
        unseen = range(last + 1, end)
        assert said["drops"][axis] == sum(row < slide.size for row in unseen)
        assert said["of padding"][axis] == sum(row >= slide.size for row in unseen)
        assert said["makes up"][axis] == len(range(end, last + 1))


@pytest.mark.parametrize(
    ("layer", "met", "said"),
    [
        (Conv(kernel=3, filters=1, stride=3, pad=0), (9, 9, 1), ""),
        (Conv(kernel=3, filters=1, stride=3, pad=0, rounding="floor"), (9, 9, 1), ""),
        (MaxPool(kernel=2, rounding="floor"), (5, 4, 1), "drops 1 row"),
        (MaxPool(kernel=2, rounding="floor"), (4, 5, 1), "drops 1 column"),
        (MaxPool(kernel=3, rounding="floor"), (5, 4, 1), "drops 2 rows and 1 column"),
        (MaxPool(kernel=3, rounding="ceil"), (5, 4, 1), "makes up 1 row and 2 columns"),
        (
            Conv(kernel=7, filters=1, stride=2, pad=3, rounding="floor"),
            (224, 224, 1),
            "drops 1 row and 1 column of padding",
        ),
    ],
)
def test_what_is_said_of_rounding(layer: Conv, met: tuple[int, int, int], said: str) -> None:
    assert layer.rounded(Volume(*met)) == said


# -- windows


@thorough
@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from((1, 3, 5, 7)),
    st.sampled_from((1, 3, 5)),
    st.integers(1, 3),
)
def test_a_convolution_without_pad_keeps_the_size(h: int, w: int, fh: int, fw: int, d: int) -> None:
    layer = Conv(kernel=Pair(fh, fw), filters=4, dilation=d)
    assert layer.volume(Volume(h, w, 3)) == (h, w, 4)
    assert layer.padding(Volume(h, w, 3)) == (d * (fh - 1) // 2, d * (fw - 1) // 2)


def test_an_even_kernel_keeps_the_size_where_its_dilation_is_even() -> None:
    assert Conv(kernel=2, filters=4, dilation=2).volume(Volume(5, 6, 3)) == (5, 6, 4)
    with pytest.raises(Misfit, match="has no padding that keeps the size"):
        Conv(kernel=2, filters=4).volume(Volume(5, 6, 3))


def test_the_stride_of_a_pool_is_its_kernel() -> None:
    assert MaxPool(kernel=2).volume(Volume(8, 6, 3)) == (4, 3, 3)
    assert MaxPool(kernel=Pair(2, 3)).volume(Volume(8, 6, 3)) == (4, 2, 3)
    assert MaxPool(kernel=3, stride=2).volume(Volume(7, 9, 3)) == (3, 4, 3)


@pytest.mark.parametrize("kind", ["maxpool", "avgpool", "subsample"])
def test_a_bare_pool_is_global(kind: str) -> None:
    pool = KINDS[kind]()
    assert pool.volume(Volume(7, 5, 3)) == (1, 1, 3)
    assert pool.volume(Volume(1, 1, 3)) == (1, 1, 3)


@pytest.mark.parametrize(
    ("layer", "met", "parameters"),
    [
        (Conv(kernel=5, filters=10), (32, 32, 3), (750, 10)),
        (Conv(kernel=Pair(7, 1), filters=4), (8, 8, 3), (84, 4)),
        (Conv(kernel=3, filters=8, groups=2), (8, 8, 4), (144, 8)),
        (Conv(kernel=3, filters=8, bias="no"), (8, 8, 4), (288, 0)),
        (Conv(kernel=1, filters=1, bias="point"), (19, 19, 192), (192, 361)),
        (Deconv(kernel=4, filters=6, groups=2), (8, 8, 4), (192, 6)),
        (FullyConnected(units=4096), (7, 7, 512), (102_760_448, 4096)),
        (FullyConnected(units=10, bias="no"), (1, 1, 84), (840, 0)),
        (BatchNorm(), (8, 8, 64), (0, 128)),
        (BatchNorm(scale="no"), (8, 8, 64), (0, 64)),
        (LayerNorm(), (8, 8, 64), (0, 128)),
        (GroupNorm(groups=4), (8, 8, 64), (0, 128)),
        (LayerScale(), (8, 8, 64), (64, 0)),
        (KINDS["subsample"](kernel=2), (28, 28, 6), (6, 6)),
        (KINDS["rbf"](units=10), (1, 1, 84), (0, 0)),
        (MaxPool(kernel=2), (8, 8, 64), (0, 0)),
    ],
)
def test_parameters(layer: Layer, met: tuple[int, int, int], parameters: tuple[int, int]) -> None:
    assert layer.parameters(Volume(*met)) == parameters
    assert Parameters(*parameters).total == sum(parameters)


@pytest.mark.parametrize(
    ("depth", "filters", "groups", "fits"),
    [
        (4, 8, 1, None),
        (4, 8, 4, None),
        (12, 18, 4, "1, 2, 3, 6"),
        (7, 5, 2, "1"),
        (60, 60, 7, "4, 5, 6, 10"),
        (2**31 - 1, 2**31 - 1, 2**31 - 2, "1, 2147483647"),
    ],
)
def test_groups(depth: int, filters: int, groups: int, fits: str | None) -> None:
    if fits is None:
        check_groups(depth, filters, groups)
        return
    with pytest.raises(Misfit) as caught:
        check_groups(depth, filters, groups)
    assert caught.value.hints == (f"groups that fit: {fits}",)


# -- transposed convolution

deconvs = st.builds(
    Deconv,
    kernel=st.builds(Pair, st.integers(1, 5), st.integers(1, 5)),
    filters=st.just(2),
    stride=st.builds(Pair, st.integers(1, 4), st.integers(1, 4)),
    pad=st.builds(Pair, st.integers(0, 4), st.integers(0, 4)),
    extra=st.builds(Pair, st.integers(0, 3), st.integers(0, 3)),
    dilation=st.builds(Pair, st.integers(1, 3), st.integers(1, 3)),
)


@thorough
@given(deconvs, st.integers(1, 6), st.integers(1, 6))
def test_a_transposed_convolution_writes_where_its_taps_fall(layer: Deconv, h: int, w: int) -> None:
    sizes = []
    for axis, size in enumerate((h, w)):
        if layer.extra[axis] >= max(layer.stride[axis], layer.dilation[axis]):
            with pytest.raises(Misfit, match="as its extra"):
                layer.volume(Volume(h, w, 3))
            return
        written = {
            i * layer.stride[axis] + tap * layer.dilation[axis]
            for i in range(size)
            for tap in range(layer.kernel[axis])
        }
        sizes.append(max(written) + 1 - 2 * layer.pad[axis] + layer.extra[axis])
    if min(sizes) < 1:
        with pytest.raises(Misfit, match="leaves nothing"):
            layer.volume(Volume(h, w, 3))
    else:
        assert layer.volume(Volume(h, w, 3)) == (*sizes, 2)


@thorough
@given(slides)
def test_a_transposed_convolution_undoes_the_size_of_a_convolution(slide: Slide) -> None:
    assume(slide.fits)
    settings = {
        "kernel": Pair(slide.kernel, 1),
        "stride": Pair(slide.stride, 1),
        "pad": Pair(slide.padding, 0),
        "dilation": Pair(slide.dilation, 1),
        "filters": 3,
    }
    met = Volume(slide.size, 4, 3)
    assert Deconv(**settings).volume(Conv(**settings).volume(met)) == met


# -- layers that move values


@pytest.mark.parametrize(
    ("layer", "given", "expected"),
    [
        (Pad(border=1), (4, 5, 3), (6, 7, 3)),
        (Pad(border=Pair(1, 2)), (4, 5, 3), (6, 9, 3)),
        (Pad(border=0), (4, 5, 3), (4, 5, 3)),
        (Pad(border=0, end=1), (4, 5, 3), (5, 6, 3)),
        (Pad(border=Pair(1, 0), end=Pair(0, 2)), (4, 5, 3), (5, 7, 3)),
        (Slice(first=1, stop=3), (4, 5, 3), (4, 5, 2)),
        (Shuffle(groups=3), (4, 5, 6), (4, 5, 6)),
        (LayerNorm(), (4, 5, 6), (4, 5, 6)),
        (GroupNorm(groups=2), (4, 5, 6), (4, 5, 6)),
        (Upsample(factor=2), (4, 5, 3), (8, 10, 3)),
        (Upsample(factor=Pair(1, 3), method="bilinear"), (4, 5, 3), (4, 15, 3)),
        (Flatten(), (4, 5, 3), (1, 1, 60)),
        (FullyConnected(units=7), (4, 5, 3), (1, 1, 7)),
        (Take(channels=(0,)), (4, 5, 3), (4, 5, 1)),
        (Take(channels=(2, 0, 2, 1)), (4, 5, 3), (4, 5, 4)),
        (Identity(), (4, 5, 3), (4, 5, 3)),
        (Softmax(), (1, 1, 10), (1, 1, 10)),
    ],
)
def test_volumes(layer: Layer, given: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    assert layer.volume(Volume(*given)) == expected


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Slice(first=0, stop=4), "asks for channels 0 up to 4 of the 4x5x3 volume"),
        (Slice(first=2, stop=2), "asks for channels 2 up to 2 of the 4x5x3 volume"),
        (Shuffle(groups=2), "cannot make 2 groups"),
        (GroupNorm(groups=2), "cannot make 2 groups"),
    ],
)
def test_channels_that_are_not_there(layer: Layer, message: str) -> None:
    with pytest.raises(Misfit, match=message):
        layer.volume(Volume(4, 5, 3))


def test_single_values_cannot_be_normalised() -> None:
    with pytest.raises(Misfit, match="normalises single values"):
        LayerNorm().volume(Volume(4, 5, 1))
    with pytest.raises(Misfit, match="normalises single values"):
        GroupNorm(groups=8).volume(Volume(1, 1, 8))
    assert GroupNorm(groups=8).volume(Volume(1, 2, 8)) == (1, 2, 8)


def test_take_knows_its_channels() -> None:
    with pytest.raises(Misfit, match=r"asks for channel 3 of the 4x5x3 volume"):
        Take(channels=(0, 3)).volume(Volume(4, 5, 3))


@thorough
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 5), st.integers(1, 5))
def test_a_shortcut_keeps_every_nth_row(h: int, w: int, sh: int, sw: int) -> None:
    met = Volume(h, w, 3)
    expected = (len(range(0, h, sh)), len(range(0, w, sw)), 5)
    for option in "abc":
        layer = Shortcut(filters=5, stride=Pair(sh, sw), option=option)
        volume = met
        for each in layer.expand(met):
            volume = each.volume(volume)
        assert volume == layer.volume(met) == expected


@pytest.mark.parametrize(
    ("filters", "stride", "option", "kinds"),
    [
        (3, 1, "a", ["id"]),
        (3, 1, "b", ["id"]),
        (3, 1, "c", ["conv", "bn"]),
        (8, 1, "a", ["shortcut"]),
        (8, 1, "b", ["conv", "bn"]),
        (3, 2, "a", ["shortcut"]),
        (8, 2, "b", ["conv", "bn"]),
        (8, 2, "c", ["conv", "bn"]),
        (2, 2, "b", ["conv", "bn"]),
    ],
)
def test_options_of_a_shortcut(filters: int, stride: int, option: str, kinds: list[str]) -> None:
    layer = Shortcut(filters=filters, stride=stride, option=option)
    assert [each.kind for each in layer.expand(Volume(8, 8, 3))] == kinds


def test_option_a_drops_no_channels() -> None:
    with pytest.raises(Misfit, match="cannot narrow"):
        Shortcut(filters=2, stride=1, option="a").volume(Volume(8, 8, 3))


# -- joins


def test_add() -> None:
    assert Add().join([Volume(4, 5, 3)] * 3) == (4, 5, 3)
    with pytest.raises(Misfit):
        Add().join([Volume(4, 5, 3), Volume(4, 5, 4)])


def test_mul() -> None:
    assert Mul().join([Volume(4, 5, 3)] * 2) == (4, 5, 3)
    assert Mul().join([Volume(1, 1, 3), Volume(4, 5, 3), Volume(4, 5, 1)]) == (4, 5, 3)
    assert Mul().join([Volume(1, 5, 3), Volume(4, 1, 1)]) == (4, 5, 3)
    with pytest.raises(Misfit, match="differ in more than sides of 1"):
        Mul().join([Volume(4, 5, 3), Volume(1, 1, 4)])


def test_concat() -> None:
    assert Concat().join([Volume(4, 5, 3), Volume(4, 5, 1), Volume(4, 5, 3)]) == (4, 5, 7)
    with pytest.raises(Misfit):
        Concat().join([Volume(4, 5, 3), Volume(5, 4, 3)])


# -- kinds and their settings


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_each_kind_can_be_read(kind: str) -> None:
    """Messages show the first words of the docstring as an example."""
    word = re.findall(r"`([^`]+)`", KINDS[kind].__doc__ or "")[0]
    fits = []
    for side in (14, 15, 16):
        with suppress(DoesNotFit):
            fits.append(Network.parse(f"[{side}x{side}x64] {word}"))
    assert fits
    assert word.startswith(kind)


def test_kinds_are_under_their_names() -> None:
    assert all(each.kind == name for name, each in {**KINDS, **JOINS}.items())
    assert not set(KINDS) & set(JOINS)
    assert all(re.fullmatch("[a-z]+[0-9]?", name) for name in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_do_not_change(kind: str) -> None:
    needed = {
        name: 0.5 if isinstance(each.metadata["form"], Real) else 1
        for name, each in settings_of(KINDS[kind]).items()
        if each.default is MISSING
    }
    if kind == "take":
        needed = {"channels": (0,)}
    layer = KINDS[kind](**needed)
    assert layer == KINDS[kind](**needed)
    assert hash(layer) == hash(KINDS[kind](**needed))
    with pytest.raises(FrozenInstanceError):
        layer.kind = "other"


@pytest.mark.parametrize(
    ("form", "taken", "refused"),
    [
        (Whole(), [(1, 1), (2**31 - 1, 2**31 - 1)], [0, -1, 2**31, 1.0, "1", True, None]),
        (Whole(0, 5), [(0, 0), (5, 5)], [-1, 6]),
        (
            Extent(),
            [(3, Pair(3, 3)), ((7, 1), Pair(7, 1)), (Pair(1, 2), Pair(1, 2))],
            [0, (1, 0), (1, 2, 3), 1.5, "3", (True, 1)],
        ),
        (Real(), [(1, 1.0), (-2.5, -2.5)], [float("inf"), float("nan"), "1", True, None]),
        (Real(0, 1), [(0, 0.0), (1, 1.0)], [-0.1, 1.1]),
        (Choice("yes", "no"), [("yes", "yes"), ("NO", "no")], ["maybe", 1, None]),
        (Wholes(), [((0, 2), (0, 2))], [(), (-1,), (0.5,), 3, "0"]),
    ],
)
def test_forms(form: Any, taken: list[tuple[Any, Any]], refused: list[Any]) -> None:
    for value, final in taken:
        assert form.check(value) == final
        assert type(form.check(value)) is type(final)
    for value in refused:
        with pytest.raises(BadSetting, match="takes "):
            form.check(value)


def test_a_layer_checks_its_settings() -> None:
    assert Conv(kernel=3, filters=8).kernel == Pair(3, 3)
    assert Dropout(probability=1).probability == 1.0
    for wrong in ({"kernel": 0}, {"kernel": 3, "filters": 0}, {"kernel": 3, "filters": "8"}):
        with pytest.raises(BadSetting):
            Conv(**{"filters": 8, **wrong})
    with pytest.raises(TypeError):
        Conv(kernel=3)


def test_an_average_pool_has_no_dilation() -> None:
    with pytest.raises(Misfit, match="cannot be dilated"):
        AvgPool(kernel=3, dilation=2).volume(Volume(8, 8, 3))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.5, "0.5"),
        (1.0, "1"),
        (1e-5, "1e-05"),
        (2e6, "2000000.0"),
        (-3.0, "-3"),
        (0.1 + 0.2, None),
    ],
)
def test_real_numbers_are_shown_so_that_they_can_be_read(value: float, shown: str | None) -> None:
    text = Real().show(value)
    assert shown is None or text == shown
    assert float(text) == value
