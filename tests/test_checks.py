"""Every published figure in tests/facts, against the network of the zoo or the text it is about.

A fact is a dictionary with its source. No fact may go untested and no figure in it unread: `about`
and the last test see to that.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import Any

import pytest

from striate import recipes, zoo
from striate.account import Account, account
from striate.errors import DoesNotFit
from striate.layers import Volume
from striate.network import Network, read
from striate.recipes import Recipe
from striate.schedules import factor
from striate.steps import Part, Step
from striate.tree import Script

TEXTUAL = {"id", "kind", "network", "layer", "op", "source", "basis", "note", "formula", "stated"}


class Fact(dict[str, Any]):
    """A fact that remembers which of its figures a test has looked at."""

    def __init__(self, known: dict[str, Any]) -> None:
        super().__init__(known)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    @property
    def figures(self) -> list[str]:
        return [key for key in self if key not in TEXTUAL]

    @property
    def subject(self) -> str:
        return str(self["id"]).split("/")[0]

    @property
    def kind(self) -> str:
        """Some facts about stages are filed under layers."""
        kind = str(self["kind"])
        return "stage" if kind == "layer" and "blocks" in self else kind


FILES = sorted((Path(__file__).parent / "facts").glob("*.json"))
FACTS = [Fact(each) for path in FILES for each in json.loads(path.read_text("utf-8"))]
TESTED: list[str] = []


def about(start: str = "", kind: str = "") -> Callable[[Callable[[Fact], None]], Any]:
    """Runs a test once for each fact whose id starts so, or which is of this kind."""
    chosen = [f for f in FACTS if f["id"].startswith(start) and kind in ("", f.kind)]
    TESTED.extend(f["id"] for f in chosen)

    def decorate(test: Callable[[Fact], None]) -> Any:
        @wraps(test)
        def run(fact: Fact) -> None:
            test(fact)
            assert set(fact.figures) <= fact.read, "some figures were not looked at"

        return pytest.mark.parametrize("fact", chosen, ids=[f["id"] for f in chosen])(run)

    return decorate


# -- the networks that the facts speak of

RENAMED = {
    "alexnet-paper": "alexnet",
    "alexnet-owt": "alexnet-one-weird-trick",
    "vgg-a": "vgg11",
    "vgg-a-lrn": "vgg11-lrn",
    "vgg-b": "vgg13",
    "vgg-c": "vgg16-c",
    "vgg-d": "vgg16",
    "vgg-e": "vgg19",
    "googlenet-with-aux": "googlenet",
    "linear-cifar10": "linear-classifier",
    "mlp2-cifar10-h100": "two-layer",
}
HEADS = {"googlenet-aux-4a": "aux1", "googlenet-aux-4d": "aux2"}


@cache
def network_of(subject: str) -> Network:
    """The network with whose name a fact's id starts."""
    if subject in HEADS:
        return head(zoo.read("googlenet"), HEADS[subject])
    if filters := re.fullmatch(r"alphago-policy-k(\d+)", subject):
        return read(zoo.text("alphago-policy").replace("192", filters[1]))
    if subject == "bn-inception-literal":
        return bn_inception_as_printed()
    if subject in RENAMED:
        return zoo.read(RENAMED[subject])
    name = subject.replace("-b-v1.5", "-torchvision").replace("-cifar", "")
    if name.startswith("resnet"):  # the option of the paper goes without saying
        name = name.removesuffix("-a" if "-cifar" in subject else "-b")
    return zoo.read(subject if subject in zoo.names() else name)


def head(network: Network, name: str) -> Network:
    """A further output by itself, from the volume at which it starts."""
    script = next(each for each in network.script.heads if each.name == name)
    start = network.steps[network.expansion.labels[script.label]].volume
    return Network(Script(start, script.body, network.script.blocks))


def bn_inception_as_printed() -> Network:
    """Projections to 128 in 4c and 4d, and the volumes that follow from them."""
    text = zoo.text("bn-inception")
    text = re.sub(r"(_4[cd]: .*), +96\)( +\[14x14x)576", r"\1, 128)\g<2>608", text)
    return read(re.sub(r"(_4e: .*)1024", r"\g<1>1056", text))


@cache
def account_of(network: Network) -> Account:
    return account(network)


# -- the lines of the published tables

UNLISTED = {"relu", "scaledtanh", "softmax", "add", "id", "flatten", "shortcut"}
KIND_OF_OPERATION = {
    "conv": "conv",
    "max": "maxpool",
    "avg": "avgpool",
    "global": "avgpool",
    "fully": "fc",
    "local": "lrn",
    "contrast": "lrn",
    "dropout": "dropout",
    "subsample": "subsample",
    "depth": "concat",
    "10": "rbf",
}


