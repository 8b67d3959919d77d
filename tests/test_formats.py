"""What leaves answers as the model does: every kind of layer, any network, ONNX and Python."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import onnx
import pytest
import strategies
import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from shipped import model_of
from strategies_layers import EVERY, layers, texts, volumes

from striate.foreign import session_of
from striate.layers import JOINS, FullyConnected
from striate.network import Network, read
from striate.ship.choice import images
from striate.ship.engines import SCORES
from striate.ship.formats import answer_of
from striate.ship.model import Model, Whole
from striate.ship.onnx_file import OPERATORS
from striate.ship.onnx_graph import to_onnx
from striate.ship.onnx_layers import WRITERS as IN_ONNX
from striate.ship.python_layers import WRITERS as IN_PYTHON
from striate.ship.python_source import to_python

few = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
EITHER = st.one_of(texts(), strategies.texts())
NOTHING = {"dropout", "id"}  # when a network predicts


def said(model: Model) -> tuple[np.ndarray, list[np.ndarray]]:
    """What is said of images by the model; by ONNX, folded and not; by Python."""
    pixels = images(model.volume, 3)
    written = [to_onnx(model, "{}", fold=fold) for fold in (True, False)]
    for each in written:  # whoever reads the file takes no others
        assert {node.op_type for node in onnx.load_from_string(each).graph.node} <= OPERATORS
    session = [session_of(each, 1) for each in written]
    answers = [each.run([SCORES], {"pixels": pixels})[0] for each in session]
    source = to_python(model, "weights.safetensors")
    space: dict[str, object] = {"__name__": "exported", "__file__": "exported.py"}
    exec(compile(source.text, "exported.py", "exec"), space)
    space["load_file"] = lambda path: dict(source.tensors)
    with torch.inference_mode():
        answers.append(space["load"]()(torch.from_numpy(pixels))[1].numpy())
    wanted = answer_of(Whole(model))([pixels])[0][1]
    return wanted, answers


def check(model: Model, tolerance: float = 2e-5) -> None:
    wanted, answers = said(model)
    for found in answers:
        assert found.shape == wanted.shape
        assert_allclose(relative(found, wanted), relative(wanted, wanted), rtol=0, atol=tolerance)


def relative(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return found / max(1.0, np.abs(wanted[np.isfinite(wanted)]).max(initial=0))


def steady(model: Model) -> bool:
    """Whether rounding stays rounding: normalisations of little, one after another, blow it up."""
    pixels = images(model.volume, 3)
    wanted = answer_of(Whole(model))([pixels])[0][1]
    whole = Whole(model, deepcopy(model.module))
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in (whole.shift, *whole.network.parameters()):
            each *= 1 + 1e-6 * torch.randn(each.shape, generator=noise)
    moved = answer_of(whole)([pixels])[0][1]
    return np.allclose(relative(moved, wanted), relative(wanted, wanted), 0, 1e-4, equal_nan=True)


def test_every_kind_has_its_entry() -> None:
    every = {*EVERY, *JOINS} - NOTHING
    assert {each.kind for each in IN_ONNX} == {each.kind for each in IN_PYTHON} == every


@pytest.mark.parametrize("kind", sorted(EVERY))
@few
@given(data=st.data())
def test_each_kind_of_layer(kind: str, data: st.DataObject) -> None:
    """As the only layer, on a volume or behind a fully connected one."""
    met = data.draw(volumes(2, 9))
    before = [FullyConnected(units=met.depth)] if data.draw(st.booleans()) else []
    at = met._replace(height=1, width=1) if before else met
    layer = data.draw(layers(at, {kind}))
    check(model_of(Network.of(met, *before, layer)))


@settings(few, max_examples=40)
@example(text="[2x2x2] deconv1-2/1(extra=1, dilation=2) relu")
@example(text="[3x3x2] lrn(3, alpha=0) lrn(3, beta=0) lrn(1, alpha=0, beta=0)")
@example(
    text="[4x4x2] scale(-1) pad(1) maxpool3 tanh pad(0, end=1) maxpool2/1(pad=1) pad(4) avgpool3"
)
@example(text="[6x3x3] pad(2) softmax layernorm pad(1) shuffle(3) relu")
@example(text="[3x3x2] deconv2-2/2(pad=1, extra=2, dilation=3, groups=2) id")
@given(text=EITHER)
def test_any_network(text: str) -> None:
    """With blocks, branches, labels that are recalled, heads; flat volumes and others.

    Words in any order may subtract large numbers from each other, which rounds away more digits.
    """
    model = model_of(read(text))
    assume(steady(model))
    check(model, tolerance=1e-3)


@pytest.mark.parametrize("border", [-3, 0, 1, 4])
@pytest.mark.parametrize("mean_image", [False, True])
def test_images_are_cut_or_centred_and_normalised(border: int, mean_image: bool) -> None:
    check(model_of("[8x8x3] conv3-4 bn relu fc-5", border=border, mean_image=mean_image))


@pytest.mark.parametrize(
    "name", ["lenet5", "lenet-caffe", "resnet20", "resnet20-c", "airbench", "convnetjs-cifar10"]
)
def test_networks_of_the_zoo(name: str) -> None:
    """All of them, in every format: `make export-parity`."""
    check(model_of(name))
