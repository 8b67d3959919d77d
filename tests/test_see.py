"""Ways of seeing: exact where mathematics says what they give, Captum elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch
from captum import attr
from torch import Tensor, nn

import striate
from striate import see
from striate.data import Images, Preparation, load, prepare
from striate.errors import SeeError
from striate.layers import Volume
from striate.see import integrated
from striate.see.fields import cut
from striate.see.style import gram

NET = "[12x12x3] conv3-8 bn relu maxpool2 conv3-12 relu avgpool2 fc-5 softmax"
PREPARATION = Preparation(Volume(12, 12, 3), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
BLACK = PREPARATION(torch.zeros(1, 12, 12, 3, dtype=torch.uint8))[0]


def some(count: int = 40) -> Images:
    chance = np.random.default_rng(0)
    pixels = chance.integers(0, 256, (count, 12, 12, 3), dtype=np.uint8)
    return Images(pixels, chance.integers(0, 5, count), tuple("abcde"))


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    made = striate.read(NET).build()
    made.train()
    with torch.no_grad():
        made(torch.randn(64, 3, 12, 12))  # statistics that are not the initial ones
    return made


@pytest.fixture
def images() -> Tensor:
    return PREPARATION(torch.from_numpy(some(3).pixels))


WAYS: dict[str, Callable[[nn.Module, Tensor], object]] = {
    "gradient": lambda model, images: see.gradient(model, images),
    "saliency": lambda model, images: see.saliency(model, images, 1),
    "integrated": lambda model, images: see.integrated_gradients(model, images, BLACK, points=8),
    "guided": lambda model, images: see.guided_backpropagation(model, images),
    "deconvnet": lambda model, images: see.deconvnet(model, images),
    "grad-cam": lambda model, images: see.grad_cam(model, images, "relu2"),
    "occlusion": lambda model, images: see.occlusion(model, images[0], BLACK),
    "filters": lambda model, images: see.filters(model, "conv1").zero_(),
    "maps": lambda model, images: see.maps(model, images, ["conv1", "relu1"]),
    "neuron": lambda model, images: see.neuron(model, images[0], "conv2", 3, 2, 2),
    "patches": lambda model, images: see.top_patches(
        model, striate.read(NET), some(), PREPARATION, "conv2"
    ),
    "codes": lambda model, images: see.codes(model, some(), PREPARATION, "relu2"),
    "preferred": lambda model, images: see.preferred(model, PREPARATION, "conv2", 3, steps=3),
    "inversion": lambda model, images: see.inverted(
        model, images[0], PREPARATION, "conv2", steps=3
    ),
    "dream": lambda model, images: see.dreamed(
        model, images[0], PREPARATION, "conv2", octaves=2, steps=2
    ),
    "style": lambda model, images: see.styled(
        model,
        images[0],
        images[1],
        PREPARATION,
        content_layer="relu2",
        style_layers=["relu1"],
        steps=3,
    ),
    "sanity": lambda model, images: list(see.randomised(model)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("training", [True, False])
def test_looking_changes_nothing(
    model: nn.Module, images: Tensor, way: str, training: bool
) -> None:
    """Weights, buffers, gradients, modes, hooks and all random states, to the bit."""
    model.train(training)
    model(images).sum().backward()
    fired: list[int] = []
    model.conv1.register_forward_hook(lambda *_: fired.append(1))
    before = {name: each.clone() for name, each in model.state_dict().items()}
    slopes = {name: each.grad.clone() for name, each in model.named_parameters()}
    modes = {name: each.training for name, each in model.named_modules()}
    wanted = {name: each.requires_grad for name, each in model.named_parameters()}
    seen, chance, other = images.clone(), torch.get_rng_state(), np.random.get_state()[1].copy()
    WAYS[way](model, images)
    assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())
    assert all(torch.equal(slopes[name], each.grad) for name, each in model.named_parameters())
    assert modes == {name: each.training for name, each in model.named_modules()}
    assert wanted == {name: each.requires_grad for name, each in model.named_parameters()}
    assert torch.equal(seen, images) and not images.requires_grad and images.grad is None
    assert torch.equal(chance, torch.get_rng_state())
    assert (other == np.random.get_state()[1]).all()
    assert not fired, "the hooks of whoever trains are not called"


@pytest.mark.parametrize("way", WAYS)
def test_looking_gives_the_same_in_training_and_with_relus_in_place(
    model: nn.Module, images: Tensor, way: str
) -> None:
    """Batch normalisation in training would take the batch's own statistics."""
    other = deepcopy(model).train()
    for each in other.modules():
        if isinstance(each, nn.ReLU):
            each.inplace = True
    found, again = WAYS[way](model.eval(), images), WAYS[way](other, images)
    if isinstance(found, Tensor):
        assert torch.equal(found, again)
    elif isinstance(found, dict):
        assert all(torch.equal(found[name], again[name]) for name in found)
    elif way == "neuron":
        assert found.output == again.output and torch.equal(found.patch, again.patch)
    elif way == "patches":
        assert found == again
    elif way == "codes":
        assert (found == again).all()