@dataclass(frozen=True)
class Line:
    """What one line of a published table is about: a layer with the bn behind it, or all of C3."""

    network: Network
    steps: tuple[Step, ...]

    @property
    def layer(self) -> Any:
        return self.steps[0].layer

    @property
    def kind(self) -> str:
        return "conv" if self.layer.kind == "take" else str(self.layer.kind)

    @property
    def met(self) -> Volume:
        """The volume it starts from; of a concat, the one that its branches do."""
        inside = (s for s in self.network.steps if s.name.startswith(f"{self.steps[0].name}."))
        return next(inside, self.steps[0]).met

    @property
    def volume(self) -> Volume:
        return self.steps[-1].volume

    @property
    def connections(self) -> int:
        """As LeCun et al. 1998 count: a bias is one; a subsampling unit has inputs and a bias."""
        if self.kind == "subsample":
            return self.volume.size * (self.layer.window_size(self.met) + 1)
        return self.sum("macs") + (self.volume.size if self.sum("biases") else 0)

    def sum(self, what: str) -> int:
        found = account_of(self.network)
        return sum(getattr(found.row(step), what) for step in self.steps)

    def field(self, what: str) -> int:
        field = account_of(self.network).row(self.steps[0]).field
        height, width = (getattr(axis, what) for axis in (field.height, field.width))
        assert height == width
        return int(height)


def lines(network: Network) -> list[Line]:
    """The steps of a network as the published tables list them."""
    found: list[list[Step]] = []
    for step in network.main.steps():
        within_c3 = found and step.name.startswith("c3") and found[-1][0].name.startswith("c3")
        if step.layer.kind == "bn" or within_c3:
            found[-1].append(step)
        elif step.layer.kind not in UNLISTED:
            found.append([step])
    return [Line(network, tuple(steps)) for steps in found]


@cache
def table(subject: str) -> dict[str, Line]:
    """The lines of a network by the ids of the facts about them: kind by kind, in order, all."""
    facts = [f for f in FACTS if f.subject == subject and f.kind == "layer"]
    kinds = [KIND_OF_OPERATION[re.split(r"\W", f.get("op", "depth"))[0]] for f in facts]
    listed = [line for line in lines(network_of(subject)) if line.kind in kinds]
    assert [line.kind for line in listed] == kinds
    return {f["id"]: line for f, line in zip(facts, listed, strict=True)}


FIGURES: dict[str, Callable[[Line], Any]] = {
    "input": lambda line: list(line.met),
    "output": lambda line: list(line.volume),
    "weights": lambda line: line.sum("weights"),
    "biases": lambda line: line.sum("biases"),
    "bn_params": lambda line: line.sum("biases"),
    "params": lambda line: line.sum("parameters"),
    "macs": lambda line: line.sum("macs"),
    "activations": lambda line: line.sum("activations"),
    "connections": lambda line: line.connections,
    "kernel": lambda line: [slide.kernel for slide in line.layer.slides(line.met)],
    "stride": lambda line: line.layer.slides(line.met)[0].stride,
    "padding": lambda line: line.layer.padding(line.met).height,
    "groups": lambda line: line.layer.groups,
    "filters": lambda line: line.layer.filters,
    "channels": lambda line: line.met.depth,
    "inputs": lambda line: line.met.size,
    "units": lambda line: line.layer.units,
    "bias": lambda line: line.layer.bias != "no",
    "pool": lambda line: line.kind.removesuffix("pool"),
    "ceil": lambda line: line.layer.rounding == "ceil",
    "receptive_field": lambda line: line.field("size"),
    "jump": lambda line: line.field("jump"),
    "dot_product_length": lambda line: line.sum("weights") // line.layer.filters,
    "params_per_filter": lambda line: line.sum("parameters") // line.layer.filters,
}


@about(kind="layer")
def test_layer(fact: Fact) -> None:
    if fact.subject == "perceptron":
        line = lines(read(f"[20x20x1] fc-{fact.get('units', 1)}"))[0]
    else:
        line = table(fact.subject)[fact["id"]]
    for key in fact.figures:
        assert FIGURES[key](line) == fact[key], key


@about(kind="total")
def test_total(fact: Fact) -> None:
    network = network_of(fact.subject)
    totals = account_of(network).totals
    found: dict[str, int] = {
        "weights": totals.weights,
        "biases_and_bn": totals.biases,
        "params": totals.parameters,
        "macs": totals.macs,
    }
    if fact.subject == "googlenet-with-aux":
        found |= {"params": totals.parameters_with_heads, "macs": totals.macs_with_heads}
    if fact.subject == "bn-inception-literal":
        before_bn = [step for step in network.steps if getattr(step.layer, "bias", "") == "no"]
        found["params_without_conv_biases"] = totals.parameters
        found["params"] += sum(step.volume.depth for step in before_bn)
        for module in ("4c", "4d", "4e"):
            step = network.steps[network.expansion.labels[f"inception_{module}"]]
            found[f"channels_{module}"] = step.volume.depth
    for key in fact.figures:
        assert found[key] == fact[key], key


