"""Memory: what autograd really keeps, and the peaks against a simulation made differently."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import strategies
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies_layers import EVERY, SETTINGS, fitting, text_of, texts, volumes
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from striate.account import parse_memory
from striate.build import build
from striate.errors import StriateError
from striate.layers import KINDS, Mul, Saved, Volume
from striate.network import Network, read
from striate.steps import INPUT, Step

quick = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def images(network: Network, batch: int) -> Tensor:
    """A batch of noise that the network takes."""
    height, width, depth = network.input
    return torch.randn(batch, depth, height, width)


def kept_by_autograd(network: Network, batch: int) -> int:
    """Bytes that a training pass leaves for the backward pass, weights and buffers apart."""
    module = build(network).train()
    own = {each.untyped_storage().data_ptr() for each in (*module.parameters(), *module.buffers())}
    kept: list[Tensor] = []

    def pack(saved: Tensor) -> Tensor:
        kept.append(saved)  # alive to the end, so that no two storages have the same address
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        module(images(network, batch))
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in kept}
    return sum(size for address, size in storages.items() if address not in own)


def kept_by_us(network: Network, batch: int) -> int:
    """The same from the table: the rows' bytes for each image, and what each batch keeps once."""
    totals = network.account().totals
    buffers = sum(step.layer.buffers(step.met) for step in network.steps)
    return batch * totals.kept_bytes + totals.fixed_bytes - 4 * buffers


# -- what is kept for the backward pass


@quick
@given(st.one_of(texts(), strategies.texts()), st.integers(2, 3))
def test_kept_bytes(text: str, batch: int) -> None:
    """Byte for byte what autograd keeps, over generated networks."""
    network = Network.parse(text)
    assert kept_by_us(network, batch) == kept_by_autograd(network, batch)


FAMILIAR = {
    "vgg": "[16x16x3] (conv3-8 relu)*2 maxpool2 (conv3-16 relu)*2 maxpool2"
    " (fc-32 relu dropout(0.5))*2 fc-10 softmax",
    "residual": "basic(k, s=1) = add(conv3-k/s(floor) bn relu conv3-k bn | shortcut-k/s) relu\n"
    "[16x16x3] conv3-8 bn relu basic(8)*2 basic(16, s=2) basic(16) avgpool fc-10 softmax",
    "option a": "basic(k, s=1) = add(conv3-k/s(floor) bn relu conv3-k bn | shortcut-k/s(a)) relu\n"
    "[16x16x3] conv3-8 bn relu basic(8) basic(16, s=2) avgpool fc-10 softmax",
    "pre-activation": "pre(k) = add(bn relu conv3-k bn relu conv3-k | id)\n"
    "[16x16x3] conv3-8 pre(8)*3 bn relu avgpool fc-10 softmax",
    "inception": "inception(a, b, c) = concat(conv1-a relu | conv1-b relu conv3-c relu"
    " | conv1-b relu conv5-c relu | maxpool3/1(pad=1) conv1-a relu)\n"
    "[16x16x3] conv3-8 relu lrn x: inception(4, 3, 5) maxpool3/2(ceil) inception(8, 4, 6)"
    " avgpool dropout(0.4) fc-10 softmax\n"
    "head aux from @x: avgpool5/3(floor) conv1-8 relu fc-20 relu dropout(0.7) fc-10 softmax",
    "squeeze and excitation": "[8x8x3] conv3-8 bn relu"
    " add(conv3-8 bn mul(id | avgpool conv1-2 relu conv1-8 sigmoid) | id) relu avgpool fc-10",
    "three factors": "[8x8x3] mul(id | conv3-3 | avgpool conv1-3 | conv1-1) mul(fc-1 | fc-4) fc-10",
    "nothing learns in two": "[8x8x3] mul(id | tanh | conv3-3) mul(avgpool | id | sigmoid) fc-10",
    "dense": "[8x8x3] conv3-4 concat(id | bn relu conv3-4) concat(id | bn relu conv3-4) fc-10",
    "alexnet": "[19x19x3] conv5-8/2(pad=0) relu lrn maxpool3/2(floor) conv3-8(groups=2) relu"
    " maxpool3/2(ceil) fc-20 relu dropout(0.5) fc-10 softmax",
}