def test_a_gradient_is_captums(model: nn.Module, images: Tensor) -> None:
    expected = attr.Saliency(model.eval()).attribute(images.clone().requires_grad_(), 2, abs=False)
    torch.testing.assert_close(see.gradient(model, images, 2), expected)
    torch.testing.assert_close(see.saliency(model, images, 2), expected.abs().amax(dim=1))


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_guided_backpropagation_and_the_deconvnet_are_captums(
    model: nn.Module, images: Tensor
) -> None:
    model.eval()
    for ours, theirs in (
        (see.guided_backpropagation, attr.GuidedBackprop),
        (see.deconvnet, attr.Deconvolution),
    ):
        expected = theirs(model).attribute(images.clone().requires_grad_(), target=2)
        torch.testing.assert_close(ours(model, images, 2), expected)


def test_a_relu_that_ends_at_six_leads_back_where_it_was_between() -> None:
    """As the gradient does, without what is below 0; the deconvnet looks at the gradient alone."""
    model = striate.read("[1x5x1] scale(1) relu6 conv1x5-1(pad=0, bias=no)").build()
    with torch.no_grad():
        model.conv1.weight[:] = torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0])
    images = torch.tensor([[[[-1.0, 2.0, 5.0, 7.0, 3.0]]]])
    assert see.guided_backpropagation(model, images, 0).flatten().tolist() == [0, 1, 1, 0, 0]
    assert see.deconvnet(model, images, 0).flatten().tolist() == [1, 1, 1, 1, 0]
    torch.testing.assert_close(model(images), torch.tensor([[10.0]]))


def test_without_a_relu_the_deconvnet_is_the_gradient(images: Tensor) -> None:
    plain = striate.read("[12x12x3] conv3-4 tanh fc-5 softmax").build()
    torch.testing.assert_close(see.deconvnet(plain, images, 0), see.gradient(plain, images, 0))


def test_a_relu_that_is_a_function_is_refused(images: Tensor) -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 12)

        def forward(self, volume: Tensor) -> Tensor:
            return torch.relu(self.conv(volume)).flatten(1)

    with pytest.raises(SeeError, match="1 of the network's ReLUs are functions"):
        see.guided_backpropagation(Functional(), images)


def test_integrated_gradients_are_captums_and_add_up(model: nn.Module, images: Tensor) -> None:
    """Completeness: what they add up to is the difference of the scores (proposition 1)."""
    found = see.integrated_gradients(model, images, BLACK, 1, points=256)
    expected = attr.IntegratedGradients(model.eval()).attribute(
        images, BLACK[None], target=1, n_steps=256
    )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        difference = model(images)[:, 1] - model(BLACK[None])[:, 1]
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), difference, rtol=0.02, atol=0.02)


def test_however_many_points_are_taken_at_once_the_sum_is_the_same(
    model: nn.Module, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = see.integrated_gradients(model, images, BLACK, points=20)
    monkeypatch.setattr(integrated, "AT_ONCE", 7)
    torch.testing.assert_close(see.integrated_gradients(model, images, BLACK, points=20), whole)


def test_black_is_not_zero_once_pixels_are_normalised(model: nn.Module, images: Tensor) -> None:
    zero = see.integrated_gradients(model, images, torch.zeros_like(BLACK))
    assert not torch.allclose(zero, see.integrated_gradients(model, images, BLACK))


def test_occlusion_of_a_linear_network_is_its_weights_times_what_was_covered() -> None:
    linear = striate.read("[6x6x1] fc-3 softmax").build()
    image, baseline = torch.randn(1, 6, 6), torch.full((1, 6, 6), -0.5)
    found = see.occlusion(linear, image, baseline, 1, size=1, stride=1)
    expected = linear.fc1.weight[1].view(6, 6) * (image - baseline)[0]
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-5)