@about(kind="stage")
def test_stage(fact: Fact) -> None:
    network = network_of(fact.subject)
    members = stages(network)[fact["layer"]]
    steps = [step for each in members for step in steps_of(each)]
    rows = [account_of(network).row(step) for step in steps]
    found = {
        "output": list(steps[-1].volume),
        "weights": sum(row.weights for row in rows),
        "params": sum(row.parameters for row in rows),
        "macs": sum(row.macs for row in rows),
        "blocks": len(members),
    }
    for key in fact.figures:
        assert found[key] == fact[key], key


def steps_of(child: Step | Part) -> list[Step]:
    return [child] if isinstance(child, Step) else list(child.steps())


def stages(network: Network) -> dict[str, list[Step | Part]]:
    """A ResNet by the names of its paper's table 1; blocks go by their output size."""
    by_size = {56: "conv2_x", 28: "conv3_x", 14: "conv4_x", 7: "conv5_x"}
    by_kind = {"conv": "conv1", "maxpool": "pool1", "avgpool": "avgpool", "fc": "fc"}
    found: dict[str, list[Step | Part]] = {}
    name = ""
    for child in network.main.children:
        if isinstance(child, Part):
            name = by_size[steps_of(child)[-1].volume.height]
        else:
            name = by_kind.get(child.layer.kind, name)  # bn and relu belong to what they follow
        found.setdefault(name, []).append(child)
    return found


# The receptive field before the global pool or the first fully connected layer. AlexNet, VGG-16
# and the ResNets with the stride in the first 1x1: Araujo, Norris and Sim 2019 (Distill), in their
# table of networks. The others by r <- r + (F - 1) j, j <- j S.
@pytest.mark.parametrize(
    ("name", "size"),
    {
        "alexnet-one-weird-trick": 195,
        "vgg16": 212,
        "resnet50": 483,
        "resnet101": 1027,
        "resnet152": 1507,
        "resnet50-torchvision": 427,
        "resnet101-torchvision": 971,
        "resnet152-torchvision": 1451,
        "resnet18": 435,
        "resnet34": 899,
    }.items(),
)
def test_final_receptive_field(name: str, size: int) -> None:
    rows = account_of(zoo.read(name)).rows
    spatial = [row for row in rows if row.volume[:2] != (1, 1)]
    assert spatial[-1].field.size == (size, size)


# -- worked examples, each written as a text


def side(text: str) -> int:
    height, width, _ = read(text).output
    assert height == width
    return height


def conv(n: int, kernel: int, stride: int, padding: int, *options: str) -> str:
    return f"[{n}x{n}x1] conv{kernel}-1/{stride}({', '.join([f'pad={padding}', *options])})"


@about("example/output-size/")
def test_output_size(fact: Fact) -> None:
    sizes = fact["n"], fact["kernel"], fact["stride"], fact["padding"]
    if fact["fits"]:
        assert side(conv(*sizes)) == fact["exact"]
    else:
        with pytest.raises(DoesNotFit, match=rf"= {fact['exact']:.2f}\b"):
            read(conv(*sizes))
    assert side(conv(*sizes, "floor")) == fact["floor"]
    assert side(conv(*sizes, "ceil")) == fact["ceil"]


@about("example/same-padding/")
def test_same_padding(fact: Fact) -> None:
    kernel, padding = fact["kernel"], fact["padding"]
    assert side(f"[32x32x1] conv{kernel}-1") == side(conv(32, kernel, 1, padding)) == 32


@about("example/wrong-sign")
def test_the_sign_of_the_padding(fact: Fact) -> None:
    w, k, p, s = (fact[each] for each in "WKPS")
    values = {"(W-K-2P)/S+1": (w - k - 2 * p) / s + 1, "(W-K+2P)/S+1": (w - k + 2 * p) / s + 1}
    assert values[fact["printed"]] == fact["printed_value"]
    assert values[fact["corrected"]] == fact["corrected_value"] == side(conv(w, k, s, p))


LAYERS = {
    "32x32x3-10-5x5-p2": "[32x32x3] conv5-10",
    "6-5x5x3": "[32x32x3] conv5-6(pad=0)",
    "10-5x5x6": "[28x28x6] conv5-10(pad=0)",
    "1x1-64-32": "[56x56x64] conv1-32",
    "brain-view-5-filters": "[32x32x3] conv5-5(pad=0)",
    "32-5x5x3-first-layer": "[32x32x3] conv5-32",
    "alexnet-conv1": "[227x227x3] conv11-96/4(pad=0)",
    "first-fc": "[6x6x256] fc-4096",
    "fc-fc": "[1x1x4096] fc-1000",
    "3x3-depth3-depth8": "[28x28x3] conv3-8",
}


@about("example/conv-params/")
def test_parameters_of_a_layer(fact: Fact) -> None:
    name = fact["id"].split("/")[-1]
    if name == "stack3x3-vs-7x7":
        compare_stack_with_single(fact)
        return
    line = lines(read(LAYERS[name]))[0]
    found = {key: FIGURES[key](line) for key in fact.figures if key in FIGURES}
    if name == "3x3-depth3-depth8":
        found["output_same"], found["macs_same"] = list(line.volume), line.sum("macs")
        found["output_valid"] = list(read("[28x28x3] conv3-8(pad=0)").output)
        found["output_valid_stride2"] = list(read("[28x28x3] conv3-8/2(pad=0, floor)").output)
    assert found == {key: fact[key] for key in fact.figures}