@pytest.mark.parametrize("name", [*FAMILIAR, "lenet-caffe", "resnet20", "convnetjs-cifar10"])
def test_kept_bytes_of_familiar_networks(name: str) -> None:
    """Byte for byte what autograd keeps, for the designs of the lectures."""
    network = Network.parse(FAMILIAR[name]) if name in FAMILIAR else read(name)
    assert kept_by_us(network, 2) == kept_by_autograd(network, 2)


def test_kept_bytes_of_lenet5(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table counts C3 as its branches; training them as one convolution keeps less."""
    network = read("lenet5")
    assert kept_by_us(network, 2) > kept_by_autograd(network, 2)
    monkeypatch.setattr("striate.build._partial", lambda branches: False)
    assert kept_by_us(network, 2) == kept_by_autograd(network, 2)


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        # [6x4x8] is 192 values; what conv1-8 before and fc-2 behind keep is taken off
        ("relu", "its output, which the next layer keeps too"),
        ("dropout(0.5)", "a mask"),
        ("dropout(0)", "nothing"),
        ("dropout(1)", "nothing"),
        ("maxpool2", "its input, and a winner for each output"),
        ("avgpool2", "its input"),
        ("avgpool", "nothing"),
        ("bn", "its input"),
        ("leakyrelu", "its input"),
        ("gelu", "its input"),
        ("gelu(tanh)", "its input"),
        ("relu6", "its input"),
        ("elu", "its input"),
        ("mish", "its input"),
        ("hardsigmoid", "its input"),
        ("hardswish", "its input"),
        ("layerscale", "its input"),
        ("layernorm", "its input, a mean and a deviation for each position"),
        ("groupnorm(4)", "its input, a mean and a deviation for each group"),
        ("tanh", "its output, which the next layer keeps too"),
        ("sigmoid", "its output, which the next layer keeps too"),
        ("scaledtanh", "the tanh before it is scaled"),
        ("scale(2)", "nothing"),
        ("id", "nothing"),
        ("flatten", "nothing"),
        ("pad(1)", "nothing"),
        ("upsample2", "nothing"),
        ("take(0, 1)", "nothing"),
        ("slice(0, 2)", "nothing"),
        ("shuffle(2)", "nothing"),
        ("pad(0, end=1)", "nothing"),
        ("shortcut-9(a)", "nothing"),
        ("lrn(5)", "its input, neighbours, sums and powers"),
    ],
)
def test_what_each_kind_keeps(word: str, kept: str) -> None:
    """What one layer adds to what its neighbours keep, in words and in bytes."""
    network = Network.parse(f"[6x4x3] conv1-8(bias=no) {word} fc-2(bias=no)")
    assert kept_by_us(network, 2) == kept_by_autograd(network, 2)
    rows = network.account().rows
    behind = rows[2].volume.size  # fc keeps what it meets
    expected = {
        "nothing": 0,
        "a mask": 192,
        "its input": 192,
        "its input, a mean and a deviation for each position": 192 + 2 * 6 * 4,
        "its input, a mean and a deviation for each group": 192 + 2 * 4,
        "its output, which the next layer keeps too": 0,
        "its input, and a winner for each output": 192 + 2 * 48,  # of 8 bytes
        "the tanh before it is scaled": 192,
        "its input, neighbours, sums and powers": 192 + 6 * 4 * 12 + 2 * 192,
    }[kept]
    if word in ("dropout(0)", "id", "flatten"):
        expected = 0  # the next layer keeps conv's own output
    total = sum(row.kept for row in rows)
    assert total == 4 * (6 * 4 * 3 + expected + behind)


@settings(quick, max_examples=12)
@given(st.data())
def test_kept_by_every_kind(data: st.DataObject) -> None:
    """Each kind between two learning layers, and each as the first layer of all."""
    for kind in sorted(EVERY):
        met = data.draw(volumes(2, 6, 3))
        drawn = SETTINGS[kind](data.draw, met) if kind in SETTINGS else {}
        layer = fitting(KINDS[kind](**drawn), met)
        if layer is None:
            continue
        word = text_of(layer)
        for text in (f"[{met}] conv1-{met.depth} {word} fc-2", f"[{met}] {word} fc-2"):
            network = Network.parse(text)
            assert kept_by_us(network, 2) == kept_by_autograd(network, 2), text


def test_what_learns_nothing_keeps_nothing() -> None:
    """Before the first weight there is no gradient, so that nothing is kept for it."""
    network = Network.parse("[8x8x3] tanh maxpool2 lrn conv3-4 relu")
    kept = {row.name: row.kept for row in network.account().rows}
    assert kept == {
        "input": 0,
        "tanh1": 0,
        "maxpool1": 0,
        "lrn1": 4 * 48,
        "conv1": 0,
        "relu1": 4 * 64,
    }


def test_weights_gradients_and_optimiser_state() -> None:
    """Momentum keeps one further value for each weight, Adam two, plain descent none."""
    network = read("lenet5")
    weights = 4 * network.account().totals.parameters
    for optimiser, copies in (("sgd", 0), ("momentum", 1), ("adam", 2)):
        totals = network.account(optimiser=optimiser).totals
        assert totals.weight_bytes == totals.gradient_bytes == weights
        assert totals.optimiser_bytes == copies * weights
    with pytest.raises(StriateError, match="there is no optimiser 'magic'"):
        network.account(optimiser="magic")


def test_half_precision_halves() -> None:
    """Two bytes for each value halve everything but the winners of max pools."""
    network = Network.parse("[8x8x3] conv3-8 relu maxpool2 conv3-4 bn relu fc-3")
    full, half = network.account().totals, network.account(precision="bfloat16").totals
    winners = 8 * 4 * 4 * 8
    assert half.kept_bytes - winners == (full.kept_bytes - winners) // 2
    for name in (
        "activation_bytes",
        "weight_bytes",
        "gradient_bytes",
        "forward_peak_bytes",
        "fixed_bytes",
    ):
        assert getattr(half, name) * 2 == getattr(full, name), name


# -- the peaks, simulated with blocks of memory that are held or not


class Block:
    """A piece of memory."""

    def __init__(self, size: int) -> None:
        self.size = size


def total(blocks: Iterable[Block]) -> int:
    return sum(block.size for block in set(blocks))


def allocate(network: Network, steps: list, training: bool) -> dict[int, Block]:
    """The block in which each step's volume lies; -1 for the input."""
    blocks = {-1: Block(4 * network.input.size)}
    for step in steps:
        same = step.layer.kind in ("id", "flatten") or (
            step.layer.kind == "dropout" and (not training or step.layer.probability == 0)
        )
        blocks[step.index] = blocks[step.inputs[0]] if same else Block(4 * step.volume.size)
    return blocks


def simulated_forward(network: Network, pinned: bool = False) -> int:
    """At every layer, the volumes made so far that it or a later one reads."""
    steps = list(network.main.steps())
    blocks = allocate(network, steps, training=False)
    peak = total([blocks[-1]])
    for now, step in enumerate(steps):
        later = {index for each in steps[now:] for index in each.inputs}
        held = [blocks[index] for index in blocks if index < step.index and index in later]
        if pinned:  # whoever called still holds the images
            held.append(blocks[-1])
        peak = max(peak, total([*held, blocks[step.index]]))
    return peak


def volume_of(network: Network, index: int) -> Volume:
    return network.input if index == INPUT else network.steps[index].volume


def factors(
    network: Network, step: Step, learns: set[int], blocks: dict[int, Block]
) -> tuple[Saved, list[Block]]:
    """What a product keeps: of each multiplication, each side that the other's gradient needs."""
    values, kept, volume = 0, [], volume_of(network, step.inputs[0])
    for at, index in enumerate(step.inputs[1:], 1):
        if learns & set(step.inputs[:at]):
            kept.append(blocks[index])
        if index in learns and at == 1:
            kept.append(blocks[step.inputs[0]])
        elif index in learns:
            values += volume.size
        volume = Mul().join([volume, volume_of(network, index)])
    return Saved(values=values), kept


def simulated_training(network: Network) -> int:
    """Forward with what is saved, then backward, holding exactly what is still to be used."""
    steps = [step for step in network.steps if not network.apart(step)]
    blocks = allocate(network, steps, training=True)
    learns: set[int] = set()
    saved: dict[int, list[Block]] = {}
    for step in steps:
        behind = bool(learns & set(step.inputs))
        if behind or step.layer.parameters(step.met).total:
            learns.add(step.index)
        kept = step.layer.saved(step.met) if behind else step.layer.saved_first(step.met)
        met = [blocks[index] for index in step.inputs] if kept.input else []
        if behind and step.layer.kind == "mul":
            kept, met = factors(network, step, learns, blocks)
        saved[step.index] = [Block(4 * kept.values + 8 * kept.indices), *met]
        saved[step.index] += [blocks[step.index]] if kept.output else []
    peak = total([blocks[-1]])
    for now, step in enumerate(steps):
        later = {index for each in steps[now:] for index in each.inputs}
        held = [blocks[index] for index in blocks if index < step.index and index in later]
        so_far = [block for each in steps[: now + 1] for block in saved[each.index]]
        peak = max(peak, total([*held, *so_far, blocks[step.index]]))
    gradients: dict[Block, Block] = {}
    for now in range(len(steps) - 1, -1, -1):
        step = steps[now]
        still = [block for each in steps[: now + 1] for block in saved[each.index]]
        own = blocks[step.index]
        if step.index not in learns:
            continue
        gradients.setdefault(own, Block(own.size))
        met = {blocks[index] for index in step.inputs if index in learns} - {own}
        if step.layer.kind in ("add", "concat"):
            made = {block: gradients.get(block, gradients[own]) for block in met}
        else:
            made = {block: Block(block.size) for block in met}
        new = list(made.values())
        if step.layer.kind == "mul":  # from the last factor to the first
            *before, last = step.inputs
            first = max((blocks[index] for index in before), key=lambda block: block.size)
            pair = {first} if learns & set(before) else set()
            pair |= {blocks[last]} if last in learns else set()
            new = [Block(block.size) for block in pair]
        peak = max(peak, total([*still, *gradients.values(), *new]))
        gradients |= made
        if all(blocks[index] is not own for index in step.inputs):
            del gradients[own]
    return peak


@quick
@given(st.one_of(texts(), strategies.texts()))
def test_peaks_against_a_simulation(text: str) -> None:
    """The peaks of prediction and training are those of a step-by-step simulation."""
    network = Network.parse(text)
    totals = network.account().totals
    assert totals.forward_peak_bytes == simulated_forward(network)
    assert totals.training_peak_bytes == simulated_training(network)


# -- the peaks of real runs


class Tracker(TorchDispatchMode):
    """Sees every storage that an operation takes or gives, and how much of it is alive at once."""

    def __init__(self, others: Iterable[Tensor]) -> None:
        super().__init__()
        self.others = [each.untyped_storage() for each in others]
        self.apart = {each._cdata for each in self.others}
        self.storages: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def see(self, tensors: Iterable[object]) -> None:
        for each in tensors:
            if isinstance(each, Tensor):
                storage = each.untyped_storage()
                known = self.storages.get(storage._cdata)
                if storage._cdata not in self.apart and (known is None or known[0].expired()):
                    self.storages[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        gone = [address for address, (storage, _) in self.storages.items() if storage.expired()]
        for address in gone:
            del self.storages[address]
        self.peak = max(self.peak, sum(size for _, size in self.storages.values()))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.see(tree_leaves((args, kwargs, result)))
        return result


def measured_prediction(network: Network, batch: int) -> int:
    """The most that is alive in a prediction, weights apart."""
    module = build(network).eval()
    given_images = images(network, batch)
    with torch.no_grad(), Tracker([*module.parameters(), *module.buffers()]) as tracker:
        tracker.see([given_images])
        if network.apart(network.steps[network.expansion.output]):
            module.probabilities(given_images)
        else:
            module(given_images)
    return tracker.peak


def measured_training(network: Network, batch: int) -> int:
    """The most that is alive in a step of training, weights and their own gradients apart."""
    module = build(network).train()
    given_images = images(network, batch)
    parameters = list(module.parameters())
    for each in parameters:
        each.grad = torch.zeros_like(each)
    fixed = [*parameters, *module.buffers(), *(each.grad for each in parameters)]
    with Tracker(fixed) as tracker:
        tracker.see([given_images])
        scores = module(given_images)
        every = scores.values() if isinstance(scores, dict) else [scores]
        loss = sum(each.mul(2).sum() for each in every)
        del scores, every
        if loss.requires_grad:
            loss.backward()
    return tracker.peak


@quick
@given(st.one_of(texts(), strategies.texts()))
def test_real_peaks_are_no_lower(text: str) -> None:
    """A real run holds at least what the table says: the figures are lower bounds.

    But for `subsample`, whose backward pass is two operations: the first lets the sums go.
    """
    network = Network.parse(text)
    totals = network.account().totals
    sums = sum(4 * each.volume.size for each in network.steps if each.layer.kind == "subsample")
    assert measured_prediction(network, 2) >= 2 * totals.forward_peak_bytes
    assert measured_training(network, 2) >= 2 * (totals.training_peak_bytes - sums)


SIMPLE = frozenset(
    {"conv", "fc", "relu", "leakyrelu", "tanh", "sigmoid", "gelu", "silu", "bn", "avgpool", "pad"}
    | {"flatten", "id", "dropout", "scale", "take", "upsample", "softmax"}
    | {"relu6", "elu", "mish", "hardsigmoid", "hardswish", "layerscale", "slice", "shuffle"}
)


@quick
@given(texts(kinds=SIMPLE, nested=False))
def test_real_prediction_of_a_chain(text: str) -> None:
    """A chain of single operations holds exactly that, and the images that its caller holds."""
    network = Network.parse(text)
    if any(
        step.layer.kind == "conv"
        and (step.layer.bias == "point" or any(step.layer.made_up(step.met)))
        for step in network.steps
    ):
        return
    assert measured_prediction(network, 2) == 2 * simulated_forward(network, pinned=True)


@pytest.mark.parametrize("name", ["residual", "pre-activation", "dense"])
def test_real_training_is_close(name: str) -> None:
    """With a batch that outweighs the weights, a real step holds within five percent more."""
    network = Network.parse(FAMILIAR[name])
    expected = 40 * network.account().totals.training_peak_bytes
    assert expected <= measured_training(network, 40) <= 1.05 * expected


# -- what fits in a memory


@quick
@given(texts(), st.integers(1, 10**7))
def test_the_largest_batch(text: str, memory: int) -> None:
    """The batch fits, the next one does not, and the bytes used are said."""
    account = Network.parse(text).account(memory=memory)
    totals, budget = account.totals, account.budget
    assert budget.used == totals.training_bytes(budget.batch)
    assert totals.training_bytes(budget.batch + 1) > memory
    assert budget.batch == 0 or budget.used <= memory
    every = [*account.rows, *(row for rows in account.heads.values() for row in rows)]
    assert any(budget.blocking is row for row in every)
    assert 0 <= budget.share <= 1
    if budget.what == "activations":
        assert budget.blocking.kept == max(row.kept for row in every)
    else:
        assert budget.batch == 0
        assert budget.blocking.parameters == max(row.parameters for row in every)


def test_no_memory_given() -> None:
    """Without a memory there is no budget."""
    assert read("lenet5").account().budget is None


def test_vgg_at_eight_gigabytes() -> None:
    """Most of VGG-16's memory is in its first convolutions (CS231n, lecture 7)."""
    budget = read("vgg16").account(memory=parse_memory("8GB")).budget
    assert budget.blocking.name in ("relu1", "conv1", "relu2", "conv2")
    assert budget.what == "activations"
    assert 50 < budget.batch < 128


def test_vgg_at_one_gigabyte() -> None:
    """Most of VGG-16's parameters are in its first fully connected layer: there, no image fits."""
    budget = read("vgg16").account(memory=parse_memory("1GB")).budget
    assert (budget.batch, budget.blocking.name, budget.what) == (0, "fc1", "parameters")
    assert budget.share == pytest.approx(102764544 / 138357544)


def test_a_lighter_optimiser_and_precision_let_more_fit() -> None:
    """What is kept beside each weight, and its width, count in the budget."""
    network, memory = read("vgg16"), parse_memory("4GB")
    by = {
        (optimiser, precision): network.account(
            memory=memory, optimiser=optimiser, precision=precision
        ).budget.batch
        for optimiser in ("sgd", "momentum", "adam")
        for precision in ("float32", "bfloat16")
    }
    assert by["sgd", "float32"] > by["momentum", "float32"] > by["adam", "float32"] > 0
    assert by["sgd", "bfloat16"] > 2 * by["sgd", "float32"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GB", 8 * 10**9),
        ("8 gb", 8 * 10**9),
        ("8G", 8 * 10**9),
        ("8GiB", 8 * 2**30),
        ("512 MiB", 512 * 2**20),
        ("1.5TB", 15 * 10**11),
        ("4.35GB", 4_350_000_000),
        ("0.3GB", 300_000_000),
        ("100kB", 100_000),
        ("1024000", 1_024_000),
        ("7B", 7),
    ],
)
def test_amounts_of_memory(text: str, size: int) -> None:
    """Powers of 1000 and, with an i, of 1024; exactly, whatever the decimals."""
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "-1GB", "0", "0GB", "0.4", "8XB", "8GBB", "1e9", "8,5GB", "lots"]
)
def test_what_is_no_amount_of_memory(text: str) -> None:
    """The message says what was written and what may be."""
    with pytest.raises(StriateError, match="is no amount of memory: say 8GB"):
        parse_memory(text)