def test_occlusion_is_captums(model: nn.Module, images: Tensor) -> None:
    """Captum shares a square's difference out among pixels: of squares side by side, each once."""
    found = see.occlusion(model, images[0], BLACK, 2, size=4, stride=4)
    whole = attr.Occlusion(model.eval()).attribute(
        images[:1], (3, 4, 4), strides=(3, 4, 4), baselines=BLACK[None], target=2
    )
    torch.testing.assert_close(found, whole[0, 0, ::4, ::4], rtol=1e-3, atol=1e-4)


def test_grad_cam_is_captums(model: nn.Module, images: Tensor) -> None:
    theirs = attr.LayerGradCam(model.eval(), model.relu2)
    expected = theirs.attribute(images, 2)[:, 0].detach()
    torch.testing.assert_close(see.grad_cam(model, images, "relu2", 2, rectified=False), expected)
    torch.testing.assert_close(see.grad_cam(model, images, "relu2", 2), expected.clamp(min=0))


def test_grad_cam_of_a_global_pool_and_a_linear_layer_is_cam(images: Tensor) -> None:
    """Zhou et al. 2015: the maps weighed by the class's weights, over the number of positions."""
    net = striate.read("[12x12x3] conv3-6 relu avgpool fc-5 softmax").build().eval()
    maps = net.relu1(net.conv1(images))
    expected = torch.einsum("k,nkhw->nhw", net.fc1.weight[2], maps).detach() / 144
    for positions in (False, True):
        found = see.grad_cam(net, images, "relu1", 2, rectified=False, positions=positions)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    "net",
    [
        "[12x12x3] conv4-8/2(pad=1) fc-5 softmax",
        "[12x12x3] conv3-8(pad=0, dilation=2) relu fc-5 softmax",
        "[12x12x3] conv1-6 conv3-8/3(pad=0, groups=2) fc-5 softmax",
    ],
)
def test_a_neuron_is_the_dot_product_of_patch_and_filter(net: str, images: Tensor) -> None:
    model = striate.read(net).build().eval()
    name = "conv2" if "conv1-6" in net else "conv1"
    _, _, height, width = see.maps(model, images, [name])[name].shape
    for row in range(height):
        for column in range(width):
            found = see.neuron(model, images[0], name, 7, row, column)
            assert found.value == pytest.approx(found.output, abs=1e-4)
            assert found.patch.shape == found.weights.shape


def test_a_fully_connected_unit_is_a_neuron_too(model: nn.Module, images: Tensor) -> None:
    found = see.neuron(model, images[0], "fc1", 2)
    assert found.value == pytest.approx(found.output, abs=1e-4)
    assert found.value == pytest.approx(model.eval()(images)[0, 2].item(), abs=1e-4)


@pytest.mark.parametrize("layer", ["conv1", "maxpool1", "conv2"])
def test_the_patch_that_excites_a_unit_gives_the_same_value_by_itself(layer: str) -> None:
    """The offset of a receptive field: strides, paddings and pools come in."""
    network = striate.read("[12x12x3] conv4-4/2(pad=1) relu maxpool2 conv2-6(pad=0) fc-5 softmax")
    model, images = network.build(), some()
    prepared = PREPARATION(torch.from_numpy(images.pixels))
    found = see.top_patches(model, network, images, PREPARATION, layer, count=5)
    whole = see.maps(model, prepared, [layer])[layer]
    for unit, patches in enumerate(found):
        best = whole[:, unit].flatten(1).amax(dim=1).sort(descending=True).values[:5]
        torch.testing.assert_close(torch.tensor([each.value for each in patches]), best)
        for patch in patches:
            inner = patch.box.top >= 0 and patch.box.left >= 0
            if not inner or patch.box.bottom > 12 or patch.box.right > 12:
                continue
            alone = torch.zeros_like(prepared[:1])
            rows = slice(patch.box.top, patch.box.bottom)
            columns = slice(patch.box.left, patch.box.right)
            alone[0, :, rows, columns] = prepared[patch.image, :, rows, columns]
            again = see.maps(model, alone, [layer])[layer][0, unit, patch.row, patch.column]
            assert float(again) == pytest.approx(patch.value, abs=1e-5)


def test_what_is_cut_beyond_the_border_is_zero() -> None:
    image = torch.arange(1.0, 10).view(1, 3, 3)
    found = cut(image, see.Box(-1, 1, 2, 5))
    assert found[0].tolist() == [[0, 0, 0, 0], [2, 3, 0, 0], [5, 6, 0, 0]]