def compare_stack_with_single(fact: Fact) -> None:
    texts = ("[32x32x10] (conv3-10)*3", "[32x32x10] conv7-10")
    stack, single = (account(read(text)).totals.weights for text in texts)
    assert [f"{each // 10**2} C^2" for each in (stack, single)] == [fact["stack"], fact["single"]]
    assert single / stack == pytest.approx(fact["ratio"], abs=1e-4)
    assert 100 * (single / stack - 1) == pytest.approx(fact["extra_percent"], abs=0.05)
    assert fact["channels"] == "C"


@about("example/flatten")
def test_flatten(fact: Fact) -> None:
    assert read(f"[{Volume(*fact['input'])}] flatten").output == (1, 1, fact["length"])


@about("example/receptive-field/")
def test_receptive_field_of_a_stack(fact: Fact) -> None:
    rows = account(read(f"[32x32x1] (conv{fact['kernel']}-1)*{fact['layers']}")).rows
    assert rows[-1].field.size == (fact["receptive_field"],) * 2


@about("example/pool-summary")
def test_common_pools(fact: Fact) -> None:
    for kernel, stride in fact["common"]:
        pool = read(f"[12x12x4] maxpool{kernel}/{stride}(floor)")
        assert pool.output.height == (12 - kernel) // stride + 1
        assert account(pool).totals.parameters == fact["params"]


@about("example/randwire/node-")
def test_separable_convolution(fact: Fact) -> None:
    c = fact["channels"]
    network = read(f"[8x8x{c}] conv3-{c}(groups={c}, bias=no) conv1-{c} bn")
    _, depthwise, pointwise, norm = account(network).rows
    assert (depthwise.weights, depthwise.biases) == (fact["depthwise_weights"], 0)
    assert (pointwise.weights, pointwise.biases) == (fact["pointwise_weights"], 0)
    assert depthwise.weights + pointwise.weights == fact["weights"]
    assert norm.parameters == fact["bn_params"]


@about("example/googlenet-separable-conv1")
def test_first_layer_of_googlenet_read_as_separable(fact: Fact) -> None:
    text = "[224x224x3] conv7-24/2(groups=3, floor, bias=no) conv1-64(bias=no)"
    _, depthwise, pointwise = account(read(text)).rows
    assert (depthwise.weights, pointwise.weights) == (fact["depthwise"], fact["pointwise"])
    assert depthwise.weights + pointwise.weights == fact["weights"]
    assert depthwise.macs + pointwise.macs == fact["macs"]
    assert fact["weights"] / 1024 == pytest.approx(fact["over_1024"], abs=0.005)
    plain = table("googlenet")["googlenet/conv1"]
    assert (plain.sum("weights"), plain.sum("macs")) == (fact["plain_weights"], fact["plain_macs"])


# -- worked values, through the module that a text builds


def values(text: str, given: Any, training: bool = False, weight: Any = None) -> Any:
    """What the one layer of a text makes of an image, or of a batch of them."""
    import torch

    network = read(text)
    height, width, depth = network.input
    module = network.build().train(training)
    if weight is not None:
        module.get_parameter("conv1.weight").data[0, 0] = torch.tensor(weight)
    images = torch.tensor(given, dtype=torch.float32).reshape(-1, depth, height, width)
    return module(images).detach().squeeze().tolist()


@about("example/max-pool")
def test_values_of_a_max_pool(fact: Fact) -> None:
    assert values("[4x4x1] maxpool2", fact["input"]) == fact["output"]


@about("example/average-pool")
def test_values_of_an_average_pool(fact: Fact) -> None:
    assert values("[4x4x1] avgpool2", fact["input"]) == fact["output"]


@about("example/cross-correlation-vs-convolution")
def test_convolution_is_cross_correlation(fact: Fact) -> None:
    text, kernel = "[4x4x1] conv3-1(pad=0, bias=no)", fact["kernel"]
    flipped = [row[::-1] for row in kernel[::-1]]
    assert values(text, fact["input"], weight=kernel) == fact["cross_correlation"]
    assert values(text, fact["input"], weight=flipped) == fact["convolution"]


@about("example/scaled-tanh/")
def test_values_of_the_scaled_tanh(fact: Fact) -> None:
    found = values("[1x1x1] scaledtanh", fact["x"])
    assert found == pytest.approx(fact["value"], abs=1e-6)


@about("example/lrn/")
def test_values_of_local_response_normalisation(fact: Fact) -> None:
    """The notation has the paper's alpha; a library's, which it divides by n, is n times larger."""
    alpha = fact["alpha"] / (fact["n"] if fact["alpha_divided_by_n"] else 1)
    options = f"{fact['n']}, alpha={alpha}, beta={fact['beta']}, k={fact['k']}"
    assert values(f"[1x1x6] lrn({options})", fact["a"]) == pytest.approx(fact["b"], rel=1e-6)


@about("example/batch-norm")
def test_values_of_batch_normalisation(fact: Fact) -> None:
    x, mean, variance = fact["x"], fact["mean"], fact["biased_variance"]
    text = f"[1x1x1] bn(eps={fact['epsilon']})"
    assert values(text, x, training=True) == pytest.approx(fact["normalised"], rel=1e-6)
    assert fact["affine"] == "gamma=1, beta=0"
    squares = sum((each - mean) ** 2 for each in x)
    assert (squares / len(x), squares / (len(x) - 1)) == (variance, fact["unbiased_variance"])


# -- counts over whole networks


def count(network: Network, *kinds: str, projections: bool) -> int:
    """Layers of these kinds in the network itself, in shortcuts or outside them."""
    found = [step for step in network.main.steps() if step.layer.kind in kinds]
    return sum(("branch2" in step.name.split(".")) == projections for step in found)


def blocks(network: Network) -> int:
    return sum(isinstance(child, Part) for child in network.main.children)


def weight_layers(network: Network) -> int:
    return count(network, "conv", "fc", projections=False)


@about("example/vgg-depths")
def test_depths_of_vgg(fact: Fact) -> None:
    for letter in fact.figures:
        assert weight_layers(network_of(f"vgg-{letter.lower()}")) == fact[letter]


@about("example/resnet-depths")
def test_depths_of_resnets(fact: Fact) -> None:
    for depth in fact.figures:
        assert weight_layers(zoo.read(f"resnet{depth}")) == fact[depth]


@about("example/resnet-cifar-depths")
def test_depths_of_cifar_resnets(fact: Fact) -> None:
    for n in fact.figures:
        network = zoo.read(f"resnet{fact[n]}")
        assert (f"n={blocks(network) // 3}", weight_layers(network)) == (n, fact[n])


@about("example/resnet-conv-counts-with-projections")
def test_convolutions_with_projections(fact: Fact) -> None:
    for depth in fact.figures:
        network = zoo.read(f"resnet{depth}")
        found = [count(network, "conv", projections=each) for each in (False, True)]
        assert sum(found) == fact[depth]


@about("example/resnet34-projections")
def test_projections_of_resnet34(fact: Fact) -> None:
    b, c = (count(zoo.read(name), "conv", projections=True) for name in ("resnet34", "resnet34-c"))
    assert blocks(zoo.read("resnet34")) == fact["blocks"]
    assert (b, c, c - b) == (fact["option_b"], fact["option_c"], fact["extra_in_c"])


@about("example/lenet-c3-table")
def test_connection_table_of_c3(fact: Fact) -> None:
    takes = [step.layer.channels for step in zoo.read("lenet5").steps if step.layer.kind == "take"]
    assert [list(maps) for maps in takes] == fact["s2_maps_of_each_c3_map"]
    assert not fact["rows_are_s2_maps"]
    assert sum(map(len, takes)) == fact["links"]
    fed = [sum(s2 in maps for maps in takes) for s2 in range(6)]
    assert fed == 6 * [fact["c3_maps_fed_by_each_s2_map"]]


@about("example/lenet-connections")
def test_connections_of_lenet5(fact: Fact) -> None:
    found = {each.split("/")[1]: line.connections for each, line in table("lenet5").items()}
    found["total"] = sum(found.values())
    found["trainable"] = account_of(network_of("lenet5")).totals.parameters
    assert found == {key: fact[key] for key in fact.figures}


@about("example/alexnet-neurons")
def test_neurons_of_alexnet(fact: Fact) -> None:
    units = [line for line in lines(zoo.read("alexnet")) if line.kind in ("conv", "fc")]
    first, *others = (line.volume.size for line in units)
    names = ("conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
    assert (first, others) == (fact["conv1_recomputed"], [fact[name] for name in names])
    assert first + sum(others) == fact["sum_recomputed"]
    assert fact["conv1_stated"] + sum(others) == fact["sum_stated"]
    assert fact["input_stated"] == Volume(224, 224, 3).size


@about("example/alphago-planes")
def test_planes_of_alphago(fact: Fact) -> None:
    planes = [fact[each] for each in fact.figures if each != "total"]
    assert zoo.read("alphago-policy").input.depth == fact["total"] == sum(planes)


@about("example/vgg16-activation-memory")
def test_memory_of_vgg16(fact: Fact) -> None:
    rows, totals = account_of(zoo.read("vgg16")).rows, account_of(zoo.read("vgg16")).totals
    for kind in ("input", "conv", "pool", "fc"):
        values = sum(row.activations for row in rows if row.kind.endswith(kind))
        assert values == fact[f"{kind}_values"]
    assert totals.activations == fact["total_values"]
    assert totals.activation_bytes == fact["bytes_float32"]
    apart = sum(row.volume.size for row in rows if row.kind == "relu")
    assert totals.activations + apart == fact["with_separate_relu_buffers"]
    assert fact["stated_total"] == "24M values, 93MB"  # the slide's own sum, which does not follow


# -- training: update rules, first weights, recipes, views

RULES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum": {"momentum": "mu"},
    "nesterov": {"momentum": "mu"},
    "adagrad": {"epsilon": "eps"},
    "rmsprop": {"memory": "decay", "epsilon": "eps"},
    "adam": {"momentum": "b1", "memory": "b2", "epsilon": "eps"},
    "adadelta": {"memory": "rho", "epsilon": "eps"},
}