def test_a_preferred_image_excites_its_unit_more_than_grey_does(model: nn.Module) -> None:
    grey = PREPARATION(torch.full((1, 12, 12, 3), 128, dtype=torch.uint8))
    made = see.preferred(model, PREPARATION, "conv2", 3, steps=60)
    both = see.maps(model, torch.stack([grey[0], made]), ["conv2"])["conv2"][:, 3]
    middle = both[:, both.shape[1] // 2, both.shape[2] // 2]
    assert middle[1] > middle[0] + 0.5
    assert torch.equal(made, see.preferred(model, PREPARATION, "conv2", 3, steps=60))
    assert (made >= BLACK - 1e-6).all(), "no pixel is darker than black"


def test_the_inversion_of_the_input_is_the_image(model: nn.Module, images: Tensor) -> None:
    assert torch.equal(see.inverted(model, images[0], PREPARATION, None), images[0])


def test_an_inversion_gives_the_layer_nearly_the_same_values(
    model: nn.Module, images: Tensor
) -> None:
    made = see.inverted(model, images[0], PREPARATION, "conv1", smooth=0)
    wanted, found = see.maps(model, torch.stack([images[0], made]), ["conv1"])["conv1"]
    assert (found - wanted).norm() < 0.1 * wanted.norm()


def test_a_dream_has_more_of_what_the_layer_sees(model: nn.Module, images: Tensor) -> None:
    made = see.dreamed(model, images[0], PREPARATION, "relu2")
    before, after = see.maps(model, torch.stack([images[0], made]), ["relu2"])["relu2"]
    assert after.square().mean() > 1.5 * before.square().mean()


def test_how_images_are_normalised_does_not_matter_to_those_that_are_made() -> None:
    """The same network on pixels of 0 to 1, and on those less their mean in levels of 0 to 255."""
    torch.manual_seed(0)
    network = striate.read("[12x12x3] conv3-8 relu conv3-8 relu fc-4 softmax")
    here = network.build()
    there = deepcopy(here)
    there.conv1.weight.data /= 255
    plain = Preparation(network.input, (0.0,) * 3, (1.0,) * 3)
    levels = Preparation(network.input, (0.0,) * 3, (1 / 255,) * 3)
    image = torch.rand(3, 12, 12)
    for way in (
        lambda model, image, preparation: see.preferred(model, preparation, "conv2", 3, steps=30),
        lambda model, image, preparation: see.inverted(
            model, image, preparation, "conv2", steps=30
        ),
        lambda model, image, preparation: see.dreamed(
            model, image, preparation, "conv2", octaves=2
        ),
    ):
        one, other = way(here, image, plain), way(there, 255 * image, levels) / 255
        torch.testing.assert_close(other, one, atol=1e-3, rtol=0)


def test_an_image_in_its_own_style_is_a_fixed_point(model: nn.Module, images: Tensor) -> None:
    names = {"content_layer": "relu2", "style_layers": ["relu1"], "smooth": 0, "steps": 5}
    made = see.styled(model, images[0], images[0], PREPARATION, **names)
    torch.testing.assert_close(made, images[0], atol=1e-5, rtol=0)


def test_a_styled_image_is_nearer_to_the_style(model: nn.Module, images: Tensor) -> None:
    names = {"content_layer": "relu2", "style_layers": ["relu1", "relu2"]}
    made = see.styled(model, images[0], images[1], PREPARATION, **names, steps=50)
    relu = see.maps(model, torch.stack([images[0], images[1], made]), ["relu1"])["relu1"]
    content, style, found = (gram(each[None]) for each in relu)
    assert (found - style).norm() < 0.5 * (content - style).norm()


def test_neighbours_are_the_nearest_by_angle() -> None:
    among = np.array([[1, 0], [0, 2], [3, 3.1], [-1, 0]], dtype=np.float32)
    found = see.neighbours(np.array([[10, 0.1], [0.9, 1]], dtype=np.float32), among, 2)
    assert found.tolist() == [[0, 2], [2, 1]]


# What was learned. Thresholds are between what three seeds gave.


@pytest.fixture(scope="module")
def learned() -> tuple[nn.Module, Tensor, Images]:
    """A ConvNet that has learned digits, and some of them."""
    network = striate.read(
        "[8x8x1] conv3-16 relu conv3-16 relu maxpool2 conv3-32 relu fc-10 softmax"
    )
    splits = load("digits", input=network.input)
    preparation = prepare(network, splits)
    torch.manual_seed(0)
    model = network.build()
    images = preparation(splits.train.pixels)
    labels = torch.from_numpy(splits.train.labels)
    climber = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(12):
        for some in torch.randperm(len(labels)).split(64):
            climber.zero_grad()
            nn.functional.cross_entropy(model(images[some]), labels[some]).backward()
            climber.step()
    return model, preparation(splits.test.pixels), splits.test


def _kept(way: Callable[[nn.Module], Tensor], model: nn.Module) -> list[float]:
    """How alike a picture stays as layer after layer is lost, from the last to the first."""
    before = way(model)
    return [
        float(np.mean([see.likeness(a, b) for a, b in zip(before, way(lost), strict=True)]))
        for _, lost in see.randomised(model)
    ]


def test_what_shows_the_decision_changes_with_the_weights_and_the_rest_hardly(
    learned: tuple[nn.Module, Tensor, Images],
) -> None:
    """Adebayo et al. 2018, arXiv:1810.03292, figures 2 and 4, in both directions.

    Over three seeds, once the last layer is lost: gradient 0.17 to 0.21, Grad-CAM 0.20 to 0.34,
    deconvnet 0.42 to 0.49, guided backpropagation 0.78 to 0.84.
    """
    model, images, test = learned
    seen, labels = images[:48], torch.from_numpy(test.labels[:48])
    gradient = _kept(lambda net: see.gradient(net, seen, labels), model)
    cam = _kept(lambda net: see.grad_cam(net, seen, "relu2", labels, rectified=False), model)
    guided = _kept(lambda net: see.guided_backpropagation(net, seen, labels), model)
    deconv = _kept(lambda net: see.deconvnet(net, seen, labels), model)
    assert max(gradient) < 0.3 and max(cam) < 0.38
    assert deconv[0] > 0.38 and guided[0] > 0.65 and guided[-1] > 0.38


def test_neighbours_by_codes_are_of_one_class_more_often_than_by_pixels(
    learned: tuple[nn.Module, Tensor, Images],
) -> None:
    model, images, test = learned
    found = see.averaged(see.maps(model, images, ["fc1"])["fc1"])
    pixels = see.averaged(images.flatten(1))
    pure = [
        (test.labels[see.neighbours(each, each, 6)[:, 1:]] == test.labels[:, None]).mean()
        for each in (found, pixels)
    ]
    assert pure[0] > pure[1]


def test_a_map_keeps_classes_together_and_is_the_same_for_the_same_seed(
    learned: tuple[nn.Module, Tensor, Images],
) -> None:
    model, images, test = learned
    found = see.averaged(see.maps(model, images, ["relu3"])["relu3"])
    places = see.flat_map(found, seed=3)
    assert (places == see.flat_map(found, seed=3)).all()
    distances = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    nearest = distances.argsort(axis=1)[:, 1:6]
    assert (test.labels[nearest] == test.labels[:, None]).mean() > 0.85


def test_what_is_asked_for_and_is_not_there_is_named(model: nn.Module, images: Tensor) -> None:
    with pytest.raises(SeeError, match=r"no layer 'conv3': did you mean conv"):
        see.grad_cam(model, images, "conv3")
    with pytest.raises(SeeError, match="there is no class 9: the network tells 5 apart"):
        see.gradient(model, images, 9)
    with pytest.raises(SeeError, match="conv2 has no unit 12: they go from 0 to 11"):
        see.neuron(model, images[0], "conv2", 12)
    with pytest.raises(SeeError, match="maxpool1 has no filters: it is a MaxPool2d"):
        see.filters(model, "maxpool1")
    with pytest.raises(SeeError, match="a square of 20 every 4 does not fit an image of 12x12"):
        see.occlusion(model, images[0], BLACK, size=20)
    with pytest.raises(SeeError, match="3 images are too few for a map: it takes 4"):
        see.flat_map(np.zeros((3, 2), dtype=np.float32))


def test_a_layer_of_a_head_that_is_only_trained_with_cannot_be_seen() -> None:
    net = striate.read("[8x8x1] a: conv3-4 fc-3 softmax\nhead aux from @a: fc-3 softmax")
    name = next(step.name for part in net.expansion.heads.values() for step in part.steps())
    with pytest.raises(SeeError, match="takes no part in predicting"):
        see.maps(net.build(), torch.zeros(1, 1, 8, 8), [name])


def test_a_fully_connected_layers_weights_are_templates_of_what_it_meets() -> None:
    """CS231n, linear-classify: a score is the image's product with its class's template."""
    network = striate.read("[6x4x3] fc-5 softmax")
    model, image = network.build(), torch.rand(1, 3, 6, 4)
    (step,) = (each for each in network.steps if each.name == "fc1")
    templates = see.filters(model, "fc1", step.met)
    products = (templates * image).sum(dim=(1, 2, 3)) + model.fc1.bias
    assert torch.allclose(products, model(image)[0], atol=1e-6)