@about("example/update-rule/")
def test_five_steps_down_a_parabola(fact: Fact) -> None:
    """Exact to the digits given; Adadelta has no rate, which is a rate of 1."""
    import torch

    from striate.rules import optimiser

    rule, given = str(fact["id"]).split("/")[-1], fact["hyperparameters"]
    knobs = {knob: given[name] for knob, name in RULES[rule].items()}
    rate = fact["learning_rate"] or 1.0
    recipe = Recipe(rule=rule, learning_rate=rate, weight_decay=0, **knobs)
    model = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
    torch.nn.init.constant_(model.weight, fact["w0"])
    ours = optimiser(model, recipe)
    assert (fact["objective"], fact["precision"]) == (
        "f(w) = w^2/2, gradient w",
        "12 significant digits",
    )
    for expected in fact["w_after_steps_1_to_5"]:
        ours.zero_grad()
        (model.weight**2 / 2).sum().backward()
        ours.step()
        assert model.weight.item() == pytest.approx(expected, rel=1e-10)


@about("example/init/")
def test_deviations_of_the_first_weights(fact: Fact) -> None:
    """What a layer draws with; a uniform distribution's bound is sqrt(3) deviations."""
    import torch
    from torch import nn

    from striate.initialise import INITIALISATIONS, fans

    sizes = re.split(r"\D+", str(fact["id"]).split("/")[-1].removeprefix("fc-"))
    with torch.device("meta"):
        if "/fc-" in fact["id"]:
            layer: nn.Conv2d | nn.Linear = nn.Linear(*map(int, sizes))
        else:
            kernel, _, depth, filters = map(int, sizes)
            layer = nn.Conv2d(depth, filters, kernel)
    assert fans(layer) == (fact["fan_in"], fact["fan_out"])
    found: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.init, "normal_", lambda *given: found.append(given[-1]))
        for scheme in ("he", "xavier", "fan-in"):
            INITIALISATIONS[scheme](layer)
    he, glorot, lecture = found
    stated = (fact["he_std"], fact["glorot_std"], fact["cs231n_xavier_std"])
    assert (he, glorot, lecture) == pytest.approx(stated, rel=1e-7)
    limits = fact["glorot_uniform_limit"], fact["caffe_xavier_uniform_limit"]
    assert (3**0.5 * glorot, 3**0.5 * lecture) == pytest.approx(limits, rel=1e-7)


RECIPES = {
    "recipe/alexnet": ("alexnet-2012", "alexnet"),
    "recipe/zfnet": ("zfnet-2013", "zfnet"),
    "recipe/vgg": ("vgg-2014", "vgg16"),
    "recipe/googlenet": ("googlenet-2014", "googlenet"),
    "recipe/resnet-imagenet": ("resnet-2015", "resnet50"),
    "recipe/resnet-cifar": ("resnet-cifar-2015", "resnet20"),
    "recipe/lenet5": ("lenet-1998", "lenet5"),
    "recipe/convnetjs-cifar10": ("convnetjs-cifar10", "convnetjs-cifar10"),
    "recipe/alphago-policy": ("alphago-policy-2016", "alphago-policy"),
}
IN_RECIPE: dict[str, Callable[[Recipe, Fact], Any]] = {
    "optimizer": lambda recipe, fact: recipe.rule,
    "batch": lambda recipe, fact: recipe.batch,
    "epochs": lambda recipe, fact: recipe.epochs,
    "passes": lambda recipe, fact: recipe.epochs,
    "momentum": lambda recipe, fact: recipe.momentum,
    "rho": lambda recipe, fact: recipe.memory,
    "eps": lambda recipe, fact: recipe.epsilon,
    "weight_decay": lambda recipe, fact: recipe.weight_decay,
    "l2_decay": lambda recipe, fact: recipe.weight_decay * recipe.batch,  # it divides by the batch
    "learning_rate": lambda recipe, fact: recipe.learning_rate,
    "lr_drop_factor": lambda recipe, fact: 1 / recipe.knob("factor"),
    "lr_factor": lambda recipe, fact: recipe.factor,
    "lr_every_epochs": lambda recipe, fact: recipe.knob("every") * recipe.epochs,
    "lr_drops_at": lambda recipe, fact: [fact["iterations"] * each for each in recipe.milestones],
    "halve_every": lambda recipe, fact: recipe.knob("every") * fact["steps"],
    "init_std": lambda recipe, fact: {"small": 0.01}[recipe.initialisation],
    "resize": lambda recipe, fact: recipe.resize,
    "resize_range": lambda recipe, fact: list(recipe.scale),
    "colour_pca_std": lambda recipe, fact: recipe.lighting,
    "filter_rms_limit": lambda recipe, fact: recipe.max_rms,
    "polyak_averaging": lambda recipe, fact: recipe.average is not None,
    "aux_loss_weight": lambda recipe, fact: recipe.auxiliary_weight,
    "crop_area": lambda recipe, fact: list(recipe.area),
    "crop_aspect": lambda recipe, fact: list(recipe.aspect),
    "pad": lambda recipe, fact: recipe.shift,
    "shift_max": lambda recipe, fact: recipe.shift,
    "flip": lambda recipe, fact: recipe.flip == "random",
    "flip_probability": lambda recipe, fact: {"random": 0.5}[recipe.flip],
}


@about("recipe/")
def test_published_recipe(fact: Fact) -> None:
    """A number is the paper's, or comes to it in the units that the paper uses."""
    name, its_network = RECIPES[fact["id"]]
    recipe, network = recipes.read(name), zoo.read(its_network)
    dropped = dropouts(network.main.steps())
    found = {
        "dropout": dropped,
        "dropout_main": dropped,
        "dropout_aux": dropouts(network.steps[len(list(network.main.steps())) :]),
        "crop": network.input.height,
        "schedule": fact.get("schedule") and lecun_passes(recipe, fact["schedule"]),
        # A run is of whole epochs of 50,000 images of CIFAR, or 1.28 million of ImageNet.
        "iterations": recipe.epochs * (50_000 if recipe.shift else 1_280_000) / recipe.batch,
        "steps": recipe.epochs * 8 * 28_400_000 / recipe.batch,  # eight symmetries of positions
    }
    for key in fact.figures:
        value = IN_RECIPE[key](recipe, fact) if key in IN_RECIPE else found[key]
        if key in ("optimizer", "schedule"):
            assert value == fact[key], key
        else:
            exact = key not in ("iterations", "steps", "crop_aspect")
            assert value == pytest.approx(fact[key], rel=1e-9 if exact else 3e-3), key


def dropouts(steps: Iterable[Step]) -> float:
    """The one probability that they have."""
    found = {step.layer.probability for step in steps if step.layer.kind == "dropout"}
    return found.pop() if len(found) == 1 else 0.0


def lecun_passes(recipe: Recipe, schedule: list[list[float]]) -> list[list[float]]:
    """Passes with each global rate, to which the recipe's rate is in proportion."""
    passes = [factor(recipe, (each + 0.5) / recipe.epochs) for each in range(recipe.epochs)]
    rates = [schedule[0][1] * each for each in passes]
    return [[sum(math.isclose(each, rate) for each in rates), rate] for _, rate in schedule]


ARITHMETIC = {
    "alexnet-iterations": ("alexnet-2012", "iterations", "epochs"),
    "vgg-epochs": ("vgg-2014", "iterations", "epochs_stated"),
    "resnet-epochs": ("resnet-2015", "iterations", "epochs"),
    "resnet-cifar-epochs": ("resnet-cifar-2015", "iterations", "epochs"),
    "alphago-passes": ("alphago-policy-2016", "steps", "passes_over_augmented"),
    "caffe-googlenet-lr": ("googlenet-2014", "stepsize", "epochs_per_drop"),
}


@about("example/recipe-arithmetic/")
def test_lengths_of_published_runs(fact: Fact) -> None:
    """Steps times the batch are epochs times the images; the recipe has as many, in whole ones."""
    name, steps, epochs = ARITHMETIC[str(fact["id"]).split("/")[-1]]
    recipe = recipes.read(name)
    counts = ("images", "images_implied", "positions", "symmetries")
    images = math.prod(fact[key] for key in counts if key in fact)
    assert fact[steps] * fact["batch"] / images == pytest.approx(fact[epochs], rel=1e-5)
    assert recipe.batch == fact["batch"]
    if steps == "stepsize":
        assert recipe.knob("every") * recipe.epochs == pytest.approx(fact[epochs])
        assert recipe.factor == fact["gamma"]
        return
    assert recipe.epochs == round(fact[epochs])
    if "first_drop_epoch" in fact:
        drops = [fact["first_drop_epoch"], fact["second_drop_epoch"]]
        assert [each * fact[epochs] for each in recipe.milestones or ()] == pytest.approx(drops)
    if "step_size_halvings" in fact:
        assert factor(recipe, 1.0) == 0.5 ** fact["step_size_halvings"]


@about("example/ten-crop")
def test_ten_crops(fact: Fact) -> None:
    import torch

    from striate.data import Preparation
    from striate.evaluate.views import VIEWS

    preparation = Preparation(Volume(4, 4, 1), (0.0,), (1.0,))
    views = VIEWS["10"](torch.zeros(1, 6, 6, 1, dtype=torch.uint8), preparation)
    assert len(views) == fact["total"] == fact["patches"] * fact["mirrors"]


@about("example/alexnet-augmentation")
def test_crops_of_alexnet(fact: Fact) -> None:
    """The paper counts 32 offsets a side where 256 - 224 leaves 33."""
    assert distinct_crops() == fact["distinct_crops_33x33x2"] == 2 * 33**2
    assert fact["stated_factor"] == fact["offsets_32x32x2"] == 2 * 32**2


def distinct_crops() -> int:
    """The places that a crop of 224x224 out of 256x256 may have, times the mirror images."""
    import numpy as np
    import torch

    from striate.data.augment.geometry import cropped

    columns = torch.arange(256.0)[:, None].expand(33 * 8, 224, 256, 1)
    draws = np.linspace(0, 1, 33 * 8, endpoint=False)[:, np.newaxis].repeat(2, axis=1)
    return 2 * len(set(cropped(columns, draws, (224, 224))[:, 0, 0, 0].tolist())) ** 2


@about("example/top-k")
def test_top_1_and_top_5(fact: Fact) -> None:
    import torch

    from striate.evaluate.scores import classes_before

    names = sorted(fact["scores_order"])
    scores = torch.tensor([[-float(fact["scores_order"].index(each)) for each in names]])
    before = int(classes_before(scores, torch.tensor([names.index(fact["label"])])))
    assert (before < 1, before < 5) == (fact["top1_correct"], fact["top5_correct"])


# -- errata: what comes out where something else was printed


def parameters(name: str) -> int:
    return account_of(zoo.read(name)).totals.parameters


def macs(name: str) -> int:
    return account_of(zoo.read(name)).totals.macs


def row(name: str, step: str) -> Any:
    found = account_of(zoo.read(name))
    return next(each for each in found.rows if each.name == step)


def module(name: str) -> tuple[str, int]:
    """Weights and MACs of one of GoogLeNet's modules, the weights in its paper's units too."""
    rows = [each for each in account_of(zoo.read("googlenet")).rows if each.name.startswith(name)]
    weights = sum(each.weights for each in rows)
    return f"{weights:,} weights = {weights / 1024:.1f} x 1024", sum(each.macs for each in rows)


def fits_somehow(width: int) -> bool:
    """Whether any padding makes a 5x5 convolution at stride 2 fit."""
    for padding in range(8):
        try:
            return bool(read(conv(width, 5, 2, padding)))
        except DoesNotFit:
            continue
    return False


def memory_of_vgg16() -> str:
    totals = account_of(zoo.read("vgg16")).totals
    size = totals.activation_bytes
    return f"{totals.activations:,} values, {size / 1e6:.2f} MB ({size / 2**20:.1f} MiB)"


def vgg16_macs() -> dict[str, int]:
    rows = account_of(zoo.read("vgg16")).rows
    return {"conv only": sum(r.macs for r in rows if r.kind == "conv"), "with FC": macs("vgg16")}


def depth_of_4c_as_printed() -> int:
    network = bn_inception_as_printed()
    return network.steps[network.expansion.labels["inception_4c"]].volume.depth


CORRECTED: dict[str, Callable[[], Any]] = {
    "vgg-memory": memory_of_vgg16,
    "valid-3x3": lambda: side(conv(28, 3, 1, 0)),
    "stride2-valid": lambda: side(conv(28, 3, 2, 0, "floor")),
    "googlenet-5m": lambda: parameters("googlenet"),
    "googlenet-12x": lambda: {
        f"against {parameters(name):,}": round(parameters(name) / parameters("googlenet"), 2)
        for name in ("alexnet", "alexnet-lecture")
    },
    "googlenet-2x-compute": lambda: {
        "grouped AlexNet": round(macs("googlenet") / macs("alexnet"), 2),
        "single-stream AlexNet": round(macs("googlenet") / macs("alexnet-lecture"), 2),
    },
    "googlenet-no-fc": lambda: row("googlenet", "fc1").parameters,
    "alexnet-input": lambda: zoo.read("alexnet").input.height,
    "alexnet-conv1-neurons": lambda: row("alexnet", "conv1").volume.size,
    "alexnet-total": lambda: parameters("alexnet"),
    "alexnet-filters": lambda: row("alexnet", "conv1").volume.depth,
    "resnet-paper-vgg16-flops": vgg16_macs,
    "googlenet-conv1-params": lambda: "{0.weights:,} weights, {0.macs:,} MACs".format(
        row("googlenet", "conv1")
    ),
    "googlenet-4c-params": lambda: module("inception_4c")[0],
    "googlenet-5a": lambda: "{}; {:,} MACs".format(*module("inception_5a")),
    "bn-inception-4c-4d": depth_of_4c_as_printed,
    "alexnet-augmentation": distinct_crops,
    "resnet-weight-decay": lambda: recipes.read("resnet-2015").weight_decay,
    "even-stride2-padding": lambda: (
        "" if any(map(fits_somehow, range(6, 40, 2))) else "no integer P fits an even input"
    ),
}


@about("erratum/")
def test_erratum(fact: Fact) -> None:
    assert CORRECTED[fact["id"].split("/")[1]]() == fact["corrected"]


def test_no_fact_is_left_out() -> None:
    assert sorted(TESTED) == sorted(fact["id"] for fact in FACTS)
